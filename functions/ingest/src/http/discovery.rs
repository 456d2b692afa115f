//! Detects the pagination of an API if the definition does not give it.

use serde_json::Value;
use tidemark_pipeline::http::{Body, Http, Pagination};

use super::links::Headers;
use super::page::Page;

/// JSON pointers under which APIs give the URL of the next page.
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
/// Names of members that have to do with pagination.
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

/// Common page sizes. A response with exactly this many records may be only the first page.
const SIZES: [usize; 24] =
    [10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120, 128, 150, 200, 250, 256, 300, 400, 500, 512, 1000, 1024, 2000];

/// Why the pagination of an API cannot be determined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// These members indicate that there are more pages.
    Hints(Vec<String>),
    /// Nothing indicates more pages, but the number of records is a common page size.
    Round(usize),
}

/// The detected pagination of an API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Discovered {
    pub pagination: Pagination,
    /// The URL of the next page, if the body of the first page contains it.
    pub paging_value: Option<String>,
}

/// Detects the pagination from the first answer, if it is unambiguous.
pub(crate) fn discover(http: &Http, page: &Page, headers: &Headers) -> Result<Discovered, Ambiguity> {
    discovered(http, page.body(), page.len(), headers)
}

fn discovered(http: &Http, body: &str, records: usize, headers: &Headers) -> Result<Discovered, Ambiguity> {
    let plain = |pagination| Ok(Discovered { pagination, paging_value: None });
    if headers.next.is_some() {
        return plain(Pagination::LinkHeader);
    }
    let undeclared = if SIZES.contains(&records) { Err(Ambiguity::Round(records)) } else { plain(Pagination::Single) };
    let body = match serde_json::from_str::<Value>(body) {
        Ok(body @ Value::Object(_)) if http.format == Body::Json => body,
        _ => return undeclared,
    };
    for pointer in NEXT_URLS {
        match body.pointer(pointer) {
            Some(Value::String(text)) if is_url(text) => {
                let pagination = Pagination::NextUrl { next: pointer.to_owned() };
                return Ok(Discovered { pagination, paging_value: Some(text.clone()) });
            }
            _ => {}
        }
    }
    let total =
        ["/total", "/count", "/meta/total", "/pagination/total"].iter().find_map(|at| body.pointer(at)?.as_u64());
    // a single object is itself the record, so its members say nothing about pagination
    if total == Some(records as u64) || http.records.is_empty() {
        return plain(Pagination::Single);
    }
    let own = http.records.split('/').nth(1).unwrap_or_default();
    let is_informative = |value: &Value| match value {
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
        there.iter().filter(|(_, value)| is_informative(value)).map(|(hint, _)| format!("/{hint}")).collect();
    if !hints.is_empty() {
        return Err(Ambiguity::Hints(hints));
    }
    // a member for the next page exists, and says that there is none
    if there.iter().any(|(_, value)| is_end(value)) { plain(Pagination::Single) } else { undeclared }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://") || text.starts_with('/') || text.starts_with('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pagination_of(records: &str, count: usize, body: &str) -> Result<Pagination, Ambiguity> {
        let http = Http { records: records.to_owned(), ..Http::new("https://api.example.com/v1/orders") };
        discovered(&http, body, count, &Headers::default()).map(|discovered| discovered.pagination)
    }

    #[test]
    fn only_certain_pagination_is_discovered() {
        let next = |pointer: &str| Ok(Pagination::NextUrl { next: pointer.to_owned() });
        assert_eq!(
            pagination_of("/data", 10, r#"{"data": [], "links": {"next": "/v1/orders?page=2"}}"#),
            next("/links/next")
        );
        assert_eq!(
            pagination_of("/value", 10, r#"{"value": [], "@odata.nextLink": "https://x/y"}"#),
            next("/@odata.nextLink")
        );
        assert_eq!(pagination_of("/data", 10, r#"{"data": [], "total": 10}"#), Ok(Pagination::Single));
        assert_eq!(pagination_of("/data", 10, r#"{"data": [], "next": null}"#), Ok(Pagination::Single));
        assert_eq!(pagination_of("/data", 10, r#"{"data": [], "links": {"next": null}}"#), Ok(Pagination::Single));
        let hints = |hints: &[&str]| Err(Ambiguity::Hints(hints.iter().map(|hint| (*hint).to_owned()).collect()));
        assert_eq!(pagination_of("/data", 10, r#"{"data": [], "total": 30}"#), hints(&["/total"]));
        assert_eq!(pagination_of("/data", 7, r#"{"data": [], "meta": {"next": "abc"}}"#), hints(&["/meta"]));
        assert_eq!(pagination_of("/data", 7, r#"{"data": [], "meta": {}}"#), Ok(Pagination::Single));
        assert_eq!(pagination_of("/data", 100, r#"{"data": [], "meta": {}}"#), Err(Ambiguity::Round(100)));
        assert_eq!(pagination_of("", 100, "[]"), Err(Ambiguity::Round(100)));
        assert_eq!(pagination_of("", 1, r#"{"id": 1, "count": 5}"#), Ok(Pagination::Single));
    }
}
