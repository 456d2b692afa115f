//! The request of one page: URL and body. Credentials are added when it is sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::fingerprint;
use tidemark_pipeline::fingerprint::canonical;
use tidemark_pipeline::http::{Auth, Http, Limits, Method, Pagination, Parameter};
use url::Url;

use super::{instant, origin};
use crate::incremental::window::Range;

/// Identifies a page.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Next {
    First,
    /// Page number, or offset of its first record.
    Number(u64),
    /// A cursor, or the key of the last record before it.
    Text(String),
    Url(String),
}

/// One request, without credentials.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: Method,
    pub url: Url,
    pub body: Option<String>,
}

/// Fingerprint of the settings of a definition that decide what is requested and how pages follow each other.
pub(crate) fn definition(http: &Http) -> Result<String, Error> {
    let asked = Http { headers: Vec::new(), auth: None, limits: Limits::default(), max_pages: 0, ..http.clone() };
    let text = canonical(&asked)
        .map_err(|error| Error::new(ErrorKind::Bug, "a definition cannot be written down").because(error))?;
    Ok(fingerprint(&text)[..16].to_owned())
}

/// The URL of the source.
pub(crate) fn home(http: &Http) -> Result<Url, Error> {
    Url::parse(&http.url)
        .map_err(|error| Error::new(ErrorKind::Definition, format!("source {} is not a URL", http.url)).because(error))
}

/// The request of a page.
///
/// # Errors
/// A next page of another origin, which would receive the credentials.
pub(crate) fn request(http: &Http, paging: Option<&Pagination>, range: Range, next: &Next) -> Result<Request, Error> {
    let mut url = home(http)?;
    let mut body: Option<Value> = match (&http.body, http.method) {
        (Some(text), _) => Some(
            serde_json::from_str(text)
                .map_err(|error| Error::new(ErrorKind::Definition, "`body` in [source] is not JSON").because(error))?,
        ),
        (None, Method::Post) => Some(Value::Object(serde_json::Map::new())),
        (None, Method::Get) => None,
    };
    if let Next::Url(next) = next {
        url = joined(&url, next)?;
        let body = body.map(|body| body.to_string());
        return Ok(Request { method: http.method, url, body });
    }
    for (name, value) in &http.query {
        set(&mut url, name, value);
    }
    let mut put = |parameter: &Parameter, value: Value| match (parameter, &mut body) {
        (Parameter::Body(pointer), Some(body)) => insert(body, pointer, value),
        (Parameter::Body(name) | Parameter::Query(name), _) => match value {
            Value::String(text) => set(&mut url, name, &text),
            other => set(&mut url, name, &other.to_string()),
        },
    };
    if let Some(since) = &http.incremental {
        if let Some(time) = range.since {
            put(&since.parameter, Value::String(instant::written(&since.format, time)));
        }
        if let (Some(time), Some(parameter)) = (range.until, &since.until) {
            put(parameter, Value::String(instant::written(&since.format, time)));
        }
    }
    match paging {
        Some(Pagination::Page { parameter, first, size, .. }) => {
            if let Some((parameter, size)) = size {
                put(parameter, Value::from(*size));
            }
            put(parameter, Value::from(number(next).unwrap_or(*first)));
        }
        Some(Pagination::Offset { parameter, size, .. }) => {
            if let Some((parameter, size)) = size {
                put(parameter, Value::from(*size));
            }
            put(parameter, Value::from(number(next).unwrap_or(0)));
        }
        Some(Pagination::Cursor { parameter, .. } | Pagination::Keyset { parameter, .. }) => {
            if let Next::Text(text) = next {
                put(parameter, Value::String(text.clone()));
            }
        }
        _ => {}
    }
    Ok(Request { method: http.method, url, body: body.map(|body| body.to_string()) })
}

/// The URL of a next page as it is stored: without the API key it may contain.
pub(crate) fn without_key(http: &Http, next: &str) -> Result<String, Error> {
    let mut url = joined(&home(http)?, next)?;
    if let Some(Auth::Query { name, .. }) = &http.auth {
        remove(&mut url, name);
    }
    Ok(url.into())
}

fn joined(home: &Url, next: &str) -> Result<Url, Error> {
    let refused = |what: String| Error::new(ErrorKind::Refused, what);
    let url =
        home.join(next).map_err(|error| refused(format!("the next page is not a URL: {next:.200}")).because(error))?;
    if !origin::is_same(home, &url) {
        let message = format!("the next page is at {}, not at {}", origin::origin(&url), origin::origin(home));
        return Err(refused(message).hint(
            "credentials are sent to the origin of `url` only; if the other origin is intended, use it in `url`",
        ));
    }
    Ok(url)
}

fn number(next: &Next) -> Option<u64> {
    if let Next::Number(number) = next { Some(*number) } else { None }
}

/// Sets a parameter of the query, and replaces those of the same name.
pub(crate) fn set(url: &mut Url, name: &str, value: &str) {
    remove(url, name);
    url.query_pairs_mut().append_pair(name, value);
}

fn remove(url: &mut Url, name: &str) {
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(key, _)| key != name).map(|(key, value)| (key.into(), value.into())).collect();
    if kept.len() == url.query_pairs().count() {
        return;
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
}

/// Sets a value at a JSON pointer, and creates the objects on the way.
fn insert(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for token in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        let Some(members) = at.as_object_mut() else { return };
        at = members.entry(token.replace("~1", "/").replace("~0", "~")).or_insert(Value::Null);
    }
    *at = value;
}
