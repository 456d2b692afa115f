//! Every kind of pagination gives the same rows as one request for everything.

use crate::support::api_server::{Encoding, Form, Paging, Style, Total};
use crate::support::orders_api::{Shop, orders};

/// Every kind of pagination, with the definition that reads it.
pub fn kinds() -> Vec<(Style, &'static str)> {
    let data = |paging, source| (Style::for_paging(paging), source);
    let form = |paging, form, source| (Style { form, ..Style::for_paging(paging) }, source);
    let relative = true;
    vec![
        data(Paging::Single, "records = '/data'\npagination = { kind = 'single' }"),
        data(Paging::Page { first: 1, total: Total::Unsaid }, "records = '/data'\npagination = { kind = 'page' }"),
        data(
            Paging::Page { first: 0, total: Total::Records },
            "records = '/data'\npagination = { kind = 'page', first = 0, size = 7, total = '/meta/total' }",
        ),
        data(
            Paging::Page { first: 1, total: Total::Pages },
            "records = '/data'\npagination = { kind = 'page', total_pages = '/meta/pages' }\nlimits = { concurrency = 4 }",
        ),
        data(Paging::Offset { total: Total::Unsaid }, "records = '/data'\npagination = { kind = 'offset', size = 8 }"),
        data(
            Paging::Offset { total: Total::Records },
            "records = '/data'\npagination = { kind = 'offset', total = '/meta/total' }\nlimits = { concurrency = 3 }",
        ),
        data(Paging::Cursor, "records = '/data'\npagination = { kind = 'cursor', next = '/meta/next' }"),
        data(
            Paging::Cursor,
            "method = 'POST'\nbody = '{\"all\": true}'\nrecords = '/data'
            pagination = { kind = 'cursor', parameter = '/page/cursor', in = 'body', next = '/meta/next' }",
        ),
        data(
            Paging::NextUrl { is_relative: false },
            "records = '/data'\npagination = { kind = 'next_url', next = '/links/next' }",
        ),
        data(
            Paging::NextUrl { is_relative: relative },
            "records = '/data'\nquery = { open = true }\npagination = { kind = 'next_url', next = '/links/next' }",
        ),
        form(Paging::LinkHeader { is_relative: false }, Form::Bare, "pagination = { kind = 'link_header' }"),
        form(
            Paging::LinkHeader { is_relative: relative },
            Form::Ndjson,
            "format = 'ndjson'\npagination = { kind = 'link_header' }",
        ),
        data(Paging::Keyset, "records = '/data'\npagination = { kind = 'keyset', parameter = 'after', field = '/id' }"),
        form(
            Paging::Keyset,
            Form::Ndjson,
            "format = 'ndjson'\npagination = { kind = 'keyset', parameter = 'after', field = '/id' }",
        ),
        form(Paging::Page { first: 1, total: Total::Unsaid }, Form::Bare, "pagination = { kind = 'page' }"),
    ]
}

#[test]
fn every_kind_of_pagination_gives_the_same_rows() {
    let records = orders(43);
    let mut whole = None;
    for (style, source) in kinds() {
        let shop = Shop::new(style.clone(), &records, source);
        let record = shop.ingest();
        assert_eq!(record["rows"]["in"], 43, "{source}");
        let asked = shop.api.asked();
        assert_eq!(record["requests"]["api"].as_u64(), Some(asked.len() as u64), "{source}");
        if style.paging != Paging::Single {
            assert!((5..=8).contains(&asked.len()), "{source}: {}", asked.len());
        }
        // Raw records are verbatim, and the clean files are the same.
        let texts = shop.site.sql("SELECT _text FROM orders.raw ORDER BY _page, _row");
        assert_eq!(texts.iter().map(|row| row[0].as_str().unwrap()).collect::<Vec<_>>(), records, "{source}");
        let clean = shop.site.live("orders");
        assert_eq!(whole.get_or_insert_with(|| clean.clone()), &clean, "{source}");
    }
}

#[test]
fn an_empty_answer_is_no_error_and_later_records_are_read() {
    for (style, source) in kinds() {
        let shop = Shop::new(style, &[], source);
        shop.run().expect(0);
        shop.api.append(&orders(3));
        shop.run().expect(0);
        shop.has(3);
    }
}

#[test]
fn pagination_is_recognised_or_the_run_fails() {
    let of = |style: Style, records| Shop::new(style, &orders(24), records);
    let data = "records = '/data'";
    for shop in [
        of(Style::for_paging(Paging::NextUrl { is_relative: false }), data),
        of(Style { form: Form::Bare, ..Style::for_paging(Paging::LinkHeader { is_relative: true }) }, ""),
        of(Style { form: Form::Bare, ..Style::for_paging(Paging::Single) }, ""),
        of(Style::for_paging(Paging::Single), data),
    ] {
        shop.ingest();
        shop.has(24);
    }
    // As many records as a usual page size, and nothing in the answer that says whether there are more.
    let shop = Shop::new(Style { form: Form::Bare, ..Style::for_paging(Paging::Single) }, &orders(25), "");
    shop.run().fails(2, "definition", &["25 records", "single"]);
    // An API that has more records, but whose pagination cannot be recognised, is not read in part.
    for paging in [Paging::Cursor, Paging::Page { first: 1, total: Total::Records }] {
        let shop = of(Style::for_paging(paging), data);
        shop.run().fails(2, "definition", &["pagination", "/meta"]);
        assert!(!shop.site.path("lake/datasets/orders").exists());
    }
}

#[test]
fn compressed_answers_are_read() {
    for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Brotli] {
        let shop = Shop::new(Style::for_paging(Paging::Cursor), &orders(43), CURSOR);
        shop.api.encode(encoding);
        shop.ingest();
        shop.has(43);
    }
}

pub const CURSOR: &str = "records = '/data'\npagination = { kind = 'cursor', next = '/meta/next' }";

#[test]
fn max_pages_limits_the_requests() {
    let shop = Shop::new(Style::for_paging(Paging::Cursor), &orders(43), &format!("{CURSOR}\nmax_pages = 3"));
    shop.run().fails(2, "definition", &["max_pages = 3"]);
    assert_eq!(shop.api.asked().len(), 3);
}
