//! Splits the body of an answer into records, or says what is wrong with it. The records of a page are located and hashed once; their byte
//! ranges are kept with the page.

use std::ops::Range;

use tidemark_pipeline::http::{Body, Http, Pagination, Total};
use tidemark_transform::envelope::{Envelope, Found, members, scalar};

use super::shown::start;
use crate::incremental::digest::hash_of;

/// A page: its body, the byte ranges of its records, and its paging value.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    body: String,
    records: Vec<Range<usize>>,
    hashes: Vec<u128>,
    /// Hash of the records in order.
    pub content: u128,
    /// The next cursor or URL, or the total, depending on the pagination.
    pub paging_value: Option<String>,
}

impl Page {
    fn new(body: String, records: Vec<Range<usize>>, paging_value: Option<String>) -> Page {
        let hashes: Vec<u128> = records.iter().map(|range| hash_of(&body[range.clone()])).collect();
        let content = hash_of(hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect::<Vec<u8>>());
        Page { body, records, hashes, content, paging_value }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records as received.
    pub(crate) fn records(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(|range| &self.body[range.clone()])
    }

    pub(crate) fn last(&self) -> Option<&str> {
        self.records.last().map(|range| &self.body[range.clone()])
    }

    /// The hash of each record.
    pub(crate) fn hashes(&self) -> &[u128] {
        &self.hashes
    }

    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    pub(crate) fn into_body(self) -> String {
        self.body
    }
}

/// Why an answer is not a page.
#[derive(Debug, PartialEq)]
pub(crate) struct MalformedPage {
    pub body: String,
    /// What was found, and what was expected.
    pub message: String,
    /// The body is truncated: the same request may return all of it.
    pub is_cut: bool,
}

/// What is wrong with a body.
#[derive(Debug, PartialEq)]
struct Fault {
    message: String,
    is_cut: bool,
}

/// The byte ranges of the records in a body, and its paging value.
type Layout = (Vec<Range<usize>>, Option<String>);

/// Reads the pages of one source.
#[derive(Debug)]
pub(crate) struct PageReader {
    format: Body,
    records: String,
    envelope: Envelope,
}

impl PageReader {
    pub(crate) fn new(http: &Http, paging: Option<&Pagination>) -> PageReader {
        let paging_value = match paging {
            Some(Pagination::Cursor { next, .. } | Pagination::NextUrl { next }) => Some(next.as_str()),
            Some(Pagination::Page { total: Some(Total::Records(total) | Total::Pages(total)), .. })
            | Some(Pagination::Offset { total: Some(total), .. }) => Some(total.as_str()),
            _ => None,
        };
        PageReader {
            format: http.format,
            records: http.records.clone(),
            envelope: Envelope::new(&http.records, paging_value),
        }
    }

    pub(crate) fn read(&self, body: String, content_type: Option<&str>) -> Result<Page, MalformedPage> {
        let layout = match self.format {
            Body::Ndjson => self.lines(&body, content_type),
            Body::Json => self.envelope(&body, content_type),
        };
        match layout {
            Ok((records, paging_value)) => Ok(Page::new(body, records, paging_value)),
            Err(Fault { message, is_cut }) => Err(MalformedPage { body, message, is_cut }),
        }
    }

    fn envelope(&self, body: &str, content_type: Option<&str>) -> Result<Layout, Fault> {
        let page = self.envelope.read(body).map_err(|broken| match markup(body, content_type) {
            Some(what) => self.malformed(what),
            None => {
                // the start of the body is not shown if it may contain records
                let is_data = body.trim_start().starts_with(['{', '[']);
                let text = if is_data { String::new() } else { format!(", in {}", start(body)) };
                Fault { is_cut: broken.is_cut, ..self.malformed(format!("not JSON: {broken}{text}")) }
            }
        })?;
        let records = match page.records {
            Found::Array(records) => records,
            Found::Object(record) => vec![record],
            Found::Null => Vec::new(),
            Found::Scalar(_) if markup(body, content_type).is_some() => {
                return Err(self.malformed(markup(body, content_type).unwrap_or_default()));
            }
            Found::Scalar(value) => return Err(self.malformed(format!("{} there", start(value)))),
            Found::Absent => return Err(self.malformed(absent(body))),
        };
        let records = records.into_iter().map(|record| range_of(body, record)).collect();
        Ok((records, page.values.into_iter().next().flatten().and_then(scalar)))
    }

    fn lines(&self, body: &str, content_type: Option<&str>) -> Result<Layout, Fault> {
        if let Some(what) = markup(body, content_type) {
            return Err(self.malformed(what));
        }
        let records = body.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
        Ok((records.map(|record| range_of(body, record)).collect(), None))
    }

    fn malformed(&self, found: String) -> Fault {
        let expected = match (self.format, self.records.as_str()) {
            (Body::Ndjson, _) => "lines of JSON".to_owned(),
            (Body::Json, "") => "an array of records, or one record".to_owned(),
            (Body::Json, pointer) => format!("an array of records at {pointer}"),
        };
        Fault { message: format!("expected {expected}; found {found}"), is_cut: false }
    }
}

/// The byte range of a part within its text.
fn range_of(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// Why a trimmed text is not a record.
pub(crate) fn fault(record: &str) -> Option<&'static str> {
    match record.as_bytes().first() {
        Some(b'{') => None,
        Some(b'[') => Some("expected a JSON object, found an array"),
        Some(b'"') => Some("expected a JSON object, found a string"),
        Some(b'-' | b'0'..=b'9') => Some("expected a JSON object, found a number"),
        Some(b't' | b'f') => Some("expected a JSON object, found a boolean"),
        Some(b'n') => Some("expected a JSON object, found null"),
        _ => Some("expected a JSON object"),
    }
}

/// Describes a body that is HTML or other markup, by its title if it has one. Returns None for other bodies.
fn markup(body: &str, content_type: Option<&str>) -> Option<String> {
    let is_html = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    if !is_html && !body.trim_start().starts_with('<') {
        return None;
    }
    let lower = body.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|tag| {
        let from = tag + lower[tag..].find('>')? + 1;
        Some(body[from..from + lower[from..].find('<')?].trim())
    });
    Some(match title.filter(|title| !title.is_empty()) {
        Some(title) => format!("an HTML page, \"{title:.100}\""),
        None => format!("not JSON, but markup: {}", start(body)),
    })
}

fn absent(body: &str) -> String {
    let names = members(body);
    match names.as_slice() {
        [] => format!("nothing, in {}", start(body)),
        names => format!(
            "an object with {}",
            names.iter().map(|name| format!("`{name:.50}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}
