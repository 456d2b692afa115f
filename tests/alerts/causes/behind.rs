//! Steps that have not read the newest version of their input: the step is announced again, and an incident opens only if that does not
//! help.

use std::collections::BTreeMap;

use tidemark_flow::{Event, Status, StepDue};

use super::{assert_quiet, only_message};
use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, orders};

/// At eight a file is ingested, and the clean step is announced.
fn ingested(backend: Backend) -> (WatcherHarness, Vec<StepDue>) {
    let harness = WatcherHarness::new(backend, &[("orders", &orders(DAILY, ALL))]);
    harness.assert_not_broken();
    harness.tick();
    std::fs::write(harness.path("in/orders-1.csv"), "id,amount\n1,2.50\n2,3.50\n").unwrap();
    harness.at("2026-03-03T08:00:00Z");
    let schedule = Event::Schedule { pipeline: "orders".parse().unwrap(), scheduled_time: harness.now() };
    assert_eq!(harness.run(&schedule).record.status, Status::Done);
    let due = harness.announced();
    assert_eq!(due.iter().map(|due| due.step.to_string()).collect::<Vec<_>>(), ["clean"]);
    (harness, due)
}

/// Runs all announced steps, and the steps announced by these.
fn carry(harness: &WatcherHarness, mut due: Vec<StepDue>) {
    while let Some(next) = due.pop() {
        let record = harness.run(&Event::StepDue(next)).record;
        assert!(matches!(record.status, Status::Done | Status::NothingToDo), "{record:#?}");
        due.extend(harness.announced());
    }
}

#[test]
fn lost_announcement_is_repeated() {
    for backend in Backend::ALL {
        let (harness, _lost) = ingested(backend);
        harness.at("2026-03-03T08:01:00Z").tick();
        harness.at("2026-03-03T08:04:00Z").tick();
        assert_eq!(harness.announced(), [], "somebody may be on his way");
        let report = harness.at("2026-03-03T08:06:00Z").tick();
        assert_eq!((report.announced, report.open), (1, 0));
        let due = harness.announced();
        assert_eq!((due[0].step.to_string().as_str(), due[0].function.as_str()), ("clean", "transform"));
        assert_eq!(due[0].scheduled_time.to_string(), "2026-03-03T08:00:00Z");
        carry(&harness, due);
        assert_quiet(&harness);
        assert_eq!((harness.announced(), harness.incidents()), (Vec::new(), BTreeMap::new()));
    }
}

#[test]
fn incident_opens_if_repeating_does_not_help() {
    let (harness, lost) = ingested(Backend::Memory);
    harness.at("2026-03-03T08:01:00Z").tick();
    for report in harness.ticks(5, 5) {
        assert_eq!(report.open, 0);
    }
    // half an hour after it was first seen
    let report = harness.after(5).tick();
    assert_eq!(report.opened[0].incident, "orders.clean.behind#1");
    let message = only_message(&harness);
    assert_eq!(message.head, "🟠 orders: clean is behind its input");
    assert_eq!(
        message.what,
        "its input has a newer version, which it has not processed; announcing it again did not help"
    );
    assert_eq!(
        message.next,
        "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
    );
    assert_eq!((message.command.as_str(), message.record()), ("tidemark run orders", ""));
    assert_eq!(message.time("opened"), "2026-03-03 08:01 UTC");
    assert_quiet(&harness);
    let announced = harness.announced_steps();
    assert_eq!(announced, ["orders/clean at 2026-03-03T08:00:00Z"; 5]);
    carry(&harness, lost);
    assert_eq!(harness.after(5).tick().resolved.len(), 1);
    let message = only_message(&harness);
    assert!(message.is_over() && message.what.starts_with("The step has caught up with its input"), "{message:#?}");
    assert_quiet(&harness);
}

/// A long-running step is not started a second time.
#[test]
fn running_step_is_not_announced_again() {
    let (harness, _lost) = ingested(Backend::Memory);
    harness.at("2026-03-03T08:01:00Z").tick();
    let heartbeat = |alive: &str| {
        let run_id = harness.write_heartbeat("orders", "clean", "2026-03-03T08:01:00Z", alive);
        harness.at(alive).tick();
        harness.lake().delete_running(&run_id).unwrap();
    };
    for alive in ["2026-03-03T08:06:00Z", "2026-03-03T08:11:00Z", "2026-03-03T08:26:00Z"] {
        heartbeat(alive);
    }
    assert_eq!((harness.announced(), harness.open().len()), (Vec::new(), 0));
    // but it is reported that it takes too long
    heartbeat("2026-03-03T08:31:00Z");
    assert_eq!(harness.announced(), []);
    let message = only_message(&harness);
    assert!(message.what.ends_with("a run of it has been in progress since 2026-03-03 08:01 UTC"), "{}", message.what);
    assert!(message.next.starts_with("It runs again at 2026-03-04 08:00 UTC"), "{}", message.next);
}

#[test]
fn pipeline_sets_the_allowed_lag() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &with_table("caught_up_within = '2h'"))]);
    harness.assert_not_broken();
    harness.tick();
    let made = |version: i64, at: &str| harness.put_run(run("orders", "clean", at).output("orders", version));
    made(0, "2026-03-03T07:01:00Z");
    harness.put_run(run("orders", "load sqlite-orders", "2026-03-03T07:02:00Z").input("orders", 0));
    harness.at("2026-03-03T07:05:00Z").tick();
    // the versions consumed by a load are known from its records
    made(1, "2026-03-03T07:06:00Z");
    harness.at("2026-03-03T07:10:00Z").tick();
    assert_eq!(harness.announced(), []);
    harness.at("2026-03-03T07:15:00Z").tick();
    assert_eq!(harness.announced_steps().len(), 1);
    harness.put_run(run("orders", "ingest", "2026-03-03T08:00:00Z"));
    assert_eq!(harness.at("2026-03-03T09:05:00Z").tick().open, 0);
    assert_eq!(harness.at("2026-03-03T09:10:00Z").tick().open, 1);
    assert_eq!(harness.headlines(), ["🟠 orders: load sqlite-orders is behind its input"]);
    // a run with nothing to do proves that the load is up to date, if it began after the version was committed
    harness.put_run(run("orders", "load sqlite-orders", "2026-03-03T09:11:00Z").nothing());
    assert_eq!(harness.at("2026-03-03T09:15:00Z").tick().resolved.len(), 1);
    // a run that began before has not seen the version
    made(2, "2026-03-03T10:00:00Z");
    harness.put_run(run("orders", "load sqlite-orders", "2026-03-03T10:00:10Z").nothing());
    harness.at("2026-03-03T10:01:00Z").tick();
    harness.announced();
    harness.at("2026-03-03T10:06:00Z").tick();
    assert_eq!(harness.announced_steps(), ["orders/load sqlite-orders at 2026-03-03T10:00:00Z"]);
    harness.put_run(run("orders", "load sqlite-orders", "2026-03-03T10:07:00Z").input("orders", 2));
    harness.at("2026-03-03T10:10:00Z").tick();
    harness.messages();
    assert_quiet(&harness);
}

fn with_table(alerts: &str) -> String {
    let target = "[[target]]\nkind = 'sqlite'\ndataset = 'orders'\npath = '${IN}/shop.db'\ntable = 'orders'\nmode = 'upsert'\nkey = ['id']\n\n[alerts]";
    orders(DAILY, &format!("{ALL}\n{alerts}")).replace("[alerts]", target)
}

/// The lag of a failing step is not a second problem.
#[test]
fn failing_step_is_not_also_behind() {
    let (harness, _lost) = ingested(Backend::Memory);
    harness.put_run(
        run("orders", "clean", "2026-03-03T08:01:00Z").failed(tidemark_flow::ErrorKind::Definition, "no such column"),
    );
    harness.at("2026-03-03T08:05:00Z").tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    assert_quiet(&harness);
    assert_eq!((harness.announced(), harness.open().len()), (Vec::new(), 1));
}

/// A step that is behind and then fails has not caught up.
#[test]
fn failure_does_not_end_being_behind() {
    let (harness, lost) = ingested(Backend::Memory);
    harness.at("2026-03-03T08:01:00Z").tick();
    harness.ticks(6, 5);
    assert_eq!(harness.headlines(), ["🟠 orders: clean is behind its input"]);
    harness
        .put_run(run("orders", "clean", "2026-03-03T08:32:00Z").failed(tidemark_flow::ErrorKind::Retry, "throttled"));
    let report = harness.after(5).tick();
    assert_eq!((report.resolved.len(), report.open), (0, 1));
    carry(&harness, lost);
    assert_eq!(harness.after(5).tick().resolved.len(), 1);
}
