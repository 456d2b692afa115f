//! Whatever an API does: it heals, or the run fails with words that help; nothing is lost, and the next run goes on.

use std::time::{Duration, Instant};

use super::pages::CURSOR;
use super::shop::{FIELDS, Shop, notes, order, orders};
use crate::api::{Api, Befell, Fault, Paging, Rule, Style, Total, When};
use crate::site::Answer;
use crate::support::kill::kill_when;
use crate::support::wait::{HANG, until};

const PAGES: usize = 5;

/// An API with five pages, which has all the time it needs.
fn shop(limits: &str) -> Shop {
    shop_within("10m", limits)
}

/// One that has so much time for an answer.
fn shop_within(timeout: &str, limits: &str) -> Shop {
    Shop::new(Style::for_paging(Paging::Cursor), &orders(43), &limited(timeout, limits))
}

fn limited(timeout: &str, limits: &str) -> String {
    format!("{CURSOR}\nlimits = {{ timeout = '{timeout}'{limits} }}")
}

/// It never ends by itself.
const NEVER: Duration = Duration::from_secs(2 * HANG.as_secs());

fn date_in(seconds: i64) -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn says(status: u16, headers: Vec<(&'static str, String)>) -> Fault {
    Fault::Answer(status, headers, r#"{"message": "not now"}"#)
}

#[test]
fn what_passes_is_waited_for() {
    let reset = (jiff::Timestamp::now().as_second() + 2).to_string();
    for (fault, word) in [
        (says(429, vec![("retry-after", "1".into())]), "1 × 429"),
        (says(429, vec![("retry-after", date_in(2))]), "1 × 429"),
        (says(429, vec![("ratelimit-reset", "1".into())]), "1 × 429"),
        (says(429, vec![("x-ratelimit-reset", reset)]), "1 × 429"),
        (says(503, vec![]), "1 × 503"),
        (says(500, vec![]), "1 × 500"),
        (says(408, vec![]), "1 × 408"),
        (Fault::Drop, "sent again"),
        (Fault::Cut, "sent again"),
    ] {
        let shop = shop("");
        let befell = shop.api.fail(Rule::new(When::Nth(3), fault.clone()));
        let record = shop.ingest();
        assert_eq!(befell.times(), 1);
        shop.has(43);
        assert!(notes(&record).contains(word), "{fault:?}: {record}");
        assert_eq!(record["requests"]["api"].as_u64(), Some(PAGES as u64 + 1), "{fault:?}");
        assert_eq!(shop.api.asked().len(), PAGES + 1);
    }
    for fault in [Fault::Stall(NEVER), Fault::StallBody(NEVER)] {
        // a machine that is slow may need some more attempts
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
fn an_api_says_how_long_to_wait_and_is_left_alone_so_long() {
    let shop = shop("");
    shop.api.fail(Rule::new(When::Nth(2), says(429, vec![("retry-after", "2".into())])));
    shop.ingest();
    let asked = shop.api.asked();
    let pause = asked[2].at.duration_since(asked[1].at);
    assert!(pause >= Duration::from_millis(1950), "{pause:?}");
    // and no faster than agreed
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
fn a_body_that_is_half_there_is_asked_for_again() {
    let shop = shop("");
    let befell = shop.api.fail(Rule::new(When::Nth(3), Fault::Halve));
    shop.ingest();
    assert_eq!(befell.times(), 1);
    shop.has(43);
}

#[test]
fn an_api_that_fails_one_time_in_four_is_read_whole() {
    for seed in 1..=3 {
        let shop = shop(", attempts = 10");
        let all: Vec<_> = [says(503, vec![("retry-after", "0".into())]), Fault::Drop, Fault::Cut]
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

/// A run with a fault on the third page for ever; then one without, that has all rows.
#[track_caller]
fn fails_then_heals(fault: Fault, code: i32, kind: &str, words: &[&str]) {
    let limits = ", attempts = 2, body = '1MB'";
    let shop = shop_within(if matches!(fault, Fault::Stall(_)) { "1s" } else { "10m" }, limits);
    let befell = shop.api.fail(Rule::new(When::Always, fault).for_part("cursor=after-20"));
    let answer = shop.run();
    answer.fails(code, kind, words);
    assert!(befell.times() >= 1);
    // nothing is half there
    assert!(!shop.site.path("lake/datasets/orders").exists());
    shop.api.recover();
    shop.redefine(&format!("{}/v1/orders", shop.api.origin()), &limited("10m", limits));
    let _ = shop.api.asked();
    shop.run().expect(0);
    shop.has(43);
    // what had come was kept: only the rest is asked for; then, for what has changed meanwhile, everything
    let asked: Vec<_> = shop.api.asked().iter().map(|asked| asked.parameter("cursor").unwrap_or_default()).collect();
    assert_eq!(asked[..PAGES - 2], ["after-20", "after-30", "after-40"], "{asked:?}");
    assert!(asked.len() <= PAGES - 2 + PAGES, "{asked:?}");
    let again: Answer = shop.run();
    assert_eq!(again.expect(0).step("clean")["status"], "nothing_to_do");
}

#[test]
fn what_does_not_pass_is_said_and_what_came_is_kept() {
    let url = "/v1/orders";
    let cases: Vec<(Fault, i32, &str, Vec<&str>)> = vec![
        (says(503, vec![]), 1, "retry", vec![url, "2 attempts", "503", "not now", "run again"]),
        (says(429, vec![("retry-after", "90000".into())]), 1, "retry", vec![url, "wait"]),
        (says(404, vec![]), 2, "definition", vec![url, "404", "`url`"]),
        (says(401, vec![]), 1, "refused", vec![url, "401", "auth"]),
        (Fault::Drop, 1, "retry", vec![url, "2 attempts"]),
        (Fault::Cut, 1, "retry", vec![url, "2 attempts"]),
        // it came whole, as far as HTTP can tell, and three times
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
        fails_then_heals(fault, code, kind, &words);
    }
}

#[test]
fn pages_that_lead_nowhere_are_noticed() {
    for (fault, words) in
        [(Fault::PreviousPage, ["earlier", ""]), (Fault::EmptyPage, ["no records", "more pages follow"])]
    {
        println!("{fault:?}");
        fails_then_heals(fault, 3, "data", &words);
    }
    // with a total it is known that a page is missing
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
fn a_page_that_has_become_another_does_not_mix_with_what_was_kept() {
    let shop = shop(", attempts = 1");
    shop.api.fail(Rule::new(When::First(1), says(503, vec![])).for_part("after-20"));
    shop.run().fails(1, "retry", &["503"]);
    shop.api.recover();
    let otherwise = Fault::Otherwise(|records| {
        records[0] = records[0].replace(".50", ".99");
        records.insert(1, order(99, 30, "1"));
    });
    shop.api.fail(Rule::new(When::Always, otherwise));
    shop.run().expect(0);
    // what was kept and what has come since are versions of the same orders
    let ids = shop.ids();
    assert_eq!(ids.iter().filter(|id| **id <= 43).count(), 43);
    assert_eq!(ids.iter().filter(|id| **id == 99).count(), 1);
}

#[test]
fn broken_records_do_not_cost_the_page() {
    let mut records = orders(43);
    records[4] = r#"{"id": 5, "at": "2026-01-01T00:05:00Z", "amount": "twelve"}"#.into();
    let shop = Shop::new(Style::for_paging(Paging::Cursor), &records, CURSOR);
    assert_eq!(shop.run().expect(0).step("clean")["rows"]["quarantined"], 1);
    assert_eq!(shop.ids().len(), 42);
    let quarantine = shop.site.sql("SELECT column, value FROM orders.quarantine");
    assert_eq!(quarantine, [["amount", "twelve"]]);
}

#[test]
fn two_runs_at_once_end_as_one() {
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
fn an_api_that_is_not_there_is_said_by_its_name() {
    let shop = shop("");
    let gone = Api::new(Style::for_paging(Paging::Single), FIELDS, &[]).origin();
    shop.redefine(&format!("{gone}/v1/orders"), "pagination = { kind = 'single' }\nlimits = { attempts = 2 }");
    shop.run().fails(1, "retry", &[&gone, "2 attempts", "no connection"]);
}

/// Paged by number, in the order of their times; one more or less moves all that follow.
#[test]
fn a_list_that_moves_while_it_is_read_loses_nothing() {
    for (paging, source) in [
        (Paging::Page { first: 1, total: Total::Records }, "kind = 'page', total = '/meta/total'"),
        (Paging::Offset { total: Total::Records }, "kind = 'offset', total = '/meta/total'"),
    ] {
        let source = format!("records = '/data'\npagination = {{ {source} }}");
        let shop = Shop::new(Style::for_paging(paging), &orders(43), &source);
        shop.api.fail(Rule::new(When::Nth(3), Fault::Stall(Duration::from_millis(800))));
        let fewer: Vec<String> = orders(43).into_iter().filter(|record| !record.contains("\"id\": 3,")).collect();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| shop.run());
            let mut asked = 0;
            until("the third page is asked for", || {
                asked += shop.api.asked().len();
                asked >= 3 || run.is_finished()
            });
            shop.api.replace(&fewer);
            let first = run.join().unwrap();
            assert!(first.code == 0 || first.error()["kind"] == "retry", "{first:?}");
        });
        shop.run().expect(0);
        let missing: Vec<i64> = (1..=43).filter(|id| *id != 3 && !shop.ids().contains(id)).collect();
        assert!(missing.is_empty(), "{source}: {missing:?} are lost");
    }
}

#[test]
fn an_api_that_knows_no_pages_is_not_read_for_ever() {
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
fn a_run_that_is_killed_is_gone_on_with() {
    let shop = shop("");
    shop.api.fail(Rule::new(When::First(1), Fault::Stall(NEVER)).for_part("after-30"));
    let mut command = shop.site.command(crate::site::tidemark());
    command.args(["run", "--at", super::shop::AT]);
    let is_asked = || shop.api.asked().iter().any(|asked| asked.query.contains("after-30"));
    assert!(kill_when(&mut command, libc::SIGKILL, is_asked));
    shop.ingest();
    shop.has(43);
    assert_eq!(shop.api.asked()[0].parameter("cursor").as_deref(), Some("after-30"));
}
