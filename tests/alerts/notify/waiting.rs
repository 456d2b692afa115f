//! Quiet hours and silences.

use watch::{Silence, silence};

use super::{fail, succeed};
use crate::support::daily_sales::Backend;
use crate::support::watcher::{ALL, WatcherHarness, orders, pipeline};

const QUIET: &str =
    "slack = { secret = 'slack-webhook' }\nquiet = { from = '22:00', to = '07:00', timezone = 'Europe/London' }";

/// Two pipelines on a summer night, one of them with quiet hours.
fn night(alerts: &str) -> WatcherHarness {
    let harness =
        WatcherHarness::new(Backend::Memory, &[("orders", &orders("", alerts)), ("shop", &pipeline("shop", "", ALL))]);
    harness.assert_not_broken();
    harness.at("2026-07-03T20:50:00Z").tick();
    // 22:00 in London.
    harness.at("2026-07-03T21:00:00Z");
    harness
}

#[test]
fn quiet_hours_delay_messages() {
    let harness = night(QUIET);
    fail(&harness, "orders");
    fail(&harness, "shop");
    let report = harness.tick();
    assert_eq!((report.opened.len(), report.sent, report.unsent), (2, 1, 0));
    assert_eq!(harness.headlines(), ["🔴 shop: clean failed"]);
    harness.ticks(8, 60);
    harness.at("2026-07-04T05:59:00Z").tick();
    assert_eq!(harness.messages(), []);
    harness.at("2026-07-04T06:00:00Z").tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    harness.ticks(20, 5);
    assert_eq!(harness.messages(), []);
}

#[test]
fn incident_resolved_in_quiet_hours_is_one_message() {
    let harness = night(QUIET);
    for _ in 0..2 {
        fail(&harness, "orders");
        harness.tick();
        harness.after(120);
        succeed(&harness, "orders");
        harness.tick();
        harness.after(60);
    }
    assert_eq!(harness.messages(), []);
    harness.at("2026-07-04T06:00:00Z").tick();
    assert_eq!(harness.headlines(), ["✅ Over after 2 h: orders: clean failed"]);
    harness.ticks(20, 5);
    assert_eq!(harness.messages(), []);
}

#[test]
fn resolution_in_quiet_hours_is_sent_after_them() {
    let harness = night(QUIET);
    harness.at("2026-07-03T20:59:00Z");
    fail(&harness, "orders");
    harness.tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    harness.after(60);
    succeed(&harness, "orders");
    harness.tick();
    assert_eq!(harness.messages(), []);
    harness.at("2026-07-04T06:00:00Z").tick();
    assert!(harness.headlines()[0].starts_with("✅ Over after 1 h"));
}

#[test]
fn excepted_severity_ignores_quiet_hours() {
    let harness =
        night(&QUIET.replace("' }", "', except = 'critical' }").replacen("', except = 'critical' }", "' }", 1));
    harness.assert_not_broken();
    fail(&harness, "orders");
    harness.tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    harness.after(5);
    succeed(&harness, "orders");
    harness.tick();
    assert_eq!(harness.headlines().len(), 1);
}

fn silenced(harness: &WatcherHarness, until: &str) {
    let silence_of = Silence { until: until.parse().unwrap(), since: harness.now(), reason: Some("a move".into()) };
    silence(&harness.lake(), &"orders".parse().unwrap(), &silence_of).unwrap();
}

#[test]
fn silence_delays_messages() {
    let harness = night(ALL);
    silenced(&harness, "2026-07-03T23:00:00Z");
    fail(&harness, "orders");
    fail(&harness, "shop");
    harness.tick();
    assert_eq!(harness.headlines(), ["🔴 shop: clean failed"]);
    harness.ticks(23, 5);
    assert_eq!(harness.messages(), []);
    // still open at the end of the silence
    harness.at("2026-07-03T23:00:00Z").tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
}

#[test]
fn incident_resolved_in_a_silence_is_not_reported() {
    let harness = night(ALL);
    silenced(&harness, "2026-07-03T23:00:00Z");
    for _ in 0..2 {
        fail(&harness, "orders");
        harness.tick();
        harness.after(20);
        succeed(&harness, "orders");
        assert_eq!(harness.tick().resolved.len(), 1);
        harness.after(20);
    }
    harness.at("2026-07-03T23:00:00Z").tick();
    harness.ticks(5, 5);
    assert_eq!(harness.messages(), []);
    // the next opening is reported
    fail(&harness, "orders");
    harness.tick();
    assert_eq!(harness.messages().len(), 1);
}

#[test]
fn resolution_in_a_silence_is_sent_after_it() {
    let harness = night(ALL);
    fail(&harness, "orders");
    harness.tick();
    assert_eq!(harness.messages().len(), 1);
    silenced(&harness, "2026-07-03T23:00:00Z");
    harness.after(20);
    succeed(&harness, "orders");
    assert_eq!(harness.tick().resolved.len(), 1);
    assert_eq!(harness.messages(), []);
    harness.at("2026-07-03T23:00:00Z").tick();
    assert_eq!(harness.headlines(), ["✅ Over after 20 min: orders: clean failed"]);
}

#[test]
fn silence_can_be_lifted() {
    let harness = night(ALL);
    silenced(&harness, "2026-07-05T23:00:00Z");
    fail(&harness, "orders");
    harness.tick();
    harness.lake().delete_silence(&"orders".parse().unwrap()).unwrap();
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
}
