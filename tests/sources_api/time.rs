//! Incremental fetches request only new records, and late records are found by the lookback.

use super::pages::CURSOR;
use crate::support::api_server::{Api, Bound, Fault, Filter, Form, Paging, Rule, Style, Time, When};
use crate::support::orders_api::{AT, FIELDS, Shop, notes, order, orders};

fn filtered(time: Time, since: Bound) -> Style {
    Style { filter: Some(Filter { time, since, until: Bound::Exclusive }), ..Style::for_paging(Paging::Cursor) }
}

fn since(rest: &str) -> String {
    format!("{CURSOR}\nincremental = {{ column = 'at', parameter = 'since'{rest} }}")
}

fn inclusive(rest: &str) -> Shop {
    Shop::new(filtered(Time::Rfc3339, Bound::Inclusive), &orders(43), &since(rest))
}

#[test]
fn the_second_run_requests_only_new_records() {
    let shop = inclusive("");
    assert_eq!(shop.ingest()["rows"]["in"], 43);
    assert_eq!(shop.api.asked()[0].parameter("since"), None);
    shop.api.append(&[order(44, 50, "1"), order(7, 51, "7.77")]);
    shop.ingest();
    let asked = shop.api.asked();
    assert_eq!(asked[0].parameter("since").as_deref(), Some("2026-01-01T00:43:00Z"));
    assert_eq!(asked.len(), 1);
    shop.has(44);
    assert_eq!(shop.site.sql("SELECT amount FROM orders WHERE id = 7")[0][0].to_string().trim_matches('"'), "7.77");
}

#[test]
fn without_new_records_nothing_is_committed() {
    let shop = inclusive(", lookback = '10m'");
    shop.ingest();
    let before = shop.site.files("lake/datasets");
    let _ = shop.api.asked();
    let answer = shop.run().expect(0);
    assert!(answer.statuses().iter().all(|(_, status)| status == "nothing_to_do"), "{}", answer.out);
    assert_eq!(shop.api.asked().len(), 2);
    assert!(shop.site.files("lake/datasets") == before);
}

#[test]
fn every_time_format_of_the_parameter() {
    for (time, format, expected) in [
        (Time::Rfc3339, "rfc3339", "2026-01-01T00:43:00Z"),
        (Time::EpochS, "epoch_s", "1767228180"),
        (Time::EpochMs, "epoch_ms", "1767228180000"),
        (Time::Date, "date", "2026-01-01"),
    ] {
        let shop = Shop::new(filtered(time, Bound::Inclusive), &orders(43), &since(&format!(", format = '{format}'")));
        shop.ingest();
        let _ = shop.api.asked();
        shop.api.append(&[order(44, 50, "1")]);
        shop.ingest();
        assert_eq!(shop.api.asked()[0].parameter("since").as_deref(), Some(expected));
        shop.has(44);
    }
}

#[test]
fn with_an_exclusive_bound_no_record_is_lost() {
    for (time, format) in [(Time::Rfc3339, "rfc3339"), (Time::EpochS, "epoch_s"), (Time::EpochMs, "epoch_ms")] {
        let rest = format!(", format = '{format}', bounds = 'open'");
        let shop = Shop::new(filtered(time, Bound::Exclusive), &orders(43), &since(&rest));
        shop.ingest();
        // At the same time as the newest record seen so far.
        shop.api.append(&[order(44, 43, "1")]);
        shop.ingest();
        shop.has(44);
    }
}

#[test]
fn late_records_are_found_by_the_lookback_or_a_full_run() {
    for (rest, is_seen) in [("", false), (", lookback = '30m'", true)] {
        let shop = inclusive(rest);
        shop.ingest();
        shop.api.append(&[order(44, 20, "1"), order(45, 60, "1")]);
        shop.ingest();
        assert_eq!(shop.ids().contains(&44), is_seen, "{rest}");
        assert!(shop.ids().contains(&45));
        // Records received again do not add rows.
        assert_eq!(shop.ids().len(), if is_seen { 45 } else { 44 });
        if !is_seen {
            let full = shop.call(&["run", "--at", AT, "--json", "--full"]).expect(0);
            assert_eq!(full.step("ingest")["rows"]["in"], 45);
            shop.has(45);
        }
    }
}

#[test]
fn history_is_fetched_and_committed_by_windows() {
    // `until` excludes its bound or includes it.
    for (until, start) in [(Bound::Exclusive, "2026-01-01T00:00:00Z"), (Bound::Inclusive, "2026-01-01T00:05:00Z")] {
        let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until };
        let style = Style { filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
        let rest = format!(", until = 'until', start = '{start}', every = '10m'");
        let shop = Shop::new(style, &orders(43), &since(&rest));
        let at = ["run", "--at", "2026-01-01T01:00:00Z", "--json"];
        shop.call(&at).expect(0);
        let first = if start.ends_with("00:00:00Z") { 1 } else { 5 };
        assert_eq!(shop.ids(), (first..=43).collect::<Vec<i64>>());
        let windows = shop.site.sql("SELECT COUNT(DISTINCT _object) AS n FROM orders.raw");
        assert!(windows[0][0].as_i64() >= Some(4), "{windows:?}");
        // Each window is a commit.
        let commits = shop.call(&["show", "orders.raw", "--history", "--json"]).expect(0).rows();
        assert!(commits.len() >= 4, "{commits:?}");
        shop.call(&at).expect(0);
        assert_eq!(shop.ids(), (first..=43).collect::<Vec<i64>>());
    }
}

#[test]
fn committed_windows_are_not_requested_again() {
    let shop = inclusive(", until = 'until', start = '2026-01-01T00:00:00Z', every = '10m'");
    let fault = Fault::Answer(500, vec![], "");
    shop.api.fail(Rule::new(When::Always, fault).for_part("since=2026-01-01T00%3A30"));
    let at = ["run", "--at", "2026-01-01T01:00:00Z", "--json"];
    let text = std::fs::read_to_string(shop.site.path("infra/pipelines/orders.toml")).unwrap();
    let with_one_attempt = text.replace("[contract]\n", "limits = { attempts = 1 }\n[contract]\n");
    shop.site.write("infra/pipelines/orders.toml", with_one_attempt);
    let answer = shop.call(&at);
    answer.fails(1, "retry", &["500"]);
    // The first three windows are already in the lake.
    assert_eq!(shop.site.sql("SELECT COUNT(*) AS n FROM orders.raw WHERE _text LIKE '%id%'")[0][0], 29);
    shop.api.recover();
    let _ = shop.api.asked();
    shop.call(&at).expect(0);
    shop.has(43);
    let asked = shop.api.asked();
    let since: Vec<_> = asked.iter().filter_map(|asked| asked.parameter("since")).collect();
    assert!(since.iter().all(|since| since.as_str() >= "2026-01-01T00:30:00Z"), "{since:?}");
}

#[test]
fn time_and_cursor_can_be_sent_in_the_body() {
    let source = "method = 'POST'\nrecords = '/data'
        pagination = { kind = 'cursor', parameter = '/page/cursor', in = 'body', next = '/meta/next' }
        incremental = { column = 'at', parameter = '/filter/since', in = 'body' }";
    let shop = Shop::new(filtered(Time::Rfc3339, Bound::Inclusive), &orders(43), source);
    shop.ingest();
    shop.api.append(&[order(44, 50, "1")]);
    let _ = shop.api.asked();
    shop.ingest();
    shop.has(44);
    let asked = shop.api.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].query.as_str()), ("POST", ""));
    assert_eq!(asked[0].parameter("since").as_deref(), Some("2026-01-01T00:43:00Z"));
}

#[test]
fn records_without_a_time_are_kept_and_counted_or_fail_the_run() {
    // The records have no field at the path of the time column.
    let contract =
        "[contract]\nkey = ['id']\n[contract.columns]\nid = 'int64'\nat = { type = 'datetime', from = '/when' }";
    let of = |missing: &str| {
        let api = Api::new(filtered(Time::Rfc3339, Bound::Inclusive), FIELDS, &orders(10));
        Shop::with(api, &since(&format!(", missing = '{missing}'")), contract)
    };
    let shop = of("keep");
    let record = shop.ingest();
    assert!(notes(&record).contains("10 records"), "{record}");
    shop.has(10);
    // The bookmark has not moved, so everything is requested again.
    let _ = shop.api.asked();
    shop.ingest();
    assert_eq!(shop.api.asked()[0].parameter("since"), None);
    let shop = of("fail");
    shop.run().fails(3, "data", &["at", "missing"]);
    assert!(!shop.site.path("lake/datasets/orders").exists());
}

#[test]
fn with_deletes_absent_missing_records_are_deleted() {
    for key in ["key = ['id']\nlatest_by = 'at'", ""] {
        let style = Style { form: Form::Bare, ..Style::for_paging(Paging::LinkHeader { is_relative: true }) };
        let contract = format!(
            "[contract]\n{key}\ndeletes = 'absent'\ncolumns = {{ id = 'int64', at = 'datetime', amount = 'decimal(12,2)' }}"
        );
        let api = Api::new(style, FIELDS, &orders(30));
        let shop = Shop::with(api, "pagination = { kind = 'link_header' }", &contract);
        shop.ingest();
        shop.has(30);
        shop.api.replace(&orders(12));
        shop.ingest();
        shop.has(12);
        let again = shop.ingest();
        assert_eq!(again["status"], "nothing_to_do", "{again}");
    }
}
