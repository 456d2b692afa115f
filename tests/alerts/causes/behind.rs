//! A step whose input is ahead of it: first it is announced again, and only if that does not help somebody is told.

use std::collections::BTreeMap;

use tidemark_flow::{Event, Status, StepDue};

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, orders};
use super::{lasts, one};
use crate::crash::house::Backend;

/// At eight a file has come in and is ingested; who is to clean it has been announced.
fn ingested(backend: Backend) -> (Tower, Vec<StepDue>) {
    let tower = Tower::new(backend, &[("orders", &orders(DAILY, ALL))]);
    tower.is_sound();
    tower.tick();
    std::fs::write(tower.path("in/orders-1.csv"), "id,amount\n1,2.50\n2,3.50\n").unwrap();
    tower.at("2026-03-03T08:00:00Z");
    let schedule = Event::Schedule { pipeline: "orders".parse().unwrap(), scheduled_time: tower.now() };
    assert_eq!(tower.walks(&schedule).record.status, Status::Done);
    let due = tower.announced();
    assert_eq!(due.iter().map(|due| due.step.to_string()).collect::<Vec<_>>(), ["clean"]);
    (tower, due)
}

/// What is announced is walked, and what that announces.
fn carry(tower: &Tower, mut due: Vec<StepDue>) {
    while let Some(next) = due.pop() {
        let record = tower.walks(&Event::StepDue(next)).record;
        assert!(matches!(record.status, Status::Done | Status::NothingToDo), "{record:#?}");
        due.extend(tower.announced());
    }
}

#[test]
fn an_announcement_that_was_lost_is_made_again() {
    for backend in Backend::ALL {
        let (tower, _lost) = ingested(backend);
        tower.at("2026-03-03T08:01:00Z").tick();
        tower.at("2026-03-03T08:04:00Z").tick();
        assert_eq!(tower.announced(), [], "somebody may be on his way");
        let ticked = tower.at("2026-03-03T08:06:00Z").tick();
        assert_eq!((ticked.announced, ticked.open), (1, 0));
        let due = tower.announced();
        assert_eq!((due[0].step.to_string().as_str(), due[0].function.as_str()), ("clean", "transform"));
        assert_eq!(due[0].scheduled_time.to_string(), "2026-03-03T08:00:00Z");
        carry(&tower, due);
        lasts(&tower);
        assert_eq!((tower.announced(), tower.incidents()), (Vec::new(), BTreeMap::new()));
    }
}

#[test]
fn if_that_does_not_help_somebody_is_told() {
    let (tower, lost) = ingested(Backend::Memory);
    tower.at("2026-03-03T08:01:00Z").tick();
    for ticked in tower.ticks(5, 5) {
        assert_eq!(ticked.open, 0);
    }
    // half an hour after it was first seen
    let ticked = tower.after(5).tick();
    assert_eq!(ticked.opened[0].incident, "orders.clean.behind#1");
    let said = one(&tower);
    assert_eq!(said.head, "🟠 orders: clean is behind its input");
    assert_eq!(said.what, "its input has a newer version, which it has not taken in; announcing it again did not help");
    assert_eq!(
        said.next,
        "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
    );
    assert_eq!((said.command.as_str(), said.record()), ("tidemark run orders", ""));
    assert_eq!(said.time("opened"), "2026-03-03 08:01 UTC");
    lasts(&tower);
    let announced = tower.heard_on_bus();
    assert_eq!(announced, ["orders/clean at 2026-03-03T08:00:00Z"; 5]);
    carry(&tower, lost);
    assert_eq!(tower.after(5).tick().resolved.len(), 1);
    let said = one(&tower);
    assert!(said.is_over() && said.what.starts_with("The step has caught up with its input"), "{said:#?}");
    lasts(&tower);
}

/// A step that takes long is not made to do its work twice at once.
#[test]
fn what_is_being_done_is_not_announced_again() {
    let (tower, _lost) = ingested(Backend::Memory);
    tower.at("2026-03-03T08:01:00Z").tick();
    let mark = |alive: &str| {
        let run_id = tower.marks("orders", "clean", "2026-03-03T08:01:00Z", alive);
        tower.at(alive).tick();
        tower.lake().delete_running(&run_id).unwrap();
    };
    for alive in ["2026-03-03T08:06:00Z", "2026-03-03T08:11:00Z", "2026-03-03T08:26:00Z"] {
        mark(alive);
    }
    assert_eq!((tower.announced(), tower.open().len()), (Vec::new(), 0));
    // but that it takes too long is told
    mark("2026-03-03T08:31:00Z");
    assert_eq!(tower.announced(), []);
    let said = one(&tower);
    assert!(said.what.ends_with("a run of it has been under way since 2026-03-03 08:01 UTC"), "{}", said.what);
    assert!(said.next.starts_with("It runs again at 2026-03-04 08:00 UTC"), "{}", said.next);
}

#[test]
fn the_pipeline_may_say_how_long() {
    let tower = Tower::new(Backend::Memory, &[("orders", &with_table("caught_up_within = '2h'"))]);
    tower.is_sound();
    tower.tick();
    let made = |version: i64, at: &str| tower.ran(run("orders", "clean", at).made("orders", version));
    made(0, "2026-03-03T07:01:00Z");
    tower.ran(run("orders", "load sqlite-orders", "2026-03-03T07:02:00Z").took("orders", 0));
    tower.at("2026-03-03T07:05:00Z").tick();
    // what a load has taken in is known from its records
    made(1, "2026-03-03T07:06:00Z");
    tower.at("2026-03-03T07:10:00Z").tick();
    assert_eq!(tower.announced(), []);
    tower.at("2026-03-03T07:15:00Z").tick();
    assert_eq!(tower.heard_on_bus().len(), 1);
    tower.ran(run("orders", "ingest", "2026-03-03T08:00:00Z"));
    assert_eq!(tower.at("2026-03-03T09:05:00Z").tick().open, 0);
    assert_eq!(tower.at("2026-03-03T09:10:00Z").tick().open, 1);
    assert_eq!(tower.heads(), ["🟠 orders: load sqlite-orders is behind its input"]);
    // it had nothing to do: so much is known, if it began after the version was there
    tower.ran(run("orders", "load sqlite-orders", "2026-03-03T09:11:00Z").nothing());
    assert_eq!(tower.at("2026-03-03T09:15:00Z").tick().resolved.len(), 1);
    // one that began before has not seen it
    made(2, "2026-03-03T10:00:00Z");
    tower.ran(run("orders", "load sqlite-orders", "2026-03-03T10:00:10Z").nothing());
    tower.at("2026-03-03T10:01:00Z").tick();
    tower.announced();
    tower.at("2026-03-03T10:06:00Z").tick();
    assert_eq!(tower.heard_on_bus(), ["orders/load sqlite-orders at 2026-03-03T10:00:00Z"]);
    tower.ran(run("orders", "load sqlite-orders", "2026-03-03T10:07:00Z").took("orders", 2));
    tower.at("2026-03-03T10:10:00Z").tick();
    tower.messages();
    lasts(&tower);
}

fn with_table(alerts: &str) -> String {
    let target = "[[target]]\nkind = 'sqlite'\ndataset = 'orders'\npath = '${IN}/shop.db'\ntable = 'orders'\nmode = 'upsert'\nkey = ['id']\n\n[alerts]";
    orders(DAILY, &format!("{ALL}\n{alerts}")).replace("[alerts]", target)
}

/// What a failing step has not taken in is not another thing that is wrong.
#[test]
fn a_step_that_fails_is_behind_for_that() {
    let (tower, _lost) = ingested(Backend::Memory);
    tower.ran(
        run("orders", "clean", "2026-03-03T08:01:00Z").failed(tidemark_flow::ErrorKind::Definition, "no such column"),
    );
    tower.at("2026-03-03T08:05:00Z").tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    lasts(&tower);
    assert_eq!((tower.announced(), tower.open().len()), (Vec::new(), 1));
}

/// Behind for too long, and then it fails for a while: that is no catching up.
#[test]
fn a_failure_is_no_end_of_being_behind() {
    let (tower, lost) = ingested(Backend::Memory);
    tower.at("2026-03-03T08:01:00Z").tick();
    tower.ticks(6, 5);
    assert_eq!(tower.heads(), ["🟠 orders: clean is behind its input"]);
    tower.ran(run("orders", "clean", "2026-03-03T08:32:00Z").failed(tidemark_flow::ErrorKind::Retry, "throttled"));
    let ticked = tower.after(5).tick();
    assert_eq!((ticked.resolved.len(), ticked.open), (0, 1));
    carry(&tower, lost);
    assert_eq!(tower.after(5).tick().resolved.len(), 1);
}
