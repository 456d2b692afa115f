//! A pipeline that did not start when its schedule said so.

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, orders, pipeline};
use super::{lasts, one};
use crate::crash::house::Backend;

#[test]
fn it_is_told_of_and_started() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    assert_eq!(tower.at("2026-03-03T08:14:59Z").tick().open, 0);
    let ticked = tower.at("2026-03-03T08:15:00Z").tick();
    assert_eq!((ticked.opened[0].incident.as_str(), ticked.announced), ("orders.not_started#1", 1));
    let said = one(&tower);
    assert_eq!(said.head, "🔴 orders: did not start on schedule");
    assert_eq!(
        said.what,
        "its schedule (cron 0 8 * * ? * (UTC)) meant 2026-03-03 08:00 UTC, and it was not started\n\
         → look whether its schedule is there and switched on, and may invoke function ingest"
    );
    assert_eq!((said.fact("Scheduled"), said.time("opened")), ("2026-03-03 08:00 UTC", "2026-03-03 08:00 UTC"));
    assert_eq!(
        said.next,
        "The watcher has started it now for this time, and does so again every half hour until it has. \
         The schedule is next due at 2026-03-04 08:00 UTC."
    );
    assert_eq!(said.command, "tidemark run orders --at 2026-03-03T08:00:00Z");
    assert_eq!((said.record(), said.incident()), ("", "orders.not_started#1"));
    let announced = tower.announced();
    assert_eq!((announced.len(), announced[0].step.to_string().as_str()), (1, "ingest"));
    assert_eq!((announced[0].function.as_str(), announced[0].correlation_id.as_str()), ("ingest", "watch"));
    assert!(announced[0].always_record, "its record is kept, even if there is nothing to do");
    lasts(&tower);
    assert_eq!(tower.heard_on_bus(), ["orders/ingest at 2026-03-03T08:00:00Z"; 3]);

    // the next day it is not started either: that is the same
    tower.at("2026-03-04T08:15:00Z").tick();
    assert_eq!(tower.messages(), []);
    assert_eq!(tower.heard_on_bus(), ["orders/ingest at 2026-03-04T08:00:00Z"]);
    let finding = tower.incident("orders.not_started").finding;
    assert_eq!(finding.since.to_string(), "2026-03-03T08:00:00Z");

    tower.ran(run("orders", "ingest", "2026-03-04T08:16:00Z").of("2026-03-04T08:00:00Z").nothing());
    assert_eq!(tower.at("2026-03-04T08:20:00Z").tick().resolved.len(), 1);
    let said = one(&tower);
    assert_eq!(said.head, "✅ Over after 1 d: orders: did not start on schedule");
    assert!(
        said.what.starts_with("The pipeline has been started, or its schedule has changed; it lasted 1 d 0 h."),
        "{}",
        said.what
    );
    lasts(&tower);
}

#[test]
fn what_has_been_started_is_not_missed() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    // it failed, or goes on, or has only said that it is under way; started it has been
    let ways = ["failed", "continues", "mark", "object"];
    for (day, way) in ways.iter().enumerate() {
        let at = |time: &str| format!("2026-03-{:02}T{time}:00Z", day + 3);
        let ingest = || run("orders", "ingest", &at("08:00"));
        match *way {
            "failed" => drop(tower.ran(ingest().failed(tidemark_flow::ErrorKind::Retry, "throttled"))),
            "continues" => drop(tower.ran(ingest().continues())),
            "mark" => drop(tower.marks("orders", "ingest", &at("08:00"), &at("08:14"))),
            _ => drop(tower.ran(run("orders", "ingest", &at("08:05")))),
        }
        tower.at(&at("08:15")).tick();
        let missed: Vec<_> = tower.open().into_iter().filter(|id| id.contains("not_started")).collect();
        assert_eq!(missed, [""; 0], "{way}");
    }
}

#[test]
fn what_was_before_it_was_known_is_not_missed() {
    let mut tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.at("2026-03-03T12:00:00Z").tick();
    tower.changes("other", &pipeline("other", DAILY, ALL));
    tower.ticks(20, 5);
    assert_eq!(tower.open(), [""; 0]);
    // nor what another schedule would have meant
    tower.changes("orders", &orders("schedule = { cron = '0 13 * * ? *', timezone = 'UTC' }", ALL));
    tower.ticks(20, 5);
    assert_eq!(tower.open(), [""; 0]);
    // from then on it is
    tower.at("2026-03-04T13:15:00Z").tick();
    assert_eq!(tower.open(), ["orders.not_started#1", "other.not_started#1"]);
    // a new schedule begins anew, and so does the waiting
    tower.changes("orders", &orders("schedule = { cron = '0 14 * * ? *', timezone = 'UTC' }", ALL));
    tower.at("2026-03-04T13:20:00Z").tick();
    assert_eq!(tower.open(), ["other.not_started#1"]);
}

#[test]
fn a_rate_that_no_cron_says_is_given_one_of_its_periods() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders("schedule = { rate = '5 hours' }", ALL))]);
    tower.is_sound();
    tower.at("2026-03-03T07:59:00Z").tick();
    // the platform counts from another moment
    tower.ran(run("orders", "ingest", "2026-03-03T08:13:00Z"));
    assert_eq!(tower.at("2026-03-03T15:14:59Z").tick().open, 0);
    // ten, a period and a quarter of an hour
    assert_eq!(tower.at("2026-03-03T15:15:00Z").tick().open, 1);
    let said = one(&tower);
    assert!(said.what.contains("its schedule (rate 5 hours) meant 2026-03-03 10:00 UTC"), "{}", said.what);
    assert!(said.what.contains("the last start was for 2026-03-03 08:13 UTC"), "{}", said.what);
}

/// A month of mornings around each change of the clocks: each is missed once and at its time, though it may not exist, or come twice.
#[test]
fn the_clocks_change() {
    for (from, to) in
        [("2026-03-20T00:00:00Z", "2026-04-05T00:00:00Z"), ("2026-10-20T00:00:00Z", "2026-11-01T00:00:00Z")]
    {
        let top = "schedule = { cron = '30 1 * * ? *', timezone = 'Europe/London' }";
        let tower = Tower::new(Backend::Memory, &[("orders", &orders(top, ALL))]);
        tower.at(from).tick();
        let mut missed = Vec::new();
        while tower.now() < to.parse().unwrap() {
            tower.after(15).tick();
            for due in tower.announced() {
                // as soon as it is announced it is started
                let began = tower.now().to_string();
                tower.ran(run("orders", "ingest", &began).of(&due.scheduled_time.to_string()));
                missed.push((due.scheduled_time, tower.now()));
            }
        }
        let schedule = tower.graph().pipelines()[0].schedule.clone().unwrap();
        let mut expected = Vec::new();
        let mut at = from.parse().unwrap();
        while let Some(next) = schedule.next(at).filter(|next| *next < to.parse().unwrap()) {
            expected.push((next, next + jiff::SignedDuration::from_mins(15)));
            at = next;
        }
        assert_eq!(missed, expected);
        let incident = tower.incident("orders.not_started");
        assert_eq!(incident.opening as usize, expected.len());
    }
}

#[test]
fn nothing_is_said_of_it_while_its_file_is_broken() {
    let mut tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    tower.at("2026-03-03T08:15:00Z").tick();
    assert_eq!(tower.heads(), ["🔴 orders: did not start on schedule"]);
    tower.changes("orders", &orders("schedule = 5", ALL));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 orders: its pipeline file is broken, nothing of it runs"]);
    tower.changes("orders", &orders(DAILY, ALL));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["✅ Over after 5 min: orders: its pipeline file is broken, nothing of it runs"]);
    assert_eq!(tower.open(), ["orders.not_started#1"]);
}
