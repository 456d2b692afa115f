//! Pipelines that did not start on schedule.

use super::{assert_quiet, only_message};
use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, orders, pipeline};

#[test]
fn missed_start_is_reported_and_announced_again() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    assert_eq!(harness.at("2026-03-03T08:14:59Z").tick().open, 0);
    let report = harness.at("2026-03-03T08:15:00Z").tick();
    assert_eq!((report.opened[0].incident.as_str(), report.announced), ("orders.not_started#1", 1));
    let message = only_message(&harness);
    assert_eq!(message.head, "🔴 orders: did not start on schedule");
    assert_eq!(
        message.what,
        "its schedule (cron 0 8 * * ? * (UTC)) was due at 2026-03-03 08:00 UTC, and it was not started\n\
         → check that its schedule exists, is enabled, and may invoke function ingest"
    );
    assert_eq!((message.fact("Scheduled"), message.time("opened")), ("2026-03-03 08:00 UTC", "2026-03-03 08:00 UTC"));
    assert_eq!(
        message.next,
        "The watcher has started it now for this time, and repeats this every half hour until it runs. \
         The schedule is next due at 2026-03-04 08:00 UTC."
    );
    assert_eq!(message.command, "tidemark run orders --at 2026-03-03T08:00:00Z");
    assert_eq!((message.record(), message.incident()), ("", "orders.not_started#1"));
    let announced = harness.announced();
    assert_eq!((announced.len(), announced[0].step.to_string().as_str()), (1, "ingest"));
    assert_eq!((announced[0].function.as_str(), announced[0].correlation_id.as_str()), ("ingest", "watch"));
    assert!(announced[0].always_record, "its record is kept, even if there is nothing to do");
    assert_quiet(&harness);
    assert_eq!(harness.announced_steps(), ["orders/ingest at 2026-03-03T08:00:00Z"; 3]);

    // Not started on the next day either: the same incident stays open.
    harness.at("2026-03-04T08:15:00Z").tick();
    assert_eq!(harness.messages(), []);
    assert_eq!(harness.announced_steps(), ["orders/ingest at 2026-03-04T08:00:00Z"]);
    let finding = harness.incident("orders.not_started").finding;
    assert_eq!(finding.since.to_string(), "2026-03-03T08:00:00Z");

    harness.put_run(run("orders", "ingest", "2026-03-04T08:16:00Z").scheduled_at("2026-03-04T08:00:00Z").nothing());
    assert_eq!(harness.at("2026-03-04T08:20:00Z").tick().resolved.len(), 1);
    let message = only_message(&harness);
    assert_eq!(message.head, "✅ Over after 1 d: orders: did not start on schedule");
    assert!(
        message.what.starts_with("The pipeline has been started, or its schedule has changed; it lasted 1 d 0 h."),
        "{}",
        message.what
    );
    assert_quiet(&harness);
}

#[test]
fn started_pipelines_are_not_missed() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    // a failed run, a continued run or a heartbeat also shows that it was started
    let ways = ["failed", "continues", "mark", "object"];
    for (day, way) in ways.iter().enumerate() {
        let at = |time: &str| format!("2026-03-{:02}T{time}:00Z", day + 3);
        let ingest = || run("orders", "ingest", &at("08:00"));
        match *way {
            "failed" => drop(harness.put_run(ingest().failed(tidemark_flow::ErrorKind::Retry, "throttled"))),
            "continues" => drop(harness.put_run(ingest().continues())),
            "mark" => drop(harness.write_heartbeat("orders", "ingest", &at("08:00"), &at("08:14"))),
            _ => drop(harness.put_run(run("orders", "ingest", &at("08:05")))),
        }
        harness.at(&at("08:15")).tick();
        let missed: Vec<_> = harness.open().into_iter().filter(|id| id.contains("not_started")).collect();
        assert_eq!(missed, [""; 0], "{way}");
    }
}

#[test]
fn times_before_a_schedule_was_known_are_not_missed() {
    let mut harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.at("2026-03-03T12:00:00Z").tick();
    harness.change("other", &pipeline("other", DAILY, ALL));
    harness.ticks(20, 5);
    assert_eq!(harness.open(), [""; 0]);
    // Times before a new schedule was known are not missed either.
    harness.change("orders", &orders("schedule = { cron = '0 13 * * ? *', timezone = 'UTC' }", ALL));
    harness.ticks(20, 5);
    assert_eq!(harness.open(), [""; 0]);
    // later times are missed
    harness.at("2026-03-04T13:15:00Z").tick();
    assert_eq!(harness.open(), ["orders.not_started#1", "other.not_started#1"]);
    // a new schedule starts a new waiting time
    harness.change("orders", &orders("schedule = { cron = '0 14 * * ? *', timezone = 'UTC' }", ALL));
    harness.at("2026-03-04T13:20:00Z").tick();
    assert_eq!(harness.open(), ["other.not_started#1"]);
}

#[test]
fn irregular_rates_are_given_one_more_period() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders("schedule = { rate = '5 hours' }", ALL))]);
    harness.assert_not_broken();
    harness.at("2026-03-03T07:59:00Z").tick();
    // the platform counts the rate from another time
    harness.put_run(run("orders", "ingest", "2026-03-03T08:13:00Z"));
    assert_eq!(harness.at("2026-03-03T15:14:59Z").tick().open, 0);
    // ten o'clock, plus one period and a quarter of an hour
    assert_eq!(harness.at("2026-03-03T15:15:00Z").tick().open, 1);
    let message = only_message(&harness);
    assert!(message.what.contains("its schedule (rate 5 hours) was due at 2026-03-03 10:00 UTC"), "{}", message.what);
    assert!(message.what.contains("the last start was for 2026-03-03 08:13 UTC"), "{}", message.what);
}

/// The days around each change of the clocks: each scheduled time is missed once, even if its local time does not exist or occurs twice.
#[test]
fn daylight_saving_changes() {
    for (from, to) in
        [("2026-03-20T00:00:00Z", "2026-04-05T00:00:00Z"), ("2026-10-20T00:00:00Z", "2026-11-01T00:00:00Z")]
    {
        let top = "schedule = { cron = '30 1 * * ? *', timezone = 'Europe/London' }";
        let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(top, ALL))]);
        harness.at(from).tick();
        let mut missed = Vec::new();
        while harness.now() < to.parse().unwrap() {
            harness.after(15).tick();
            for due in harness.announced() {
                // it is started as soon as it is announced
                let began = harness.now().to_string();
                harness.put_run(run("orders", "ingest", &began).scheduled_at(&due.scheduled_time.to_string()));
                missed.push((due.scheduled_time, harness.now()));
            }
        }
        let schedule = harness.graph().pipelines()[0].schedule.clone().unwrap();
        let mut expected = Vec::new();
        let mut at = from.parse().unwrap();
        while let Some(next) = schedule.next(at).filter(|next| *next < to.parse().unwrap()) {
            expected.push((next, next + jiff::SignedDuration::from_mins(15)));
            at = next;
        }
        assert_eq!(missed, expected);
        let incident = harness.incident("orders.not_started");
        assert_eq!(incident.opening as usize, expected.len());
    }
}

#[test]
fn missed_starts_are_not_reported_while_the_file_is_broken() {
    let mut harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    harness.at("2026-03-03T08:15:00Z").tick();
    assert_eq!(harness.headlines(), ["🔴 orders: did not start on schedule"]);
    harness.change("orders", &orders("schedule = 5", ALL));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 orders: its pipeline file is invalid, so it does not run"]);
    harness.change("orders", &orders(DAILY, ALL));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["✅ Over after 5 min: orders: its pipeline file is invalid, so it does not run"]);
    assert_eq!(harness.open(), ["orders.not_started#1"]);
}
