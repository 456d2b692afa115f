//! From one page to the next, until there is none.

use std::collections::HashSet;

use reqwest::header::{HeaderMap, LINK};
use serde_json::Value;
use tidemark_pipeline::http::{Body, Http, Pagination, Total};

use super::page::Page;
use super::request::Next;

/// Where the window stands.
#[derive(Debug)]
pub(crate) struct Walk {
    /// `None` until it has been found out.
    pub paging: Option<Pagination>,
    allows_empty: bool,
    /// Records so far.
    pub received: u64,
    /// Pages that are known to follow, and from one to the next of them the step of their number.
    ahead: Option<(u64, u64)>,
    /// What the pages so far were, and what was asked for them.
    seen: HashSet<u128>,
    asked: HashSet<Next>,
}

/// Why there is no way on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Astray(pub String);

impl Walk {
    pub(crate) fn new(paging: Option<Pagination>, allows_empty: bool, received: u64) -> Walk {
        Walk { paging, allows_empty, received, ahead: None, seen: HashSet::new(), asked: HashSet::new() }
    }

    /// What comes behind a page that was asked for as `asked`; `content` stands for its records.
    pub(crate) fn after(
        &mut self,
        asked: &Next,
        page: &Page<'_>,
        headers: &Headers,
        content: u128,
    ) -> Result<Option<Next>, Astray> {
        let is_empty = page.records.is_empty();
        if !is_empty && self.seen.contains(&content) {
            return Err(Astray("the page has the records of an earlier one".into()));
        }
        let received = self.received + page.records.len() as u64;
        let next = self.next(asked, page, headers, received)?;
        if next.is_some() && is_empty && !self.allows_empty {
            return Err(Astray("the page has no records, and there are more behind it".into()));
        }
        if let Some(next) = &next
            && (self.asked.contains(next) || next == asked)
        {
            return Err(Astray(format!("the page leads back to one that has been read ({})", shown(next))));
        }
        self.received = received;
        Ok(next)
    }

    /// A page that is in: what it was asked for as, what its records are, and how many there are up to its end.
    pub(crate) fn pass(&mut self, asked: &Next, content: u128, received: u64) {
        self.seen.insert(content);
        self.asked.insert(asked.clone());
        self.received = received;
    }

    /// The pages to be asked for at once, `most` at most: more than one only where they are known to be there.
    pub(crate) fn at_once(&self, next: &Next, most: u32) -> Vec<Next> {
        match (next, self.ahead) {
            (Next::Number(from), Some((pages, step))) => {
                (0..pages.clamp(1, u64::from(most))).map(|nth| Next::Number(from + nth * step)).collect()
            }
            _ => vec![next.clone()],
        }
    }

    fn next(
        &mut self,
        asked: &Next,
        page: &Page<'_>,
        headers: &Headers,
        received: u64,
    ) -> Result<Option<Next>, Astray> {
        let is_empty = page.records.is_empty();
        let said = page.said.as_deref().filter(|said| !said.is_empty() && *said != "false");
        let total = |said: Option<&str>| match said {
            Some(said) => said.parse::<u64>().map_err(|_| Astray(format!("the total is no number: {said:.50}"))),
            None => Err(Astray("the page does not say how many there are".into())),
        };
        Ok(match &self.paging {
            None | Some(Pagination::Single) => None,
            Some(Pagination::Page { first, total: None, .. }) => {
                (!is_empty).then(|| Next::Number(number(asked, *first) + 1))
            }
            Some(Pagination::Page { first, total: Some(of), .. }) => {
                let number = number(asked, *first);
                let (done, all) = match of {
                    Total::Records(_) => (received, total(said)?),
                    Total::Pages(_) => (number + 1 - first, total(said)?),
                };
                let size = if matches!(of, Total::Records(_)) { page.records.len() as u64 } else { 1 };
                self.ahead = Some((all.saturating_sub(done).div_ceil(size.max(1)), 1));
                (done < all).then_some(Next::Number(number + 1))
            }
            Some(Pagination::Offset { total: of, .. }) => {
                let size = page.records.len() as u64;
                let next = number(asked, 0) + size;
                let is_last = match of {
                    None => is_empty,
                    Some(_) => {
                        let all = total(said)?;
                        self.ahead = Some((all.saturating_sub(next).div_ceil(size.max(1)), size));
                        next >= all
                    }
                };
                (!is_last).then_some(Next::Number(next))
            }
            Some(Pagination::Cursor { .. }) => said.map(|said| Next::Text(said.to_owned())),
            Some(Pagination::NextUrl { .. }) => said.map(|said| Next::Url(said.to_owned())),
            Some(Pagination::LinkHeader) => headers.next.clone().map(Next::Url),
            Some(Pagination::Keyset { field, .. }) => match page.records.last() {
                None => None,
                Some(last) => Some(Next::Text(key_of(last, field)?)),
            },
        })
    }
}

fn number(asked: &Next, first: u64) -> u64 {
    if let Next::Number(number) = asked { *number } else { first }
}

fn key_of(record: &str, field: &str) -> Result<String, Astray> {
    let value: Value =
        serde_json::from_str(record).map_err(|_| Astray("the last record of the page is no JSON".into()))?;
    match value.pointer(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(number @ Value::Number(_)) => Ok(number.to_string()),
        _ => Err(Astray(format!("the last record of the page has no {field} by which to ask for the next"))),
    }
}

fn shown(next: &Next) -> String {
    match next {
        Next::First => "the first".into(),
        Next::Number(number) => number.to_string(),
        Next::Text(text) => format!("cursor {text:.80}"),
        // a URL may have in it what is nobody's business
        Next::Url(_) => "by its URL".into(),
    }
}

/// What an answer's headers say of other pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    pub next: Option<String>,
}

impl Headers {
    /// `Link: <https://api.example.com/orders?page=2>; rel="next"` (RFC 8288)
    pub(crate) fn of(headers: &HeaderMap) -> Headers {
        let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        Headers {
            next: links
                .flat_map(parse_links)
                .find(|(_, rel)| rel.split(' ').any(|rel| rel.eq_ignore_ascii_case("next")))
                .map(|(url, _)| url),
        }
    }
}

/// Every link of a header with its `rel`.
fn parse_links(header: &str) -> Vec<(String, String)> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((url, behind)) = rest.split_once('<').and_then(|(_, behind)| behind.split_once('>')) {
        // parameters go up to the comma before the next link; a comma may be in quotes
        let mut quoted = false;
        let end = behind.find(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let (parameters, after) = behind.split_at(end.unwrap_or(behind.len()));
        let rel = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"').to_owned())
        });
        links.extend(rel.map(|rel| (url.to_owned(), rel)));
        rest = after;
    }
    links
}

/// Members under which APIs give the next page's URL, or a cursor that cannot be anything else.
const NEXT_URLS: [&str; 14] = [
    "/next",
    "/links/next",
    "/_links/next/href",
    "/_links/next",
    "/links/next/href",
    "/paging/next",
    "/pagination/next",
    "/meta/next",
    "/next_url",
    "/nextUrl",
    "/next_page_url",
    "/pagination/next_url",
    "/@odata.nextLink",
    "/nextLink",
];
/// Members that speak of pages.
const HINTS: [&str; 22] = [
    "next",
    "next_cursor",
    "nextCursor",
    "cursor",
    "next_page",
    "nextPage",
    "next_page_token",
    "nextPageToken",
    "page",
    "pages",
    "total_pages",
    "totalPages",
    "offset",
    "has_more",
    "hasMore",
    "paging",
    "pagination",
    "links",
    "_links",
    "meta",
    "total",
    "count",
];

/// How an API pages, as far as its first answer leaves no doubt.
///
/// # Errors
/// An answer that speaks of pages without saying how to get them: which members do.
pub(crate) fn found(http: &Http, body: &str, records: usize, headers: &Headers) -> Result<Pagination, Vec<String>> {
    if headers.next.is_some() {
        return Ok(Pagination::LinkHeader);
    }
    if http.format == Body::Ndjson {
        return Ok(Pagination::Single);
    }
    let Ok(Value::Object(body)) = serde_json::from_str::<Value>(body) else { return Ok(Pagination::Single) };
    let body = Value::Object(body);
    for pointer in NEXT_URLS {
        match body.pointer(pointer) {
            Some(Value::String(text)) if is_url(text) => return Ok(Pagination::NextUrl { next: pointer.to_owned() }),
            _ => {}
        }
    }
    let total =
        ["/total", "/count", "/meta/total", "/pagination/total"].iter().find_map(|at| body.pointer(at)?.as_u64());
    if total == Some(records as u64) {
        return Ok(Pagination::Single);
    }
    let own = http.records.split('/').nth(1).unwrap_or_default();
    let is_telling = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(members) => members.values().any(|value| !value.is_null()),
        Value::Array(_) => false,
        _ => true,
    };
    let hints: Vec<String> = HINTS
        .into_iter()
        .filter(|hint| *hint != own && body.get(hint).is_some_and(is_telling))
        .map(|hint| format!("/{hint}"))
        .collect();
    // a single object is its own record: its fields are its own affair
    if hints.is_empty() || http.records.is_empty() { Ok(Pagination::Single) } else { Err(hints) }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://") || text.starts_with('/') || text.starts_with('?')
}

/// Whether pages are told apart by their place alone, which moves when records come or go.
pub(crate) fn is_by_place(paging: &Pagination) -> bool {
    matches!(paging, Pagination::Page { .. } | Pagination::Offset { .. })
}
