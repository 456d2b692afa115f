//! A first request to an API that has no definition yet.

use serde_json::Value;
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_pipeline::Http;
use tidemark_pipeline::http::{Body, Pagination, Parameter, Total};

use super::attempt::NoAnswer;
use super::client::Client;
use super::credentials::Credentials;
use super::discovery::discover;
use super::page::PageReader;
use super::request::{Next, request};
use crate::incremental::window::Range;

/// What the first answer shows.
pub struct Preview {
    pub format: Body,
    /// JSON pointer to the records.
    pub records: String,
    /// The records of the first page, as received.
    pub texts: Vec<String>,
    pub pagination: Pagination,
    /// Whether the pagination is certain. If not, it is a guess by the names of members.
    pub is_certain: bool,
}

/// Sends one request.
///
/// # Errors
/// The API cannot be reached, refuses the request, or does not answer with JSON.
pub fn preview(context: &Context<'_>, url: &str) -> Result<Preview, Error> {
    let mut http = Http::new(url);
    let client = Client::new(&http, *context, Credentials::none(), "look")?;
    let asked = request(&http, None, Range::default(), &Next::First)?;
    let answer = match client.send(&[asked]).pop() {
        Some(Ok(answer)) => answer,
        Some(Err(NoAnswer::Refused(401 | 403, error))) => {
            return Err(error.hint(
                "create the pipeline from a saved response (--from FILE.json), and add `url` and `auth` by hand",
            ));
        }
        Some(Err(NoAnswer::Refused(_, error) | NoAnswer::Failed(error))) => return Err(error),
        Some(Err(NoAnswer::Late(_))) | None => {
            return Err(Error::new(ErrorKind::Retry, format!("{url} does not respond")));
        }
    };
    drop(client);
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    http.records = body.as_ref().map(records_of).unwrap_or_default();
    let is_object = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
    if body.is_none() && answer.body.lines().next().is_some_and(is_object) {
        http.format = Body::Ndjson;
    }
    let page = PageReader::new(&http, None)
        .read(answer.body, answer.content_type.as_deref())
        .map_err(|malformed| Error::new(ErrorKind::Data, format!("{url}: {}", malformed.message)))?;
    let texts: Vec<String> = page.records().map(str::to_owned).collect();
    let (pagination, is_certain) = match discover(&http, &page, &answer.headers) {
        Ok(discovered) => (discovered.pagination, true),
        Err(_) => (body.as_ref().map_or(Pagination::Single, |body| guessed(body, texts.len())), false),
    };
    Ok(Preview { format: http.format, records: http.records, texts, pagination, is_certain })
}

/// JSON pointer to the largest array of objects, at most two levels down. Empty (the body itself) if there is none.
fn records_of(body: &Value) -> String {
    let mut best: Option<(usize, String)> = None;
    let mut see = |pointer: String, value: &Value| {
        if let Value::Array(items) = value
            && items.first().is_some_and(Value::is_object)
            && best.as_ref().is_none_or(|(longest, _)| items.len() > *longest)
        {
            best = Some((items.len(), pointer));
        }
    };
    if let Value::Object(members) = body {
        for (name, value) in members {
            see(format!("/{}", escaped(name)), value);
            for (inner, value) in value.as_object().into_iter().flatten() {
                see(format!("/{}/{}", escaped(name), escaped(inner)), value);
            }
        }
    }
    best.map(|(_, pointer)| pointer).unwrap_or_default()
}

fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// Guesses the pagination by the names of the members beside the records.
fn guessed(body: &Value, records: usize) -> Pagination {
    let at = |names: &[&str]| {
        ["", "/meta", "/pagination", "/paging", "/page_info", "/pageInfo"].iter().find_map(|above| {
            let pointers = names.iter().map(|name| format!("{above}/{name}"));
            pointers
                .into_iter()
                .find(|pointer| body.pointer(pointer).is_some_and(|value| value.is_string() || value.is_number()))
        })
    };
    let query = |name: &str| Parameter::Query(name.to_owned());
    let token = at(&["next_page_token", "nextPageToken"]);
    if let Some(next) = token {
        let parameter = if next.ends_with("nextPageToken") { "pageToken" } else { "page_token" };
        return Pagination::Cursor { parameter: query(parameter), next };
    }
    if let Some(next) = at(&["next_cursor", "nextCursor", "cursor", "next", "end_cursor", "endCursor"]) {
        return Pagination::Cursor { parameter: query("cursor"), next };
    }
    let total = at(&["total", "total_count", "totalCount", "count"]);
    let size = Some(records as u64).filter(|size| *size > 0);
    if at(&["offset", "skip"]).is_some() {
        let size = size.map(|size| (query("limit"), size));
        return Pagination::Offset { parameter: query("offset"), size, total };
    }
    let pages = at(&["total_pages", "totalPages", "pages", "page_count", "last_page"]);
    let total = pages.map(Total::Pages).or(total.map(Total::Records));
    Pagination::Page { parameter: query("page"), first: 1, size: None, total }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_the_largest_array_of_objects() {
        let of = |body: Value| records_of(&body);
        assert_eq!(of(json!([{"a": 1}])), "");
        assert_eq!(of(json!({"data": [{}], "links": ["x", "y"], "errors": []})), "/data");
        assert_eq!(of(json!({"result": {"a/b": [{}, {}]}, "few": [{}]})), "/result/a~1b");
        assert_eq!(of(json!({"id": 1})), "");
    }

    #[test]
    fn pagination_is_guessed_from_member_names() {
        let cursor = guessed(&json!({"meta": {"next": "abc"}}), 2);
        assert_eq!(
            cursor,
            Pagination::Cursor { parameter: Parameter::Query("cursor".into()), next: "/meta/next".into() }
        );
        let Pagination::Page { total, .. } = guessed(&json!({"page": 1, "total_pages": 4, "total": 40}), 10) else {
            panic!()
        };
        assert_eq!(total, Some(Total::Pages("/total_pages".into())));
        let Pagination::Offset { size, .. } = guessed(&json!({"offset": 0, "count": 40}), 10) else { panic!() };
        assert_eq!(size, Some((Parameter::Query("limit".into()), 10)));
    }
}
