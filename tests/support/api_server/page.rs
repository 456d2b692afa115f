//! One page out of all records: which of them, in what form, and how it leads to the next.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::records::{Filter, Record};
use super::server::Asked;

/// What kind of API it is.
#[derive(Debug, Clone)]
pub struct Style {
    pub paging: Paging,
    /// Records of a page, where nobody asks for another number (`per_page`, `limit`).
    pub size: usize,
    pub form: Form,
    /// By `since` and `until`; else these are taken no notice of.
    pub filter: Option<Filter>,
}

/// Parameters are looked for in the query, then anywhere in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    Single,
    /// `page`, `per_page`; `/meta/total` or `/meta/pages`.
    Page {
        first: usize,
        total: Total,
    },
    /// `offset`, `limit`; `/meta/total`.
    Offset {
        total: Total,
    },
    /// `cursor`; `/meta/next`, null at the end.
    Cursor,
    /// `/links/next`, absent at the end.
    NextUrl {
        is_relative: bool,
    },
    LinkHeader {
        is_relative: bool,
    },
    /// `after`, an id; the records are in the order of their ids.
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
    /// A record per line.
    Ndjson,
}

/// A page before it is written down.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub records: Vec<String>,
    /// Of the JSON body.
    pub meta: serde_json::Map<String, Value>,
    /// A URL, for the body or for header `Link`.
    pub next: Option<String>,
}

impl Style {
    pub fn for_paging(paging: Paging) -> Style {
        Style { paging, size: 10, form: Form::Data, filter: None }
    }

    /// `Err` says what is wrong with the request.
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
        self.lead_on(&mut page, wanted.len(), size, until, asked);
        Ok(page)
    }

    /// Says how it goes on.
    fn lead_on(&self, page: &mut Page, total: usize, size: usize, until: usize, asked: &Asked) {
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

    /// The page's text. `name` is what the records are called.
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
