//! `[source]` with `kind = "http"`, checked: an API that gives JSON in pages.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{ColumnName, SecretName};

/// Source `http`. What `${NAME}` stands for is filled in; what a secret is, is asked for when a request is made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Http {
    /// `http://` or `https://`, without user and password. Nothing is ever asked of another origin (but of an OAuth2 token's).
    pub url: String,
    /// `GET` by default, `POST` where a body is given.
    pub method: Method,
    /// `headers = { Accept = "application/json" }`
    pub headers: Vec<(String, String)>,
    /// `query = { per_page = "100" }`, of every request.
    pub query: Vec<(String, String)>,
    /// A JSON object, of every `POST`; paging and time are set in it.
    pub body: Option<String>,
    pub auth: Option<Auth>,
    /// `json` by default.
    pub format: Body,
    /// JSON pointer to the records of a page: an array, or one object; empty by default, which is the whole body.
    pub records: String,
    /// If `None`, it is detected from the first response where that is unambiguous.
    pub pagination: Option<Pagination>,
    /// `empty_pages = true` in `pagination`: a page without records may have others behind it. Otherwise it is a mistake of the API.
    pub allows_empty: bool,
    /// Over it a window is refused as endless; 100,000 by default.
    pub max_pages: u32,
    /// Without it, everything is asked for each time.
    pub incremental: Option<Since>,
    pub limits: Limits,
}

impl Http {
    /// A source of which nothing is known but where it is.
    pub fn new(url: &str) -> Http {
        Http {
            url: url.to_owned(),
            method: Method::Get,
            headers: Vec::new(),
            query: Vec::new(),
            body: None,
            auth: None,
            format: Body::Json,
            records: String::new(),
            pagination: None,
            allows_empty: false,
            max_pages: 100_000,
            incremental: None,
            limits: Limits::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    Json,
    /// One record per line.
    Ndjson,
}

/// Authentication. It is sent to the origin of the source's `url` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `auth = { bearer = { secret = "name" } }`
    Bearer(SecretName),
    /// `auth = { basic = { user = "name", password = { secret = "name" } } }`
    Basic { user: String, password: SecretName },
    /// `auth = { api_key = { header = "X-Api-Key", secret = "name" } }`
    Header { name: String, secret: SecretName },
    /// `auth = { api_key = { query = "key", secret = "name" } }`
    Query { name: String, secret: SecretName },
    /// `auth = { oauth2 = { token_url = "…", client_id = "…", client_secret = { secret = "name" }, scope = "…" } }`: client
    /// credentials (RFC 6749, 4.4). A token is kept while it is valid, and requested again after a 401.
    Oauth2 { token_url: String, client_id: String, client_secret: SecretName, scope: Option<String> },
}

impl Auth {
    pub fn secret(&self) -> &SecretName {
        match self {
            Auth::Bearer(secret)
            | Auth::Basic { password: secret, .. }
            | Auth::Header { secret, .. }
            | Auth::Query { secret, .. }
            | Auth::Oauth2 { client_secret: secret, .. } => secret,
        }
    }
}

/// A parameter of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parameter {
    /// In the query string.
    Query(String),
    /// In the JSON body, at a pointer (`/page/after`).
    Body(String),
}

/// How the next page is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pagination {
    /// There is one page.
    Single,
    /// A number, counted up until `total` says enough, or a page has no records.
    Page { parameter: Parameter, first: u64, size: Option<(Parameter, u64)>, total: Option<Total> },
    /// The number of records before the page, until `total` (JSON pointer, records) is reached, or a page has none.
    Offset { parameter: Parameter, size: Option<(Parameter, u64)>, total: Option<String> },
    /// A text or number out of the body; absent, null or empty at the end.
    Cursor { parameter: Parameter, next: String },
    /// The next page's URL out of the body, whole or relative.
    NextUrl { next: String },
    /// The next page's URL out of header `Link` (RFC 8288).
    LinkHeader,
    /// A field of the last record (JSON pointer), until a page has no records.
    Keyset { parameter: Parameter, field: String },
}

/// JSON pointers to what the body says about the total amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Total {
    Records(String),
    Pages(String),
}

/// `incremental = { … }`: only what is new is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Since {
    /// Column of the contract that says when a record was last changed; a date or datetime, or an int64 of epochs.
    pub column: ColumnName,
    /// Takes the time from which on records are asked for.
    pub parameter: Parameter,
    /// `until`. Takes the end of a window.
    pub until: Option<Parameter>,
    pub format: TimeFormat,
    /// Records from here on are asked for at first; everything, if it is not given.
    pub start: Option<Timestamp>,
    /// Seconds by which each request reaches back behind what has been seen, for records that come late.
    pub lookback_s: u64,
    /// `bounds = "open"`: the API leaves out records *at* the time that is sent, so that one unit less is sent. `"closed"` by default.
    pub is_open: bool,
    /// `every`: seconds of a window; what lies far back is fetched window by window, each with a commit of its own.
    pub every_s: Option<u64>,
    /// `missing`: what to do with a record without the column.
    pub missing: Missing,
}

/// Format of a time in a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// `2024-01-31T08:00:00Z`, with a fraction where there is one.
    Rfc3339,
    /// `2024-01-31` (UTC).
    Date,
    EpochS,
    EpochMs,
    /// A text with one time in braces, itself in one of the formats above or in strptime's: `updated:>={rfc3339}`,
    /// `{%Y-%m-%d %H:%M:%S}` (UTC).
    Template {
        before: String,
        time: Box<TimeFormat>,
        after: String,
    },
    Strftime(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It is kept, moves nothing, and is counted in the run record.
    #[default]
    Keep,
    /// The step fails.
    Fail,
}

/// `limits = { … }`: what the API can bear, and what we can.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    pub requests_per_second: Option<f64>,
    /// Pages asked for at once where the first says how many there are (`page` and `offset` with a total); 1 by default.
    pub concurrency: u32,
    /// Number of attempts before a request fails; 6 by default.
    pub attempts: u32,
    /// Seconds from sending a request to its last byte; 60 by default.
    pub timeout_s: u64,
    /// Bytes of a body, unpacked; 64 MiB by default.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { requests_per_second: None, concurrency: 1, attempts: 6, timeout_s: 60, body_bytes: 64 << 20 }
    }
}
