//! Quiet hours and silences.

use watch::{Silence, silence};

use super::super::tower::{ALL, Tower, orders, pipeline};
use super::{ends_well, fails};
use crate::crash::house::Backend;

const QUIET: &str =
    "slack = { secret = 'slack-webhook' }\nquiet = { from = '22:00', to = '07:00', timezone = 'Europe/London' }";

/// Two pipelines in a summer night, of which one has quiet hours.
fn night(alerts: &str) -> Tower {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders("", alerts)), ("shop", &pipeline("shop", "", ALL))]);
    tower.is_sound();
    tower.at("2026-07-03T20:50:00Z").tick();
    // in London it is ten
    tower.at("2026-07-03T21:00:00Z");
    tower
}

#[test]
fn what_comes_in_quiet_hours_waits_for_their_end() {
    let tower = night(QUIET);
    fails(&tower, "orders");
    fails(&tower, "shop");
    let ticked = tower.tick();
    assert_eq!((ticked.opened.len(), ticked.sent, ticked.unsent), (2, 1, 0));
    assert_eq!(tower.heads(), ["🔴 shop: clean failed"]);
    tower.ticks(8, 60);
    tower.at("2026-07-04T05:59:00Z").tick();
    assert_eq!(tower.messages(), []);
    tower.at("2026-07-04T06:00:00Z").tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    tower.ticks(20, 5);
    assert_eq!(tower.messages(), []);
}

#[test]
fn what_is_over_by_then_is_one_message() {
    let tower = night(QUIET);
    for _ in 0..2 {
        fails(&tower, "orders");
        tower.tick();
        tower.after(120);
        ends_well(&tower, "orders");
        tower.tick();
        tower.after(60);
    }
    assert_eq!(tower.messages(), []);
    tower.at("2026-07-04T06:00:00Z").tick();
    assert_eq!(tower.heads(), ["✅ Over after 2 h: orders: clean failed"]);
    tower.ticks(20, 5);
    assert_eq!(tower.messages(), []);
}

#[test]
fn what_was_told_before_is_over_in_the_night_and_told_in_the_morning() {
    let tower = night(QUIET);
    tower.at("2026-07-03T20:59:00Z");
    fails(&tower, "orders");
    tower.tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    tower.after(60);
    ends_well(&tower, "orders");
    tower.tick();
    assert_eq!(tower.messages(), []);
    tower.at("2026-07-04T06:00:00Z").tick();
    assert!(tower.heads()[0].starts_with("✅ Over after 1 h"));
}

#[test]
fn but_for_what_is_excepted() {
    let tower = night(&QUIET.replace("' }", "', except = 'critical' }").replacen("', except = 'critical' }", "' }", 1));
    tower.is_sound();
    fails(&tower, "orders");
    tower.tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    tower.after(5);
    ends_well(&tower, "orders");
    tower.tick();
    assert_eq!(tower.heads().len(), 1);
}

fn silenced(tower: &Tower, until: &str) {
    let silence_of = Silence { until: until.parse().unwrap(), since: tower.now(), reason: Some("a move".into()) };
    silence(&tower.lake(), &"orders".parse().unwrap(), &silence_of).unwrap();
}

#[test]
fn nothing_is_told_of_a_silenced_pipeline_until_its_end() {
    let tower = night(ALL);
    silenced(&tower, "2026-07-03T23:00:00Z");
    fails(&tower, "orders");
    fails(&tower, "shop");
    tower.tick();
    assert_eq!(tower.heads(), ["🔴 shop: clean failed"]);
    tower.ticks(23, 5);
    assert_eq!(tower.messages(), []);
    // open at its end
    tower.at("2026-07-03T23:00:00Z").tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
}

#[test]
fn what_resolved_in_it_is_nobodys_news() {
    let tower = night(ALL);
    silenced(&tower, "2026-07-03T23:00:00Z");
    for _ in 0..2 {
        fails(&tower, "orders");
        tower.tick();
        tower.after(20);
        ends_well(&tower, "orders");
        assert_eq!(tower.tick().resolved.len(), 1);
        tower.after(20);
    }
    tower.at("2026-07-03T23:00:00Z").tick();
    tower.ticks(5, 5);
    assert_eq!(tower.messages(), []);
    // and the next one is told
    fails(&tower, "orders");
    tower.tick();
    assert_eq!(tower.messages().len(), 1);
}

#[test]
fn what_was_told_before_it_is_told_to_its_end_after_it() {
    let tower = night(ALL);
    fails(&tower, "orders");
    tower.tick();
    assert_eq!(tower.messages().len(), 1);
    silenced(&tower, "2026-07-03T23:00:00Z");
    tower.after(20);
    ends_well(&tower, "orders");
    assert_eq!(tower.tick().resolved.len(), 1);
    assert_eq!(tower.messages(), []);
    tower.at("2026-07-03T23:00:00Z").tick();
    assert_eq!(tower.heads(), ["✅ Over after 20 min: orders: clean failed"]);
}

#[test]
fn a_silence_may_be_lifted() {
    let tower = night(ALL);
    silenced(&tower, "2026-07-05T23:00:00Z");
    fails(&tower, "orders");
    tower.tick();
    tower.lake().delete_silence(&"orders".parse().unwrap()).unwrap();
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
}
