//! From one page to the next, until there is none.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_pipeline::http::{Pagination, Total};

use super::links::Headers;
use super::page::Page;
use super::request::Next;
use crate::incremental::digest::hash_of;

/// The paging state of a window.
#[derive(Debug)]
pub(crate) struct Paginator {
    /// None until the pagination has been detected.
    pub paging: Option<Pagination>,
    allows_empty: bool,
    /// Records so far.
    pub received: u64,
    /// How many pages are known to follow, and the difference between their numbers.
    ahead: Option<(u64, u64)>,
    /// The pages so far, in order.
    visited: Vec<Visited>,
    /// Hashes of their contents, and of their requests.
    seen: HashSet<u64>,
    asked: HashSet<u64>,
}

/// A page that has been read: hash of its request, and hash of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visited(u64, u64);

/// Why the next page cannot be determined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PagingError(pub String);

impl Paginator {
    pub(crate) fn new(paging: Option<Pagination>, allows_empty: bool, received: u64) -> Paginator {
        Paginator {
            paging,
            allows_empty,
            received,
            ahead: None,
            visited: Vec::new(),
            seen: HashSet::new(),
            asked: HashSet::new(),
        }
    }

    /// Continues after pages that an earlier invocation has read.
    pub(crate) fn with_visited(mut self, visited: Vec<Visited>) -> Paginator {
        self.asked.extend(visited.iter().map(|Visited(asked, _)| *asked));
        self.seen.extend(visited.iter().map(|Visited(_, content)| *content));
        self.visited = visited;
        self
    }

    /// The pages so far, in order.
    pub(crate) fn visited(&self) -> &[Visited] {
        &self.visited
    }

    /// Determines the page after the one that was requested as `asked`.
    pub(crate) fn after(&mut self, asked: &Next, page: &Page, headers: &Headers) -> Result<Option<Next>, PagingError> {
        let is_empty = page.is_empty();
        if !is_empty && self.seen.contains(&short(page.content)) {
            return Err(PagingError("the page repeats the records of an earlier page".into()));
        }
        let received = self.received + page.len() as u64;
        let next = self.next(asked, page, headers, received)?;
        if next.is_some() && is_empty && !self.allows_empty {
            return Err(PagingError("the page has no records, but more pages follow".into()));
        }
        if let Some(next) = &next
            && (self.asked.contains(&key(next)) || next == asked)
        {
            return Err(PagingError(format!("the next page is one that was already read ({})", shown(next))));
        }
        self.received = received;
        Ok(next)
    }

    /// Records a page that has been read: its request, the hash of its records, and how many records the pages up to it have.
    pub(crate) fn record(&mut self, asked: &Next, content: u128, received: u64) {
        let visited = Visited(key(asked), short(content));
        self.asked.insert(visited.0);
        self.seen.insert(visited.1);
        self.visited.push(visited);
        self.received = received;
    }

    /// The pages to request concurrently, at most `max`: more than one only if they are known to exist.
    pub(crate) fn at_once(&self, next: &Next, max: u32) -> Vec<Next> {
        match (next, self.ahead) {
            (Next::Number(from), Some((pages, step))) => {
                (0..pages.clamp(1, u64::from(max))).map(|nth| Next::Number(from + nth * step)).collect()
            }
            _ => vec![next.clone()],
        }
    }

    fn next(
        &mut self,
        asked: &Next,
        page: &Page,
        headers: &Headers,
        received: u64,
    ) -> Result<Option<Next>, PagingError> {
        let is_empty = page.is_empty();
        let paging_value =
            page.paging_value.as_deref().filter(|paging_value| !paging_value.is_empty() && *paging_value != "false");
        let total = |paging_value: Option<&str>| match paging_value {
            Some(paging_value) => paging_value
                .parse::<u64>()
                .map_err(|_| PagingError(format!("the total is not a number: {paging_value:.50}"))),
            None => Err(PagingError("the page has no total".into())),
        };
        Ok(match &self.paging {
            None | Some(Pagination::Single) => None,
            Some(Pagination::Page { first, total: None, .. }) => {
                (!is_empty).then(|| Next::Number(number(asked, *first) + 1))
            }
            Some(Pagination::Page { first, total: Some(of), .. }) => {
                let number = number(asked, *first);
                let (done, all) = match of {
                    Total::Records(_) => (received, total(paging_value)?),
                    Total::Pages(_) => (number + 1 - first, total(paging_value)?),
                };
                let size = if matches!(of, Total::Records(_)) { page.len() as u64 } else { 1 };
                self.ahead = Some((all.saturating_sub(done).div_ceil(size.max(1)), 1));
                (done < all).then_some(Next::Number(number + 1))
            }
            Some(Pagination::Offset { total: of, .. }) => {
                let size = page.len() as u64;
                let next = number(asked, 0) + size;
                let is_last = match of {
                    None => is_empty,
                    Some(_) => {
                        let all = total(paging_value)?;
                        self.ahead = Some((all.saturating_sub(next).div_ceil(size.max(1)), size));
                        next >= all
                    }
                };
                (!is_last).then_some(Next::Number(next))
            }
            Some(Pagination::Cursor { .. }) => paging_value.map(|paging_value| Next::Text(paging_value.to_owned())),
            Some(Pagination::NextUrl { .. }) => paging_value.map(|paging_value| Next::Url(paging_value.to_owned())),
            Some(Pagination::LinkHeader) => headers.next.clone().map(Next::Url),
            Some(Pagination::Keyset { field, .. }) => match page.last() {
                None => None,
                Some(last) => Some(Next::Text(key_of(last, field)?)),
            },
        })
    }
}

/// Hash of how a page is requested.
fn key(next: &Next) -> u64 {
    short(match next {
        Next::First => hash_of("first"),
        Next::Number(number) => hash_of(format!("number {number}")),
        Next::Text(text) => hash_of(format!("text {text}")),
        Next::Url(url) => hash_of(format!("url {url}")),
    })
}

fn short(hash: u128) -> u64 {
    hash as u64
}

fn number(asked: &Next, first: u64) -> u64 {
    if let Next::Number(number) = asked { *number } else { first }
}

fn key_of(record: &str, field: &str) -> Result<String, PagingError> {
    let value: Value =
        serde_json::from_str(record).map_err(|_| PagingError("the last record of the page is not JSON".into()))?;
    match value.pointer(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(number @ Value::Number(_)) => Ok(number.to_string()),
        _ => Err(PagingError(format!(
            "the last record of the page has no {field}, which is needed to request the next page"
        ))),
    }
}

fn shown(next: &Next) -> String {
    match next {
        Next::First => "the first".into(),
        Next::Number(number) => number.to_string(),
        Next::Text(text) => format!("cursor {text:.80}"),
        // a URL may contain secrets
        Next::Url(_) => "by its URL".into(),
    }
}

/// Whether pages are identified only by position, which shifts when records are added or removed.
pub(crate) fn is_by_place(paging: &Pagination) -> bool {
    matches!(paging, Pagination::Page { .. } | Pagination::Offset { .. })
}

#[cfg(test)]
mod tests {
    use tidemark_pipeline::Http;
    use tidemark_pipeline::http::Parameter;

    use super::*;
    use crate::http::page::PageReader;

    #[test]
    fn pages_end_and_repeated_pages_are_errors() {
        let page = |body: &str| {
            let http = Http { records: "/r".into(), ..Http::new("https://api.example.com") };
            PageReader::new(&http, Some(&cursor())).read(body.to_owned(), None).unwrap()
        };
        let none = Headers::default();
        let mut paginator = Paginator::new(Some(cursor()), false, 0);
        let first = page(r#"{"r": [{}], "n": "a"}"#);
        let next = paginator.after(&Next::First, &first, &none).unwrap();
        paginator.record(&Next::First, first.content, 1);
        assert_eq!(next, Some(Next::Text("a".into())));
        let asked = Next::Text("a".into());
        let mut fails = |body: &str| paginator.after(&asked, &page(body), &none).unwrap_err().0;
        assert!(fails(r#"{"r": [{"id": 2}], "n": "a"}"#).contains("already read"));
        assert!(fails(r#"{"r": [{}], "n": "b"}"#).contains("earlier"));
        assert!(fails(r#"{"r": [], "n": "b"}"#).contains("more pages follow"));
        assert_eq!(paginator.after(&asked, &page(r#"{"r": []}"#), &none).unwrap(), None);
    }

    fn cursor() -> Pagination {
        Pagination::Cursor { parameter: Parameter::Query("c".into()), next: "/n".into() }
    }
}
