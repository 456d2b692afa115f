//! `[source]` with `kind = "http"`: an API that returns JSON in pages.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{ColumnName, SecretName};

/// Source `http`, with the values of its parameters. Secrets are fetched when a request is made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Http {
    /// `http://` or `https://`, without user and password. No other origin receives requests, except that of an OAuth2 `token_url`.
    pub url: String,
    /// `GET` by default, `POST` if there is a body.
    pub method: Method,
    /// `headers = { Accept = "application/json" }`
    pub headers: Vec<(String, String)>,
    /// `query = { per_page = "100" }`, sent with every request.
    pub query: Vec<(String, String)>,
    /// A JSON object, sent with every `POST`. Parameters of paging and time may be set in it.
    pub body: Option<String>,
    pub auth: Option<Auth>,
    /// `json` by default.
    pub format: Body,
    /// JSON pointer to the records in a page: an array, or a single object. Empty (default) for the whole body.
    pub records: String,
    /// `None`: detected from the first response if that is unambiguous.
    pub pagination: Option<Pagination>,
    /// `empty_pages = true` in `pagination`: pages with records may follow a page without records. Otherwise that is an error.
    pub allows_empty: bool,
    /// Maximum pages of a window; 100,000 by default. A window with more fails, because its paging may be endless.
    pub max_pages: u32,
    /// `None`: all records are requested each time.
    pub incremental: Option<Since>,
    pub limits: Limits,
}

impl Http {
    /// A source with this URL, and defaults for the other settings.
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
    /// JSON lines, one record per line.
    Ndjson,
}

/// Authentication. Credentials are sent to the origin of the source's `url` only.
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
    /// credentials (RFC 6749, 4.4). A token is reused while it is valid, and replaced after a 401.
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

/// A request parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parameter {
    /// In the query string.
    Query(String),
    /// In the JSON body, at this pointer (`/page/after`).
    Body(String),
}

/// The method of paging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pagination {
    /// A single page.
    Single,
    /// A page number, incremented until `total` is reached or a page has no records.
    Page { parameter: Parameter, first: u64, size: Option<(Parameter, u64)>, total: Option<Total> },
    /// The number of records before the page, until `total` (JSON pointer, in records) is reached or a page has no records.
    Offset { parameter: Parameter, size: Option<(Parameter, u64)>, total: Option<String> },
    /// A string or number from the body (JSON pointer `next`); absent, null or empty on the last page.
    Cursor { parameter: Parameter, next: String },
    /// The next page's URL from the body (JSON pointer), absolute or relative.
    NextUrl { next: String },
    /// The next page's URL from header `Link` (RFC 8288).
    LinkHeader,
    /// A field of the last record (JSON pointer), until a page has no records.
    Keyset { parameter: Parameter, field: String },
}

/// JSON pointer to the total number of records or pages in the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Total {
    Records(String),
    Pages(String),
}

/// `incremental = { … }`: only records changed since the last run are requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Since {
    /// Column of the contract with the time of a record's last change: a date, a datetime, or an int64 of epoch seconds or milliseconds.
    pub column: ColumnName,
    /// Parameter for the start of a window.
    pub parameter: Parameter,
    /// `until`: parameter for the end of a window.
    pub until: Option<Parameter>,
    pub format: TimeFormat,
    /// Start of the first request; `None` requests all records.
    pub start: Option<Timestamp>,
    /// Seconds before the greatest time seen at which the next request starts, to include late records.
    pub lookback_s: u64,
    /// `bounds = "open"`: the API excludes records *at* the time sent, so one unit less is sent. `"closed"` by default.
    pub is_open: bool,
    /// `every`: length of a window in seconds. Each window of a long period is committed separately.
    pub every_s: Option<u64>,
    /// `missing`: handling of records without the column.
    pub missing: Missing,
}

/// Format of a time in a request parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// `2024-01-31T08:00:00Z`, with a fraction if it is not zero.
    Rfc3339,
    /// `2024-01-31` (UTC).
    Date,
    EpochS,
    EpochMs,
    /// A text with one time in braces, in one of the formats above or a strftime format: `updated:>={rfc3339}`,
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
    /// Keep it, and count it in the run record. It does not advance the bookmark.
    #[default]
    Keep,
    /// Fail the step.
    Fail,
}

/// `limits = { … }`: limits of requests and responses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    pub requests_per_second: Option<f64>,
    /// Concurrent page requests, once the number of pages is known (`page` and `offset` with a total); 1 by default.
    pub concurrency: u32,
    /// Maximum attempts of a request; 6 by default.
    pub attempts: u32,
    /// Timeout in seconds, from sending the request to the last byte of the response; 60 by default.
    pub timeout_s: u64,
    /// Maximum size of an uncompressed body in bytes; 64 MiB by default.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { requests_per_second: None, concurrency: 1, attempts: 6, timeout_s: 60, body_bytes: 64 << 20 }
    }
}
