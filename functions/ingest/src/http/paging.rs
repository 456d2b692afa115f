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

/// So many records a page often has at most: they may be but the first.
const SIZES: [usize; 24] =
    [10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120, 128, 150, 200, 250, 256, 300, 400, 500, 512, 1000, 1024, 2000];

/// Why it is not certain how an API pages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// These members speak of pages.
    Hints(Vec<String>),
    /// Nothing does, but there are as many records as a page often has.
    Round(usize),
}

/// How an API pages, as far as its first answer leaves no doubt.
pub(crate) fn found(http: &Http, body: &str, records: usize, headers: &Headers) -> Result<Pagination, Doubt> {
    if headers.next.is_some() {
        return Ok(Pagination::LinkHeader);
    }
    let unsaid = if SIZES.contains(&records) { Err(Doubt::Round(records)) } else { Ok(Pagination::Single) };
    let body = match serde_json::from_str::<Value>(body) {
        Ok(body @ Value::Object(_)) if http.format == Body::Json => body,
        _ => return unsaid,
    };
    for pointer in NEXT_URLS {
        match body.pointer(pointer) {
            Some(Value::String(text)) if is_url(text) => return Ok(Pagination::NextUrl { next: pointer.to_owned() }),
            _ => {}
        }
    }
    let total =
        ["/total", "/count", "/meta/total", "/pagination/total"].iter().find_map(|at| body.pointer(at)?.as_u64());
    // a single object is its own record: its fields are its own affair
    if total == Some(records as u64) || http.records.is_empty() {
        return Ok(Pagination::Single);
    }
    let own = http.records.split('/').nth(1).unwrap_or_default();
    let is_telling = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(members) => members.values().any(|value| !value.is_null()),
        Value::Array(_) => false,
        _ => true,
    };
    let is_none = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
    let is_end =
        |value: &Value| is_none(value) || value.as_object().is_some_and(|members| members.values().any(is_none));
    let there: Vec<(&str, &Value)> =
        HINTS.into_iter().filter(|hint| *hint != own).filter_map(|hint| Some((hint, body.get(hint)?))).collect();
    let hints: Vec<String> =
        there.iter().filter(|(_, value)| is_telling(value)).map(|(hint, _)| format!("/{hint}")).collect();
    if !hints.is_empty() {
        return Err(Doubt::Hints(hints));
    }
    // what would lead on is there, and does not
    if there.iter().any(|(_, value)| is_end(value)) { Ok(Pagination::Single) } else { unsaid }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://") || text.starts_with('/') || text.starts_with('?')
}

/// Whether pages are told apart by their place alone, which moves when records come or go.
pub(crate) fn is_by_place(paging: &Pagination) -> bool {
    matches!(paging, Pagination::Page { .. } | Pagination::Offset { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &str, count: usize, body: &str) -> Result<Pagination, Doubt> {
        let http = Http { records: records.to_owned(), ..Http::of("https://api.example.com/v1/orders") };
        found(&http, body, count, &Headers::default())
    }

    #[test]
    fn only_what_is_certain_is_found() {
        let next = |pointer: &str| Ok(Pagination::NextUrl { next: pointer.to_owned() });
        assert_eq!(of("/data", 10, r#"{"data": [], "links": {"next": "/v1/orders?page=2"}}"#), next("/links/next"));
        assert_eq!(of("/value", 10, r#"{"value": [], "@odata.nextLink": "https://x/y"}"#), next("/@odata.nextLink"));
        assert_eq!(of("/data", 10, r#"{"data": [], "total": 10}"#), Ok(Pagination::Single));
        assert_eq!(of("/data", 10, r#"{"data": [], "next": null}"#), Ok(Pagination::Single));
        assert_eq!(of("/data", 10, r#"{"data": [], "links": {"next": null}}"#), Ok(Pagination::Single));
        let hints = |hints: &[&str]| Err(Doubt::Hints(hints.iter().map(|hint| (*hint).to_owned()).collect()));
        assert_eq!(of("/data", 10, r#"{"data": [], "total": 30}"#), hints(&["/total"]));
        assert_eq!(of("/data", 7, r#"{"data": [], "meta": {"next": "abc"}}"#), hints(&["/meta"]));
        assert_eq!(of("/data", 7, r#"{"data": [], "meta": {}}"#), Ok(Pagination::Single));
        assert_eq!(of("/data", 100, r#"{"data": [], "meta": {}}"#), Err(Doubt::Round(100)));
        assert_eq!(of("", 100, "[]"), Err(Doubt::Round(100)));
        assert_eq!(of("", 1, r#"{"id": 1, "count": 5}"#), Ok(Pagination::Single));
    }

    #[test]
    fn links_as_servers_write_them() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, text.parse().unwrap());
            Headers::of(&headers).next
        };
        let two = r#"<https://x/?page=1>; rel="prev", <https://x/?a=1,2&page=3>; rel="next"; title="a, b""#;
        assert_eq!(of(two).as_deref(), Some("https://x/?a=1,2&page=3"));
        assert_eq!(of("</v1?page=2>; title=\"x\"; rel=\"last next\"").as_deref(), Some("/v1?page=2"));
        assert_eq!(of("<https://x>; rel=nextish"), None);
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn a_walk_ends_and_never_goes_round() {
        let page = |records: &[&'static str], said: Option<&str>| Page {
            records: records.to_vec(),
            said: said.map(str::to_owned),
        };
        let none = Headers::default();
        let cursor =
            Pagination::Cursor { parameter: tidemark_pipeline::http::Parameter::Query("c".into()), next: "/n".into() };
        let mut walk = Walk::new(Some(cursor), false, 0);
        let next = walk.after(&Next::First, &page(&["{}"], Some("a")), &none, 1).unwrap();
        walk.pass(&Next::First, 1, 1);
        assert_eq!(next, Some(Next::Text("a".into())));
        let asked = Next::Text("a".into());
        assert!(walk.after(&asked, &page(&["{}"], Some("a")), &none, 2).unwrap_err().0.contains("leads back"));
        assert!(walk.after(&asked, &page(&["{}"], Some("b")), &none, 1).unwrap_err().0.contains("earlier"));
        assert!(walk.after(&asked, &page(&[], Some("b")), &none, 0).unwrap_err().0.contains("more behind it"));
        assert_eq!(walk.after(&asked, &page(&[], None), &none, 0).unwrap(), None);
    }
}
