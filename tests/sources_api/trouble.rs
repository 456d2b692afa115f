//! Errors of an API: the request is repeated until it succeeds, or the run fails with a helpful message. Nothing is lost, and the next run
//! continues.

use std::time::{Duration, Instant};

use super::pages::CURSOR;
use crate::support::api_server::{Api, Befell, Fault, Paging, Rule, Style, Total, When};
use crate::support::kill::kill_when;
use crate::support::orders_api::{FIELDS, Shop, notes, order, orders};
use crate::support::project::Answer;
use crate::support::wait::{HANG, until};

const PAGES: usize = 5;

/// An API with five pages and a generous timeout.
fn shop(limits: &str) -> Shop {
    shop_within("10m", limits)
}

/// An API with five pages and this timeout per request.
fn shop_within(timeout: &str, limits: &str) -> Shop {
    Shop::new(Style::for_paging(Paging::Cursor), &orders(43), &limited(timeout, limits))
}

fn limited(timeout: &str, limits: &str) -> String {
    format!("{CURSOR}\nlimits = {{ timeout = '{timeout}'{limits} }}")
}

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(2 * HANG.as_secs());

fn date_in(seconds: i64) -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn answer_with(status: u16, headers: Vec<(&'static str, String)>) -> Fault {
    Fault::Answer(status, headers, r#"{"message": "not now"}"#)
}

#[test]
fn temporary_errors_are_retried() {
    let reset = (jiff::Timestamp::now().as_second() + 2).to_string();
    for (fault, note) in [
        (answer_with(429, vec![("retry-after", "1".into())]), "1 × 429"),
        (answer_with(429, vec![("retry-after", date_in(2))]), "1 × 429"),
        (answer_with(429, vec![("ratelimit-reset", "1".into())]), "1 × 429"),
        (answer_with(429, vec![("x-ratelimit-reset", reset)]), "1 × 429"),
        (answer_with(503, vec![]), "1 × 503"),
        (answer_with(500, vec![]), "1 × 500"),
        (answer_with(408, vec![]), "1 × 408"),
        (Fault::Drop, "sent again"),
        (Fault::Cut, "sent again"),
    ] {
        let shop = shop("");
        let befell = shop.api.fail(Rule::new(When::Nth(3), fault.clone()));
        let record = shop.ingest();
        assert_eq!(befell.times(), 1);
        shop.has(43);
        assert!(notes(&record).contains(note), "{fault:?}: {record}");
        assert_eq!(record["requests"]["api"].as_u64(), Some(PAGES as u64 + 1), "{fault:?}");
        assert_eq!(shop.api.asked().len(), PAGES + 1);
    }
    for fault in [Fault::Stall(NEVER), Fault::StallBody(NEVER)] {
        // On a slow machine other requests may time out too.
        let shop = shop_within("1s", ", attempts = 20");
        let befell = shop.api.fail(Rule::new(When::Nth(3), fault.clone()));
        let record = shop.ingest();
        assert_eq!(befell.times(), 1);
        shop.has(43);
        assert!(notes(&record).contains("no answer within 1 s"), "{fault:?}: {record}");
        let asked = shop.api.asked().len();
        assert_eq!(record["requests"]["api"].as_u64(), Some(asked as u64), "{fault:?}");
        assert!(asked > PAGES, "{fault:?}: {asked}");
    }
}

#[test]
fn retry_after_and_requests_per_second_are_kept() {
    let shop = shop("");
    shop.api.fail(Rule::new(When::Nth(2), answer_with(429, vec![("retry-after", "2".into())])));
    shop.ingest();
    let asked = shop.api.asked();
    let pause = asked[2].at.duration_since(asked[1].at);
    assert!(pause >= Duration::from_millis(1950), "{pause:?}");
    // `requests_per_second` is kept.
    let slow = Shop::new(
        Style::for_paging(Paging::Cursor),
        &orders(43),
        &format!("{CURSOR}\nlimits = {{ requests_per_second = 5 }}"),
    );
    let began = Instant::now();
    slow.ingest();
    assert!(began.elapsed() >= Duration::from_millis(750), "{:?}", began.elapsed());
}

#[test]
fn a_truncated_body_is_requested_again() {
    let shop = shop("");
    let befell = shop.api.fail(Rule::new(When::Nth(3), Fault::Halve));
    shop.ingest();
    assert_eq!(befell.times(), 1);
    shop.has(43);
}

#[test]
fn an_api_that_fails_one_request_in_four_is_read_completely() {
    for seed in 1..=3 {
        let shop = shop(", attempts = 10");
        let all: Vec<_> = [answer_with(503, vec![("retry-after", "0".into())]), Fault::Drop, Fault::Cut]
            .into_iter()
            .enumerate()
            .map(|(nth, fault)| shop.api.fail(Rule::new(When::Random(seed * 10 + nth as u64, 9), fault)))
            .collect();
        shop.ingest();
        shop.has(43);
        println!("seed {seed}: {:?}", all.iter().map(Befell::times).collect::<Vec<_>>());
    }
}

#[test]
fn the_order_of_records_does_not_matter() {
    let plain = shop("");
    plain.ingest();
    let shop = shop("");
    shop.api.fail(Rule::new(When::Every(2), Fault::Reorder));
    shop.ingest();
    assert_eq!(shop.site.live("orders"), plain.site.live("orders"));
}

/// A run with a permanent fault on the third page fails; the next run without the fault has all rows.
#[track_caller]
fn fails_then_recovers(fault: Fault, code: i32, kind: &str, words: &[&str]) {
    let limits = ", attempts = 2, body = '1MB'";
    let shop = shop_within(if matches!(fault, Fault::Stall(_)) { "1s" } else { "10m" }, limits);
    let befell = shop.api.fail(Rule::new(When::Always, fault).for_part("cursor=after-20"));
    let answer = shop.run();
    answer.fails(code, kind, words);
    assert!(befell.times() >= 1);
    // Nothing is committed.
    assert!(!shop.site.path("lake/datasets/orders").exists());
    shop.api.recover();
    shop.redefine(&format!("{}/v1/orders", shop.api.origin()), &limited("10m", limits));
    let _ = shop.api.asked();
    shop.run().expect(0);
    shop.has(43);
    // The landed pages are kept: first only the rest is requested, then everything, for changes made meanwhile.
    let asked: Vec<_> = shop.api.asked().iter().map(|asked| asked.parameter("cursor").unwrap_or_default()).collect();
    assert_eq!(asked[..PAGES - 2], ["after-20", "after-30", "after-40"], "{asked:?}");
    assert!(asked.len() <= PAGES - 2 + PAGES, "{asked:?}");
    let again: Answer = shop.run();
    assert_eq!(again.expect(0).step("clean")["status"], "nothing_to_do");
}

#[test]
fn permanent_errors_fail_the_run_and_landed_pages_are_kept() {
    let url = "/v1/orders";
    let cases: Vec<(Fault, i32, &str, Vec<&str>)> = vec![
        (answer_with(503, vec![]), 1, "retry", vec![url, "2 attempts", "503", "not now", "run again"]),
        (answer_with(429, vec![("retry-after", "90000".into())]), 1, "retry", vec![url, "wait"]),
        (answer_with(404, vec![]), 2, "definition", vec![url, "404", "`url`"]),
        (answer_with(401, vec![]), 1, "refused", vec![url, "401", "auth"]),
        (Fault::Drop, 1, "retry", vec![url, "2 attempts"]),
        (Fault::Cut, 1, "retry", vec![url, "2 attempts"]),
        // Complete as far as HTTP can say, but invalid in three attempts.
        (Fault::Halve, 3, "data", vec!["page 3", "ends too early", "landing/orders/"]),
        (Fault::Stall(NEVER), 1, "retry", vec!["no answer within 1 s"]),
        (Fault::Login, 3, "data", vec!["markup", "Sign in"]),
        (Fault::NotJson, 3, "data", vec!["JSON"]),
        (Fault::RecordsGone, 3, "data", vec!["/data"]),
        (Fault::Bomb(8), 1, "refused", vec!["larger", "limits"]),
        (Fault::Endless, 1, "refused", vec!["larger than 1000000", "limits"]),
    ];
    for (fault, code, kind, words) in cases {
        println!("{fault:?}");
        fails_then_recovers(fault, code, kind, &words);
    }
}

#[test]
fn repeated_and_empty_pages_fail_the_run() {
    for (fault, words) in
        [(Fault::PreviousPage, ["earlier", ""]), (Fault::EmptyPage, ["no records", "more pages follow"])]
    {
        println!("{fault:?}");
        fails_then_recovers(fault, 3, "data", &words);
    }
    // With a total, a missing page is noticed.
    for paging in ["page', total = '/meta/total'", "offset', total = '/meta/total'"] {
        let style = if paging.starts_with("page") {
            Paging::Page { first: 1, total: Total::Records }
        } else {
            Paging::Offset { total: Total::Records }
        };
        let shop = Shop::new(
            Style::for_paging(style),
            &orders(43),
            &format!("records = '/data'\npagination = {{ kind = '{paging} }}"),
        );
        shop.api.fail(Rule::new(When::Nth(3), Fault::EmptyPage));
        shop.api.fail(Rule::new(When::Nth(4), Fault::EmptyPage));
        let first = shop.run();
        assert!(first.code == 0 || !shop.site.path("lake/datasets/orders").exists(), "{first:?}");
        shop.api.recover();
        shop.run().expect(0);
        shop.has(43);
    }
}

#[test]
fn a_page_that_changed_between_attempts_adds_no_duplicates() {
    let shop = shop(", attempts = 1");
    shop.api.fail(Rule::new(When::First(1), answer_with(503, vec![])).for_part("after-20"));
    shop.run().fails(1, "retry", &["503"]);
    shop.api.recover();
    let changed = Fault::Otherwise(|records| {
        records[0] = records[0].replace(".50", ".99");
        records.insert(1, order(99, 30, "1"));
    });
    shop.api.fail(Rule::new(When::Always, changed));
    shop.run().expect(0);
    // Landed and new records are versions of the same orders.
    let ids = shop.ids();
    assert_eq!(ids.iter().filter(|id| **id <= 43).count(), 43);
    assert_eq!(ids.iter().filter(|id| **id == 99).count(), 1);
}

#[test]
fn a_broken_record_does_not_reject_its_page() {
    let mut records = orders(43);
    records[4] = r#"{"id": 5, "at": "2026-01-01T00:05:00Z", "amount": "twelve"}"#.into();
    let shop = Shop::new(Style::for_paging(Paging::Cursor), &records, CURSOR);
    assert_eq!(shop.run().expect(0).step("clean")["rows"]["quarantined"], 1);
    assert_eq!(shop.ids().len(), 42);
    let quarantine = shop.site.sql("SELECT column, value FROM orders.quarantine");
    assert_eq!(quarantine, [["amount", "twelve"]]);
}

#[test]
fn concurrent_runs_end_as_one() {
    let shop = shop("");
    shop.api.fail(Rule::new(When::Every(2), Fault::Stall(Duration::from_millis(30))));
    let codes: Vec<Answer> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| shop.run())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for answer in codes {
        assert!(answer.code == 0 || answer.error()["kind"] == "retry", "{answer:?}");
    }
    shop.run().expect(0);
    shop.has(43);
    assert_eq!(shop.site.sql("SELECT id FROM orders").len(), 43);
    assert_eq!(shop.site.sql("SELECT _text FROM orders.raw").len(), 43);
}

#[test]
fn an_unreachable_api_is_named_in_the_error() {
    let shop = shop("");
    let unreachable = Api::new(Style::for_paging(Paging::Single), FIELDS, &[]).origin();
    shop.redefine(&format!("{unreachable}/v1/orders"), "pagination = { kind = 'single' }\nlimits = { attempts = 2 }");
    shop.run().fails(1, "retry", &[&unreachable, "2 attempts", "no connection"]);
}

/// Pages by number or offset, ordered by time: one record without_third shifts all that follow.
#[test]
fn records_that_shift_between_pages_are_not_lost() {
    for (paging, source) in [
        (Paging::Page { first: 1, total: Total::Records }, "kind = 'page', total = '/meta/total'"),
        (Paging::Offset { total: Total::Records }, "kind = 'offset', total = '/meta/total'"),
    ] {
        let source = format!("records = '/data'\npagination = {{ {source} }}");
        let shop = Shop::new(Style::for_paging(paging), &orders(43), &source);
        shop.api.fail(Rule::new(When::Nth(3), Fault::Stall(Duration::from_millis(800))));
        let without_third: Vec<String> =
            orders(43).into_iter().filter(|record| !record.contains("\"id\": 3,")).collect();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| shop.run());
            let mut asked = 0;
            until("the third page is asked for", || {
                asked += shop.api.asked().len();
                asked >= 3 || run.is_finished()
            });
            shop.api.replace(&without_third);
            let first = run.join().unwrap();
            assert!(first.code == 0 || first.error()["kind"] == "retry", "{first:?}");
        });
        shop.run().expect(0);
        let missing: Vec<i64> = (1..=43).filter(|id| *id != 3 && !shop.ids().contains(id)).collect();
        assert!(missing.is_empty(), "{source}: {missing:?} are lost");
    }
}

#[test]
fn an_api_that_ignores_page_parameters_fails_the_run() {
    for source in ["kind = 'page'", "kind = 'offset', size = 8", "kind = 'keyset', parameter = 'after', field = '/id'"]
    {
        let shop = Shop::new(
            Style::for_paging(Paging::Single),
            &orders(43),
            &format!("records = '/data'\npagination = {{ {source} }}"),
        );
        let answer = shop.run();
        answer.fails(3, "data", &["page 2", "earlier"]);
        assert!(shop.api.asked().len() <= 4, "{source}");
        assert!(!shop.site.path("lake/datasets/orders").exists());
    }
}

#[test]
fn the_next_run_continues_a_killed_run() {
    let shop = shop("");
    shop.api.fail(Rule::new(When::First(1), Fault::Stall(NEVER)).for_part("after-30"));
    let mut command = shop.site.command(crate::support::project::tidemark());
    command.args(["run", "--at", crate::support::orders_api::AT]);
    let is_asked = || shop.api.asked().iter().any(|asked| asked.query.contains("after-30"));
    assert!(kill_when(&mut command, libc::SIGKILL, is_asked));
    shop.ingest();
    shop.has(43);
    assert_eq!(shop.api.asked()[0].parameter("cursor").as_deref(), Some("after-30"));
}
