//! More in quarantine than usual, or than `[alerts]` allows.

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, orders};
use super::{lasts, one};
use crate::crash::house::Backend;

/// Runs of as many days from one on, each with so many of a thousand in quarantine.
fn days(tower: &Tower, from: usize, quarantined: &[u64]) {
    for (day, quarantined) in quarantined.iter().enumerate() {
        let of = |time: &str| format!("2026-03-{:02}T{time}:00Z", from + day);
        tower.ran(run("orders", "ingest", &of("08:00")));
        tower.ran(run("orders", "clean", &of("08:01")).of(&of("08:00")).rows(1000, *quarantined));
        tower.at(&of("08:05")).tick();
    }
}

#[test]
fn much_is_three_times_the_median() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    // what is usual is not known yet, however much it is
    days(&tower, 3, &[500, 20, 20, 20, 60]);
    assert_eq!(tower.messages(), []);
    days(&tower, 8, &[61]);
    let said = one(&tower);
    assert_eq!(said.head, "🟠 orders: clean put many records into quarantine");
    assert_eq!(
        said.what,
        "61 of 1,000 records (6.1 %) went into quarantine; usual are 2.0 %. The others were published."
    );
    assert_eq!(said.fact("Rows"), "1,000 in, 61 quarantined");
    assert_eq!(said.next, "Nothing: what is good was published, and what is not waits in quarantine.");
    assert_eq!(said.command, "tidemark quarantine list orders");
    assert_eq!(said.incident(), "orders.clean.quarantine#1");
    assert!(said.record().starts_with("lake/runs/2026-03-08/20260308T080100000-"), "{}", said.origin);
    lasts(&tower);
    // as much the next day: it lasts, with another run
    days(&tower, 9, &[200]);
    let finding = tower.incident("orders.clean.quarantine").finding;
    assert_eq!((finding.scheduled_time, tower.messages()), (Some("2026-03-09T08:00:00Z".parse().unwrap()), Vec::new()));
    assert_eq!(finding.since.to_string(), "2026-03-08T08:01:30Z");
    days(&tower, 10, &[20]);
    let said = one(&tower);
    assert_eq!(said.head, "✅ Over after 1 d 23 h: orders: clean put many records into quarantine");
    assert!(said.what.starts_with("The next run put few aside; it lasted 1 d 23 h."), "{}", said.what);
}

#[test]
fn a_few_are_never_much() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    days(&tower, 3, &[0, 0, 0, 10, 0]);
    assert_eq!(tower.messages(), []);
    days(&tower, 8, &[11]);
    assert!(one(&tower).what.contains("usual are 0.0 %"));
}

#[test]
fn what_alerts_allow_counts_from_the_first_run_on() {
    let alerts = format!("{ALL}\nmax_quarantined = '2%'\nseverity = {{ quarantine = 'critical' }}");
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, &alerts))]);
    tower.is_sound();
    tower.tick();
    days(&tower, 3, &[20]);
    assert_eq!(tower.messages(), []);
    days(&tower, 4, &[21]);
    let said = one(&tower);
    assert_eq!(said.head, "🔴 orders: clean put many records into quarantine");
    assert_eq!(
        said.what,
        "21 of 1,000 records (2.1 %) went into quarantine; more than max_quarantined = 2% of [alerts]. The others were published."
    );
    // a step that fails has put nothing aside: it is not over by that
    tower.ran(run("orders", "clean", "2026-03-04T09:00:00Z").failed(tidemark_flow::ErrorKind::Retry, "throttled"));
    tower.ran(run("orders", "clean", "2026-03-04T09:01:00Z").nothing());
    assert_eq!(tower.at("2026-03-04T09:05:00Z").tick().open, 1);
    days(&tower, 5, &[0]);
    assert!(one(&tower).is_over());
}
