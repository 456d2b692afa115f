//! A step that failed, by the kind of its error.

use tidemark_flow::ErrorKind;
use tidemark_pipeline::Severity;

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, orders};
use super::{lasts, one};
use crate::crash::house::Backend;

/// After eight, when the pipeline has been started and its first step has ended well.
fn started() -> Tower {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.is_sound();
    tower.tick();
    tower.ran(run("orders", "ingest", "2026-03-03T08:00:00Z"));
    tower
}

#[test]
fn what_a_person_has_to_mend_is_told_at_once() {
    let tower = started();
    let failed = |began: &str, why: &str| {
        run("orders", "clean", began).of("2026-03-03T08:00:00Z").failed(ErrorKind::Definition, why)
    };
    let first = tower.ran(failed("2026-03-03T08:01:00Z", "there is no column total"));
    let ticked = tower.at("2026-03-03T08:05:00Z").tick();
    assert_eq!((ticked.opened.len(), ticked.open, ticked.sent, ticked.records), (1, 1, 1, 2));
    assert_eq!(ticked.opened[0].incident, "orders.clean.failed#1");
    let said = one(&tower);
    assert_eq!(said.head, "🔴 orders: clean failed");
    assert_eq!(said.what, "there is no column total\n→ mend it");
    assert_eq!(said.fact("Scheduled"), "2026-03-03 08:00 UTC");
    assert_eq!(said.time("opened"), "2026-03-03 08:01 UTC");
    assert_eq!(said.fact("Kind"), "definition (the pipeline file, or what it names, has to be mended)");
    assert_eq!(said.fact("Failed runs"), "1");
    assert_eq!(
        said.next,
        "It runs again at 2026-03-04 08:00 UTC, and will fail the same way if nothing has been mended. What was published before stands."
    );
    assert_eq!(said.command, "tidemark run orders --at 2026-03-03T08:00:00Z");
    assert_eq!(said.record(), format!("lake/runs/2026-03-03/{first}.json"));
    assert_eq!(said.incident(), "orders.clean.failed#1");
    lasts(&tower);
    assert_eq!(tower.heard_on_bus(), [""; 0], "what only a person can mend is not tried again");

    // another attempt changes what is known, and is nobody's news
    let second = tower.ran(failed("2026-03-03T09:50:00Z", "there is no column sum"));
    let ticked = tower.at("2026-03-03T09:55:00Z").tick();
    assert_eq!((ticked.opened.len(), ticked.open, ticked.sent), (0, 1, 0));
    let incident = tower.incident("orders.clean.failed");
    assert_eq!((incident.id().as_str(), incident.finding.count), ("orders.clean.failed#1", 2));
    assert_eq!(incident.finding.run_id.as_ref(), Some(&second));
    assert_eq!((incident.finding.what.as_str(), incident.severity), ("there is no column sum", Severity::Critical));

    tower.ran(run("orders", "clean", "2026-03-03T10:01:00Z").of("2026-03-03T08:00:00Z"));
    let ticked = tower.at("2026-03-03T10:05:00Z").tick();
    assert_eq!((ticked.resolved.len(), ticked.open, ticked.sent), (1, 0, 1));
    let said = one(&tower);
    assert_eq!(said.head, "✅ Over after 2 h: orders: clean failed");
    assert_eq!(said.what, "The step has succeeded again; it lasted 2 h 00 min. What was wrong: there is no column sum");
    assert_eq!((said.next.as_str(), said.command.as_str()), ("", ""));
    assert_eq!(said.time("over"), "2026-03-03 10:01 UTC");
    lasts(&tower);
    assert!(!tower.incident("orders.clean.failed").is_open());

    // the next one is another incident of the same cause
    tower.ran(failed("2026-03-03T11:50:00Z", "there is no column total"));
    let ticked = tower.at("2026-03-03T11:55:00Z").tick();
    assert_eq!(ticked.opened[0].incident, "orders.clean.failed#2");
    assert_eq!(one(&tower).incident(), "orders.clean.failed#2");
}

#[test]
fn what_may_go_by_itself_is_given_three_attempts() {
    let tower = started();
    let failed =
        |began: &str| run("orders", "clean", began).chain("c").failed(ErrorKind::Retry, "the store does not answer");
    tower.ran(failed("2026-03-03T08:01:00Z"));
    tower.ran(failed("2026-03-03T08:02:00Z"));
    assert_eq!(tower.at("2026-03-03T08:05:00Z").tick().open, 0);
    tower.ran(failed("2026-03-03T08:06:00Z"));
    assert_eq!(tower.at("2026-03-03T08:07:00Z").tick().opened.len(), 1);
    let said = one(&tower);
    assert_eq!((said.fact("Failed runs"), said.fact("Kind")), ("3", "retry (may go by itself)"));
    assert_eq!(
        said.next,
        "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
    );
    lasts(&tower);
    // and so it is: a few minutes after the platform has done so for the last time, and then every half hour
    assert_eq!(
        tower.heard_on_bus(),
        ["orders/clean at 2026-03-03T08:01:00Z"; 0]
            .into_iter()
            .chain(["orders/clean at 2026-03-03T08:06:00Z"; 4])
            .collect::<Vec<_>>()
    );
    tower.ran(run("orders", "clean", "2026-03-03T09:50:00Z").nothing());
    assert_eq!(tower.at("2026-03-03T09:55:00Z").tick().resolved.len(), 1);
    assert!(one(&tower).is_over());
}

#[test]
fn or_ten_minutes() {
    let tower = started();
    tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    assert_eq!(tower.at("2026-03-03T08:05:00Z").tick().open, 0);
    assert_eq!(tower.at("2026-03-03T08:10:00Z").tick().open, 0);
    assert_eq!(tower.at("2026-03-03T08:11:00Z").tick().open, 1);
    assert_eq!(one(&tower).head, "🔴 orders: clean failed");
    // a new chain of attempts is no reason to say that it is over
    tower.ran(run("orders", "clean", "2026-03-03T08:30:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    lasts(&tower);
    assert_eq!(tower.incident("orders.clean.failed").finding.count, 2);
}

#[test]
fn what_goes_by_itself_is_nobodys_news() {
    let tower = started();
    for hour in 8..16 {
        tower
            .ran(run("orders", "clean", &format!("2026-03-03T{hour:02}:01:00Z")).failed(ErrorKind::Retry, "throttled"));
        tower.at(&format!("2026-03-03T{hour:02}:05:00Z")).tick();
        tower.ran(run("orders", "clean", &format!("2026-03-03T{hour:02}:06:00Z")));
        tower.after(5).tick();
    }
    assert_eq!((tower.messages(), tower.open().len()), (Vec::new(), 0));
}

#[test]
fn three_attempts_in_three_minutes_are_not_forgotten_with_the_next_chain() {
    let tower = started();
    for minute in ["01", "02", "03"] {
        let began = format!("2026-03-03T08:{minute}:00Z");
        tower.ran(run("orders", "clean", &began).chain("first").failed(ErrorKind::Retry, "throttled"));
    }
    assert_eq!(tower.at("2026-03-03T08:04:00Z").tick().opened.len(), 1);
    tower.ran(run("orders", "clean", "2026-03-03T08:05:00Z").chain("second").failed(ErrorKind::Retry, "throttled"));
    let ticked = tower.at("2026-03-03T08:06:00Z").tick();
    assert_eq!((ticked.resolved.len(), ticked.open), (0, 1));
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
}

#[test]
fn a_cause_that_stays_is_not_hidden_by_one_that_goes() {
    let tower = started();
    tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Definition, "there is no column total"));
    assert_eq!(tower.at("2026-03-03T08:05:00Z").tick().opened.len(), 1);
    tower.ran(run("orders", "clean", "2026-03-03T08:06:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    let ticked = tower.at("2026-03-03T08:10:00Z").tick();
    assert_eq!((ticked.resolved.len(), ticked.open), (0, 1));
    let finding = tower.incident("orders.clean.failed").finding;
    assert_eq!((finding.what.as_str(), finding.count), ("there is no column total", 2));
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
}

#[test]
fn a_broken_budget_is_a_cause_of_its_own() {
    let tower = started();
    let began = "2026-03-03T08:01:00Z";
    tower.ran(run("orders", "clean", began).over_budget("12 of 100 records broke the contract, 5 % may"));
    let ticked = tower.at("2026-03-03T08:05:00Z").tick();
    assert_eq!(ticked.opened[0].incident, "orders.clean.over_budget#1");
    let said = one(&tower);
    assert_eq!(said.head, "🔴 orders: clean is over its error budget, nothing published");
    assert!(said.what.starts_with("12 of 100 records broke the contract, 5 % may"), "{}", said.what);
    assert_eq!(said.fact("Kind"), "data (the data has to be mended)");
    assert_eq!(said.command, format!("tidemark run orders --at {began}"));
    lasts(&tower);
    // in between it fails for another reason for once: the budget is not kept by that
    tower.ran(run("orders", "clean", "2026-03-03T09:50:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    let ticked = tower.at("2026-03-03T09:52:00Z").tick();
    assert_eq!((ticked.opened.len(), ticked.resolved.len(), ticked.open), (0, 0, 1));
    tower.ran(run("orders", "clean", "2026-03-03T09:55:00Z"));
    assert_eq!(tower.at("2026-03-03T10:00:00Z").tick().resolved.len(), 1);
    assert_eq!(one(&tower).incident(), "orders.clean.over_budget#1");
}

#[test]
fn of_each_step_one_and_all_of_them_end() {
    let tower = started();
    for step in ["clean", "model orders_by_id"] {
        tower.ran(run("orders", step, "2026-03-03T08:01:00Z").failed(ErrorKind::Bug, "seven is not a colour"));
    }
    tower.at("2026-03-03T08:05:00Z").tick();
    assert_eq!(tower.open(), ["orders.clean.failed#1", "orders.model_orders_by_id.failed#1"]);
    for step in ["clean", "model orders_by_id"] {
        tower.ran(run("orders", step, "2026-03-03T08:06:00Z"));
    }
    assert_eq!(tower.at("2026-03-03T08:10:00Z").tick().resolved.len(), 2);
}

#[test]
fn a_record_that_comes_late_says_nothing_new() {
    let tower = started();
    let failed = tower
        .ran(run("orders", "clean", "2026-03-03T08:03:00Z").failed(ErrorKind::Definition, "there is no column total"));
    tower.at("2026-03-03T08:05:00Z").tick();
    // two that began before
    tower.ran(run("orders", "clean", "2026-03-03T08:02:00Z").failed(ErrorKind::Definition, "there was none before"));
    tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z"));
    let ticked = tower.at("2026-03-03T08:10:00Z").tick();
    assert_eq!((ticked.resolved.len(), ticked.records), (0, 2));
    let finding = tower.incident("orders.clean.failed").finding;
    assert_eq!((finding.run_id, finding.what.as_str(), finding.count), (Some(failed), "there is no column total", 2));
    // and one that failed before the last success opens nothing
    tower.ran(run("orders", "clean", "2026-03-03T08:12:00Z"));
    assert_eq!(tower.at("2026-03-03T08:15:00Z").tick().resolved.len(), 1);
    tower.ran(run("orders", "clean", "2026-03-03T08:11:00Z").failed(ErrorKind::Definition, "there is no column total"));
    assert_eq!(tower.at("2026-03-03T08:20:00Z").tick().open, 0);
}

#[test]
fn a_pipeline_that_is_taken_away_is_wrong_no_more() {
    let mut tower = started();
    tower.write("other", &super::super::tower::pipeline("other", "", ALL));
    tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Definition, "there is no column total"));
    tower.at("2026-03-03T08:05:00Z").tick();
    one(&tower);
    tower.removes("orders");
    // another watcher may know it
    assert_eq!(tower.at("2026-03-03T08:10:00Z").tick().resolved.len(), 0);
    assert_eq!(tower.at("2026-03-03T09:15:00Z").tick().resolved.len(), 1);
    let said = one(&tower);
    let what = "It is not there any more; it lasted 1 h 14 min.";
    assert!(said.is_over() && said.what.starts_with(what), "{}", said.what);
}
