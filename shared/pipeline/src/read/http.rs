//! `[source]` with `kind = "http"`.

mod paging;
mod parameter;
mod since;

use toml::de::DeValue;
use url::Url;

use super::fields::{Fields, TextValue, described};
use super::values::{count, duration, is_plain_secret, named_secret, pointer, secret};
use crate::diagnostic::quoted;
use crate::http::{Auth, Body, Http, Limits, Method};

pub(super) const FIELDS: [&str; 13] = [
    "kind",
    "url",
    "method",
    "headers",
    "query",
    "body",
    "auth",
    "format",
    "records",
    "pagination",
    "max_pages",
    "incremental",
    "limits",
];

pub(super) fn http(fields: &Fields<'_, '_>) -> Option<Http> {
    let url = fields.needed("url", "the URL of an API, as in `https://api.example.com/v1/orders`");
    let is_url = url.as_ref().is_some_and(|url| origin(fields, "url", url));
    let method = fields.choice("method", &[("GET", Method::Get), ("POST", Method::Post)]);
    let body = fields.filled("body", "a JSON object").filter(|text| is_body(fields, text));
    if method == Some(Method::Get) {
        fields.refuse("body", "this field only with `method = \"POST\"`");
    }
    let method = method.unwrap_or(if body.is_some() { Method::Post } else { Method::Get });
    let format = fields.choice("format", &[("json", Body::Json), ("ndjson", Body::Ndjson)]).unwrap_or(Body::Json);
    if format == Body::Ndjson {
        fields.refuse("records", "this field only with `format = \"json\"`; in NDJSON every line is a record");
    }
    let (pagination, allows_empty) = paging::pagination(fields, method, format).unzip();
    let incremental = match fields.open("incremental", "[source.incremental]", &since::FIELDS) {
        Some(inner) => since::since(&inner, method),
        None => None,
    };
    let max_pages = count(fields, "max_pages", 1, 10_000_000).and_then(|max| u32::try_from(max).ok());
    let http = Http {
        url: url?.text,
        method,
        headers: pairs(fields, "headers"),
        query: pairs(fields, "query"),
        body: body.map(|body| body.text),
        auth: auth(fields),
        format,
        records: pointer(fields, "records").unwrap_or_default(),
        pagination,
        allows_empty: allows_empty.unwrap_or(false),
        max_pages: max_pages.unwrap_or(100_000),
        incremental,
        limits: limits(fields),
    };
    is_url.then_some(http)
}

/// Whether it is an HTTP URL without credentials, or contains a parameter.
fn origin(fields: &Fields<'_, '_>, key: &str, text: &TextValue) -> bool {
    if text.text.contains("${") {
        return true;
    }
    let expected = "an `http://` or `https://` URL";
    let wrong = |found: String, expected: &str| {
        fields.reader.report(text.at, format!("{found} for `{key}` in {}", fields.label), expected);
        false
    };
    match Url::parse(&text.text) {
        Err(_) => wrong(quoted(&text.text), expected),
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() => {
            wrong(quoted(&text.text), expected)
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            wrong("a URL with a user or password in it".into(), "`auth` as well, with the name of a secret")
        }
        Ok(_) => true,
    }
}

fn is_body(fields: &Fields<'_, '_>, text: &TextValue) -> bool {
    let object = serde_json::from_str::<serde_json::Value>(&text.text).is_ok_and(|value| value.is_object());
    if !object && !text.text.contains("${") {
        fields.reader.report(
            text.at,
            format!("an invalid JSON object for `body` in {}", fields.label),
            "as in `{\"status\": \"open\"}`",
        );
    }
    object || text.text.contains("${")
}

/// A table of strings.
fn pairs(fields: &Fields<'_, '_>, key: &str) -> Vec<(String, String)> {
    let Some(value) = fields.value(key) else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        let found = format!("{} for `{key}` in {}", described(value.get_ref()), fields.label);
        fields.reader.report(value.span().start, found, "a table, as in `{ name = \"value\" }`");
        return Vec::new();
    };
    let pair = |(name, value): (&toml::Spanned<toml::de::DeString<'_>>, super::fields::Value<'_>)| {
        let name = name.get_ref().to_string();
        if key == "headers" && name.eq_ignore_ascii_case("authorization") {
            let hint = "write `auth = { bearer = { secret = \"name\" } }`".to_owned();
            let found = format!("header {} in {}", quoted(&name), fields.label);
            fields.reader.report_with_hint(value.span().start, found, "no credentials in a pipeline file", Some(hint));
            return None;
        }
        let text = match value.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            _ => fields.reader.text(value, &format!("`{key}.{name}` in {}", fields.label))?.text,
        };
        Some((name, text))
    };
    table.iter().filter_map(pair).collect()
}

fn auth(top: &Fields<'_, '_>) -> Option<Auth> {
    const KINDS: [&str; 4] = ["bearer", "basic", "api_key", "oauth2"];
    let fields = top.open("auth", "[source.auth]", &KINDS)?;
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| fields.value(kind).is_some()).collect();
    let [kind] = given.as_slice() else {
        let found = format!(
            "{} kinds of `auth` in [source]",
            if given.is_empty() { "no".into() } else { given.len().to_string() }
        );
        fields.reader.report(fields.at, found, "one of `bearer`, `basic`, `api_key`, `oauth2`");
        return None;
    };
    // a string here may be the secret itself, so it is not repeated
    if is_plain_secret(&fields, kind) {
        return None;
    }
    match *kind {
        "bearer" => Some(Auth::Bearer(named_secret(&fields.open("bearer", "[source.auth.bearer]", &["secret"])?)?)),
        "basic" => {
            let inner = fields.open("basic", "[source.auth.basic]", &["user", "password"])?;
            let user = inner.needed("user", "the user's name");
            let password = secret(&inner, "password", "[source.auth.basic.password]");
            Some(Auth::Basic { user: user?.text, password: password? })
        }
        "api_key" => {
            let inner = fields.open("api_key", "[source.auth.api_key]", &["header", "query", "secret"])?;
            let secret = named_secret(&inner);
            match (inner.text("header"), inner.text("query")) {
                (Some(name), None) => Some(Auth::Header { name: name.text, secret: secret? }),
                (None, Some(name)) => Some(Auth::Query { name: name.text, secret: secret? }),
                _ => {
                    inner.missing("header", "either `header = \"X-Api-Key\"` or `query = \"key\"`");
                    None
                }
            }
        }
        _ => {
            let known = ["token_url", "client_id", "client_secret", "scope"];
            let inner = fields.open("oauth2", "[source.auth.oauth2]", &known)?;
            let token_url = inner.needed("token_url", "the URL that gives tokens");
            let is_url = token_url.as_ref().is_some_and(|url| origin(&inner, "token_url", url));
            let client_id = inner.needed("client_id", "the client's id");
            let client_secret = secret(&inner, "client_secret", "[source.auth.oauth2.client_secret]");
            let scope = inner.text("scope").map(|scope| scope.text);
            let (token_url, client_id) = (token_url?.text, client_id?.text);
            let client_secret = client_secret?;
            is_url.then_some(Auth::Oauth2 { token_url, client_id, client_secret, scope })
        }
    }
}

fn limits(top: &Fields<'_, '_>) -> Limits {
    let standard = Limits::default();
    let known = ["requests_per_second", "concurrency", "attempts", "timeout", "body"];
    let Some(fields) = top.open("limits", "[source.limits]", &known) else { return standard };
    let requests_per_second = fields.value("requests_per_second").and_then(|value| {
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.to_string().parse::<f64>().ok(),
            DeValue::Float(number) => number.to_string().parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| (0.001..=10_000.0).contains(number));
        if number.is_none() {
            let found = format!("{} for `requests_per_second` in [source.limits]", described(value.get_ref()));
            fields.reader.report(value.span().start, found, "a number from 0.001 to 10000");
        }
        number
    });
    let small = |key: &str, max: u64| count(&fields, key, 1, max).and_then(|number| u32::try_from(number).ok());
    Limits {
        requests_per_second,
        concurrency: small("concurrency", 64).unwrap_or(standard.concurrency),
        attempts: small("attempts", 100).unwrap_or(standard.attempts),
        timeout_s: duration(&fields, "timeout").unwrap_or(standard.timeout_s),
        body_bytes: size(&fields).unwrap_or(standard.body_bytes),
    }
}

/// A size in bytes: `"64MB"`.
fn size(fields: &Fields<'_, '_>) -> Option<u64> {
    let text = fields.text("body")?;
    let units = [("kB", 1_000), ("MB", 1_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20)];
    let read =
        |(unit, bytes): (&str, u64)| text.text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(bytes);
    let bytes = units.into_iter().find_map(read).filter(|bytes| (1_000..=1 << 30).contains(bytes));
    if bytes.is_none() {
        let found = format!("{} for `body` in [source.limits]", quoted(&text.text));
        fields.reader.report(text.at, found, "a size from `\"1kB\"` to `\"1024MiB\"`");
    }
    bytes
}
