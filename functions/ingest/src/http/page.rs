//! The text of an answer into a page of records, or into what is wrong with it.

use tidemark_pipeline::http::{Body, Http, Pagination, Total};
use tidemark_transform::envelope::{Envelope, Found, members, scalar};

/// A page: its records as written, and what it says of others.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<'a> {
    pub records: Vec<&'a str>,
    /// The next cursor or URL, or the total.
    pub said: Option<String>,
}

/// Why an answer is no page.
#[derive(Debug, PartialEq)]
pub(crate) struct Misshapen {
    /// What came, and what was expected.
    pub message: String,
    /// The body ends in the middle: the same request may give it whole.
    pub is_cut: bool,
}

/// Reads the pages of one source.
#[derive(Debug)]
pub(crate) struct Reader {
    format: Body,
    records: String,
    envelope: Envelope,
}

impl Reader {
    pub(crate) fn new(http: &Http, paging: Option<&Pagination>) -> Reader {
        let said = match paging {
            Some(Pagination::Cursor { next, .. } | Pagination::NextUrl { next }) => Some(next.as_str()),
            Some(Pagination::Page { total: Some(Total::Records(total) | Total::Pages(total)), .. })
            | Some(Pagination::Offset { total: Some(total), .. }) => Some(total.as_str()),
            _ => None,
        };
        Reader { format: http.format, records: http.records.clone(), envelope: Envelope::new(&http.records, said) }
    }

    pub(crate) fn read<'a>(&self, body: &'a str, content_type: Option<&str>) -> Result<Page<'a>, Misshapen> {
        if self.format == Body::Ndjson {
            return self.lines(body, content_type);
        }
        let page = self.envelope.read(body).map_err(|broken| match markup(body, content_type) {
            Some(what) => self.misshapen(what),
            None => {
                // what looks like records is no affair of whoever reads the log
                let is_data = body.trim_start().starts_with(['{', '[']);
                let text = if is_data { String::new() } else { format!(", in {}", start(body)) };
                Misshapen { is_cut: broken.is_cut, ..self.misshapen(format!("no JSON: {broken}{text}")) }
            }
        })?;
        let records = match page.records {
            Found::Array(records) => records,
            Found::Object(record) => vec![record],
            Found::Null => Vec::new(),
            Found::Scalar(_) if markup(body, content_type).is_some() => {
                return Err(self.misshapen(markup(body, content_type).unwrap_or_default()));
            }
            Found::Scalar(value) => return Err(self.misshapen(format!("{} there", start(value)))),
            Found::Absent => return Err(self.misshapen(absent(body))),
        };
        Ok(Page { records, said: page.said.into_iter().next().flatten().and_then(scalar) })
    }

    fn lines<'a>(&self, body: &'a str, content_type: Option<&str>) -> Result<Page<'a>, Misshapen> {
        if let Some(what) = markup(body, content_type) {
            return Err(self.misshapen(what));
        }
        let records = body.lines().map(str::trim_ascii).filter(|line| !line.is_empty()).collect();
        Ok(Page { records, said: None })
    }

    fn misshapen(&self, found: String) -> Misshapen {
        let expected = match (self.format, self.records.as_str()) {
            (Body::Ndjson, _) => "lines of JSON".to_owned(),
            (Body::Json, "") => "an array of records, or one record".to_owned(),
            (Body::Json, pointer) => format!("an array of records at {pointer}"),
        };
        Misshapen { message: format!("expected {expected}; found {found}"), is_cut: false }
    }
}

/// Why a text without the white space around it is no record.
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

/// An HTML page, where that is what came: with its title, which mostly says enough.
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
        None => format!("no JSON, but markup: {}", start(body)),
    })
}

fn absent(body: &str) -> String {
    let names = members(body);
    match names.as_slice() {
        [] => format!("nothing there, in {}", start(body)),
        names => format!(
            "an object with {}",
            names.iter().map(|name| format!("`{name:.50}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The beginning of a text, on one line.
pub(crate) fn start(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
    match text.trim().chars().nth(120) {
        Some(_) => format!("{line}…"),
        None if line.is_empty() => "an empty body".to_owned(),
        None => line,
    }
}
