use super::*;
use crate::definition::*;
use crate::http::*;

const CONTRACT: &str = "
[contract]
key = ['id']
[contract.columns]
id = 'int64'
name = 'string'
updated_at = 'datetime'
";

fn http(source: &str) -> Http {
    let text = format!("[source]\nkind = 'http'\nurl = 'https://api.example.com/v1/orders'\n{source}\n{CONTRACT}");
    let pipeline = read_text(&text).unwrap_or_else(|all| panic!("{all:#?}"));
    match pipeline.source {
        Some(Source::Http(http)) => *http,
        other => panic!("{other:?}"),
    }
}

/// The errors of a source; its first line is line 4.
fn http_errors(source: &str) -> Vec<String> {
    errors(&format!("[source]\nkind = 'http'\nurl = 'https://api.example.com/v1/orders'\n{source}\n{CONTRACT}"))
}

#[test]
fn what_is_not_said_has_a_default() {
    let http = http("");
    assert_eq!((http.method, http.format, http.records.as_str()), (Method::Get, Body::Json, ""));
    assert_eq!((http.pagination, http.max_pages, http.incremental, http.auth), (None, 100_000, None, None));
    assert_eq!(http.limits, Limits::default());
}

#[test]
fn a_whole_source() {
    let http = http(
        "body = '{\"filter\": {}}'
        headers = { Accept = 'application/json' }
        query = { limit = 100, open = true }
        auth = { oauth2 = { token_url = 'https://login.example.com/t', client_id = 'me', client_secret = { secret = 's-1' }, scope = 'read' } }
        records = '/data'
        pagination = { kind = 'cursor', parameter = 'after', in = 'body', next = '/meta/next' }
        incremental = { column = 'updated_at', parameter = 'since', until = 'before', format = 'at:{%Y-%m-%d}', start = '2024-01-01', lookback = '2h', every = '1d', bounds = 'open', missing = 'fail' }
        limits = { requests_per_second = 2.5, timeout = '15s', attempts = 3, body = '8MB' }",
    );
    assert_eq!(http.method, Method::Post);
    assert_eq!(http.query, [("limit".to_owned(), "100".to_owned()), ("open".to_owned(), "true".to_owned())]);
    assert_eq!(http.auth.as_ref().unwrap().secret().as_str(), "s-1");
    let parameter = Parameter::Body("/after".into());
    assert_eq!(http.pagination, Some(Pagination::Cursor { parameter, next: "/meta/next".into() }));
    let since = http.incremental.unwrap();
    assert_eq!(since.start, Some("2024-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(
        (since.lookback_s, since.every_s, since.is_open, since.missing),
        (7200, Some(86_400), true, Missing::Fail)
    );
    let time = Box::new(TimeFormat::Strftime("%Y-%m-%d".into()));
    assert_eq!(since.format, TimeFormat::Template { before: "at:".into(), time, after: String::new() });
    assert_eq!(
        (http.limits.requests_per_second, http.limits.timeout_s, http.limits.body_bytes),
        (Some(2.5), 15, 8_000_000)
    );
}

#[test]
fn every_paginator() {
    let paging = |text: &str| http(&format!("pagination = {{ {text} }}")).pagination.unwrap();
    let query = |name: &str| Parameter::Query(name.to_owned());
    assert_eq!(paging("kind = 'single'"), Pagination::Single);
    assert_eq!(paging("kind = 'link_header'"), Pagination::LinkHeader);
    assert_eq!(paging("kind = 'next_url', next = '/next'"), Pagination::NextUrl { next: "/next".into() });
    assert_eq!(
        paging("kind = 'page', first = 0, size = 50, total_pages = '/pages'"),
        Pagination::Page {
            parameter: query("page"),
            first: 0,
            size: Some((query("per_page"), 50)),
            total: Some(Total::Pages("/pages".into()))
        }
    );
    assert_eq!(
        paging("kind = 'offset', parameter = 'skip', total = '/total'"),
        Pagination::Offset { parameter: query("skip"), size: None, total: Some("/total".into()) }
    );
    assert_eq!(
        paging("kind = 'keyset', parameter = 'after_id', field = '/id'"),
        Pagination::Keyset { parameter: query("after_id"), field: "/id".into() }
    );
}

#[test]
fn every_mistake_has_its_place() {
    assert_eq!(
        http_errors(
            "pagination = { kind = 'pages' }\nrecords = 'data.items'\nauth = { bearer = { secret = 'TOKEN' } }"
        ),
        [
            "4:23: `pages` for `kind` in [source.pagination]; expected one of `single`, `page`, `offset`, `cursor`, `next_url`, `link_header`, `keyset`; did you mean `page`?",
            "5:11: `data.items` for `records` in [source]; expected a JSON pointer, which starts with `/`; write `records = \"/data/items\"`",
            "6:30: `TOKEN` for a secret's name; expected 1 to 100 bytes of a-z, 0-9 and -, starting with a letter",
        ]
    );
    assert_eq!(
        http_errors(
            "pagination = { kind = 'single', next = '/n' }\nbody = '[]'\nlimits = { timeout = '1 hour', body = '1GB' }"
        ),
        [
            "4:40: `next` in [source.pagination]; expected no such field with `kind = \"single\"`",
            "5:8: an invalid JSON object for `body` in [source]; expected as in `{\"status\": \"open\"}`",
            "6:22: `1 hour` for `timeout` in [source.limits]; expected a duration, as in `\"90s\"`, `\"15m\"`, `\"2h\"` or `\"1d\"`",
            "6:39: `1GB` for `body` in [source.limits]; expected a size from `\"1kB\"` to `\"1024MiB\"`",
        ]
    );
    assert_eq!(
        http_errors("incremental = { column = 'name', parameter = 'since', every = '1d', format = 'iso' }"),
        [
            "4:15: [source.incremental] has no `start`; expected `start = \"2024-01-01T00:00:00Z\"`, the start of the first window, \
             because there is `every`",
            "4:15: [source.incremental] has no `until`; expected `until = \"…\"`, the parameter for the end of a window, because \
             there is `every`",
            "4:78: `iso` for `format` in [source.incremental]; expected `rfc3339`, `date`, `epoch_s`, `epoch_ms`, a format such as `%Y-%m-%d %H:%M:%S`, or a text with one of them in braces",
        ]
    );
    assert_eq!(
        http_errors("incremental = { column = 'name', parameter = 'since' }"),
        [
            "8:1: column `name` of [source.incremental], which is not a date or time; expected a column of type `date` or \
             `datetime`, or `int64` with `format = \"epoch_s\"` or `\"epoch_ms\"`"
        ]
    );
}

#[test]
fn credentials_stay_out_of_the_file() {
    assert_eq!(
        errors(&format!("[source]\nkind = 'http'\nurl = 'https://me:pw@example.com'\n{CONTRACT}")),
        [
            "3:7: a URL with a user or password in it for `url` in [source]; expected `auth` as well, with the name of a secret"
        ]
    );
    assert_eq!(
        http_errors("headers = { authorization = 'Bearer x' }"),
        [
            "4:29: header `authorization` in [source]; expected no credentials in a pipeline file; write `auth = { bearer = { secret = \"name\" } }`"
        ]
    );
    assert_eq!(
        http_errors("auth = { bearer = 'the-token' }"),
        [
            "4:19: a string for `bearer` in [source.auth]; expected the name of a secret; write `bearer = { secret = \"name\" }`; \
             store the value in environment variable TIDEMARK_SECRET_NAME, or in AWS Secrets Manager"
        ]
    );
    assert_eq!(
        http_errors("auth = { basic = { user = 'me', password = 'pw' } }"),
        [
            "4:44: a string for `password` in [source.auth.basic]; expected the name of a secret; write `password = { secret = \
             \"name\" }`; store the value in environment variable TIDEMARK_SECRET_NAME, or in AWS Secrets Manager"
        ]
    );
}

#[test]
fn what_comes_again_must_be_known_again() {
    let of = |contract: &str| {
        errors(&format!(
            "[source]\nkind = 'http'\nurl = 'https://example.com'\n[contract]\n{contract}\ncolumns = {{ id = 'int64' }}"
        ))
    };
    assert_eq!(
        of(""),
        [
            "4:1: [contract] has no `key`; expected `key = […]`, which identifies records that the API returns again; without a key \
             and `incremental`, `deletes = \"absent\"` replaces all rows each time"
        ]
    );
    assert_eq!(of("deletes = 'absent'"), [""; 0]);
    assert_eq!(
        contract_errors("deletes = 'absent'\ncolumns = { id = 'int64' }"),
        [
            "5:11: `deletes` in [contract]; expected this field only with a source of kind `http`; when a file changes, its \
             previous rows are removed anyway"
        ]
    );
}
