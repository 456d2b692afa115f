//! More rows in quarantine than usual, or than `[alerts]` allows.

use super::{assert_quiet, only_message};
use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, orders};

/// Daily runs of 1,000 rows, starting at day `from`, with these numbers of quarantined rows.
fn days(harness: &WatcherHarness, from: usize, quarantined: &[u64]) {
    for (day, quarantined) in quarantined.iter().enumerate() {
        let of = |time: &str| format!("2026-03-{:02}T{time}:00Z", from + day);
        harness.put_run(run("orders", "ingest", &of("08:00")));
        harness.put_run(run("orders", "clean", &of("08:01")).scheduled_at(&of("08:00")).rows(1000, *quarantined));
        harness.at(&of("08:05")).tick();
    }
}

#[test]
fn spike_is_three_times_the_median() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    // the usual share is not known yet, so no share is a spike
    days(&harness, 3, &[500, 20, 20, 20, 60]);
    assert_eq!(harness.messages(), []);
    days(&harness, 8, &[61]);
    let message = only_message(&harness);
    assert_eq!(message.head, "🟠 orders: clean put many records into quarantine");
    assert_eq!(
        message.what,
        "61 of 1,000 records (6.1 %) went into quarantine; usual are 2.0 %. The others were published."
    );
    assert_eq!(message.fact("Rows"), "1,000 in, 61 quarantined");
    assert_eq!(message.next, "Nothing: valid records were published, invalid ones are in quarantine.");
    assert_eq!(message.command, "tidemark quarantine list orders");
    assert_eq!(message.incident(), "orders.clean.quarantine#1");
    assert!(message.record().starts_with("lake/runs/2026-03-08/20260308T080100000-"), "{}", message.origin);
    assert_quiet(&harness);
    // the same share on the next day: the incident lasts, with another run
    days(&harness, 9, &[200]);
    let finding = harness.incident("orders.clean.quarantine").finding;
    assert_eq!(
        (finding.scheduled_time, harness.messages()),
        (Some("2026-03-09T08:00:00Z".parse().unwrap()), Vec::new())
    );
    assert_eq!(finding.since.to_string(), "2026-03-08T08:01:30Z");
    days(&harness, 10, &[20]);
    let message = only_message(&harness);
    assert_eq!(message.head, "✅ Over after 1 d 23 h: orders: clean put many records into quarantine");
    assert!(message.what.starts_with("The next run quarantined few records; it lasted 1 d 23 h."), "{}", message.what);
}

#[test]
fn few_rows_are_never_a_spike() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    days(&harness, 3, &[0, 0, 0, 10, 0]);
    assert_eq!(harness.messages(), []);
    days(&harness, 8, &[11]);
    assert!(only_message(&harness).what.contains("usual are 0.0 %"));
}

#[test]
fn alert_limit_applies_from_the_first_run() {
    let alerts = format!("{ALL}\nmax_quarantined = '2%'\nseverity = {{ quarantine = 'critical' }}");
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, &alerts))]);
    harness.assert_not_broken();
    harness.tick();
    days(&harness, 3, &[20]);
    assert_eq!(harness.messages(), []);
    days(&harness, 4, &[21]);
    let message = only_message(&harness);
    assert_eq!(message.head, "🔴 orders: clean put many records into quarantine");
    assert_eq!(
        message.what,
        "21 of 1,000 records (2.1 %) went into quarantine; more than max_quarantined = 2% of [alerts]. The others were published."
    );
    // a failed step has quarantined nothing, which does not resolve the incident
    harness
        .put_run(run("orders", "clean", "2026-03-04T09:00:00Z").failed(tidemark_flow::ErrorKind::Retry, "throttled"));
    harness.put_run(run("orders", "clean", "2026-03-04T09:01:00Z").nothing());
    assert_eq!(harness.at("2026-03-04T09:05:00Z").tick().open, 1);
    days(&harness, 5, &[0]);
    assert!(only_message(&harness).is_over());
}
