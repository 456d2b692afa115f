//! Makes one page from all records: which records, in which form, with which reference to the next page.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::records::{Filter, Record};
use super::server::Asked;

/// Pagination, form and filter of an API.
#[derive(Debug, Clone)]
pub struct Style {
    pub paging: Paging,
    /// Records per page if the request has no `per_page` or `limit`.
    pub size: usize,
    pub form: Form,
    /// Filter by `since` and `until`; without it these parameters are ignored.
    pub filter: Option<Filter>,
}

/// Kind of pagination, and its parameters and fields. Parameters are read from the query, else from anywhere in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    Single,
    /// `page` and `per_page`; `/meta/total` or `/meta/pages`.
    Page {
        first: usize,
        total: Total,
    },
    /// `offset` and `limit`; `/meta/total`.
    Offset {
        total: Total,
    },
    /// `cursor`; `/meta/next`, null on the last page.
    Cursor,
    /// `/links/next`, absent on the last page.
    NextUrl {
        is_relative: bool,
    },
    LinkHeader {
        is_relative: bool,
    },
    /// `after`, an id; records are ordered by id.
    Keyset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    Records,
    Pages,
    Unsaid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"data": […], "meta": {…}, "links": {…}}`
    Data,
    /// `[…]`
    Bare,
    /// One record per line.
    Ndjson,
}

/// Content of a page, before it is formatted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub records: Vec<String>,
    /// Field `meta` of the JSON body.
    pub meta: serde_json::Map<String, Value>,
    /// URL of the next page, for the body or header `Link`.
    pub next: Option<String>,
}

impl Style {
    pub fn for_paging(paging: Paging) -> Style {
        Style { paging, size: 10, form: Form::Data, filter: None }
    }

    /// The page that a request is answered with; an error describes an invalid request.
    pub fn page(&self, all: &[Record], asked: &Asked) -> Result<Page, String> {
        let (since, until) = (asked.parameter("since"), asked.parameter("until"));
        let mut wanted = Vec::new();
        for record in all {
            if self.filter.is_none_or(|_| since.is_none() && until.is_none())
                || self.filter.unwrap().has(record, since.as_deref(), until.as_deref())?
            {
                wanted.push(record);
            }
        }
        match self.paging {
            Paging::Keyset => wanted.sort_by(|a, b| a.id.cmp(&b.id)),
            _ => wanted.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id))),
        }
        let number = |name: &str| -> Result<Option<usize>, String> {
            let parse = |text: String| text.parse().map_err(|_| format!("{name} is no number: {text}"));
            asked.parameter(name).map(parse).transpose()
        };
        let (size, from) = match self.paging {
            Paging::Single => (usize::MAX, 0),
            Paging::Page { first, .. } => {
                let size = number("per_page")?.unwrap_or(self.size);
                let page = number("page")?.unwrap_or(first);
                (size, page.checked_sub(first).ok_or("there is no such page")? * size)
            }
            Paging::Offset { .. } => (number("limit")?.unwrap_or(self.size), number("offset")?.unwrap_or(0)),
            Paging::Keyset => {
                let after = asked.parameter("after");
                let at = after.map(|after| {
                    let is_after = |record: &&Record| match &record.id {
                        super::records::Id::Number(id) => after.parse::<i64>().is_ok_and(|after| *id > after),
                        super::records::Id::Text(id) => *id > after,
                    };
                    wanted.iter().position(is_after).unwrap_or(wanted.len())
                });
                (self.size, at.unwrap_or(0))
            }
            Paging::Cursor | Paging::NextUrl { .. } | Paging::LinkHeader { .. } => {
                let cursor = asked.parameter("cursor").unwrap_or("after-0".into());
                let at = cursor.strip_prefix("after-").and_then(|at| at.parse().ok());
                (self.size, at.ok_or_else(|| format!("{cursor} is no cursor"))?)
            }
        };
        let until = from.saturating_add(size).min(wanted.len());
        let records = wanted.get(from..until).unwrap_or_default().iter().map(|record| record.text.clone()).collect();
        let mut page = Page { records, ..Page::default() };
        self.add_next(&mut page, wanted.len(), size, until, asked);
        Ok(page)
    }

    /// Adds the reference to the next page.
    fn add_next(&self, page: &mut Page, total: usize, size: usize, until: usize, asked: &Asked) {
        let has_more = until < total;
        let cursor = format!("after-{until}");
        match self.paging {
            Paging::Page { total: said, .. } | Paging::Offset { total: said } => {
                match said {
                    Total::Records => page.meta.insert("total".into(), json!(total)),
                    Total::Pages => page.meta.insert("pages".into(), json!(total.div_ceil(size))),
                    Total::Unsaid => None,
                };
            }
            Paging::Cursor => {
                page.meta.insert("next".into(), if has_more { json!(cursor) } else { Value::Null });
            }
            Paging::NextUrl { is_relative } | Paging::LinkHeader { is_relative } if has_more => {
                let kept = asked.pairs().into_iter().filter(|(name, _)| name != "cursor");
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.extend_pairs(kept).append_pair("cursor", &cursor);
                let path = format!("{}?{}", asked.path, query.finish());
                let host = asked.header("host").unwrap_or_default();
                page.next = Some(if is_relative { path } else { format!("http://{host}{path}") });
            }
            Paging::Single | Paging::Keyset | Paging::NextUrl { .. } | Paging::LinkHeader { .. } => {}
        }
    }

    /// Text of the page; `name` is the field that holds the records.
    pub fn write(&self, page: &Page, name: &str) -> String {
        match self.form {
            Form::Ndjson => page.records.iter().map(|record| format!("{record}\n")).collect(),
            Form::Bare => format!("[{}]", page.records.join(",")),
            Form::Data => {
                let next = page.next.as_ref().filter(|_| matches!(self.paging, Paging::NextUrl { .. }));
                let links = next.map_or(json!({}), |next| json!({ "next": next }));
                let (records, meta) = (page.records.join(","), Value::Object(page.meta.clone()));
                format!("{{\"{name}\":[{records}],\"meta\":{meta},\"links\":{links}}}")
            }
        }
    }
}
