//! Failed steps, by the kind of error.

use tidemark_flow::ErrorKind;
use tidemark_pipeline::Severity;

use super::{assert_quiet, only_message};
use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, orders};

/// After eight, when the pipeline has been started and its first step has succeeded.
fn started() -> WatcherHarness {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.assert_not_broken();
    harness.tick();
    harness.put_run(run("orders", "ingest", "2026-03-03T08:00:00Z"));
    harness
}

#[test]
fn permanent_errors_are_reported_at_once() {
    let harness = started();
    let failed = |began: &str, why: &str| {
        run("orders", "clean", began).scheduled_at("2026-03-03T08:00:00Z").failed(ErrorKind::Definition, why)
    };
    let first = harness.put_run(failed("2026-03-03T08:01:00Z", "there is no column total"));
    let report = harness.at("2026-03-03T08:05:00Z").tick();
    assert_eq!((report.opened.len(), report.open, report.sent, report.records), (1, 1, 1, 2));
    assert_eq!(report.opened[0].incident, "orders.clean.failed#1");
    let slack_message = only_message(&harness);
    assert_eq!(slack_message.head, "🔴 orders: clean failed");
    assert_eq!(slack_message.what, "there is no column total\n→ mend it");
    assert_eq!(slack_message.fact("Scheduled"), "2026-03-03 08:00 UTC");
    assert_eq!(slack_message.time("opened"), "2026-03-03 08:01 UTC");
    assert_eq!(
        slack_message.fact("Kind"),
        "definition (the pipeline file, or something it refers to, must be corrected)"
    );
    assert_eq!(slack_message.fact("Failed runs"), "1");
    assert_eq!(
        slack_message.next,
        "It runs again at 2026-03-04 08:00 UTC, and will fail the same way if nothing has been fixed. What was published before is \
         unchanged."
    );
    assert_eq!(slack_message.command, "tidemark run orders --at 2026-03-03T08:00:00Z");
    assert_eq!(slack_message.record(), format!("lake/runs/2026-03-03/{first}.json"));
    assert_eq!(slack_message.incident(), "orders.clean.failed#1");
    assert_quiet(&harness);
    assert_eq!(harness.announced_steps(), [""; 0], "what only a person can mend is not tried again");

    // another attempt updates the incident without a message
    let second = harness.put_run(failed("2026-03-03T09:50:00Z", "there is no column sum"));
    let report = harness.at("2026-03-03T09:55:00Z").tick();
    assert_eq!((report.opened.len(), report.open, report.sent), (0, 1, 0));
    let incident = harness.incident("orders.clean.failed");
    assert_eq!((incident.id().as_str(), incident.finding.count), ("orders.clean.failed#1", 2));
    assert_eq!(incident.finding.run_id.as_ref(), Some(&second));
    assert_eq!((incident.finding.what.as_str(), incident.severity), ("there is no column sum", Severity::Critical));

    harness.put_run(run("orders", "clean", "2026-03-03T10:01:00Z").scheduled_at("2026-03-03T08:00:00Z"));
    let report = harness.at("2026-03-03T10:05:00Z").tick();
    assert_eq!((report.resolved.len(), report.open, report.sent), (1, 0, 1));
    let slack_message = only_message(&harness);
    assert_eq!(slack_message.head, "✅ Over after 2 h: orders: clean failed");
    assert_eq!(
        slack_message.what,
        "The step has succeeded again; it lasted 2 h 00 min. What was wrong: there is no column sum"
    );
    assert_eq!((slack_message.next.as_str(), slack_message.command.as_str()), ("", ""));
    assert_eq!(slack_message.time("over"), "2026-03-03 10:01 UTC");
    assert_quiet(&harness);
    assert!(!harness.incident("orders.clean.failed").is_open());

    // the next failure opens the incident again
    harness.put_run(failed("2026-03-03T11:50:00Z", "there is no column total"));
    let report = harness.at("2026-03-03T11:55:00Z").tick();
    assert_eq!(report.opened[0].incident, "orders.clean.failed#2");
    assert_eq!(only_message(&harness).incident(), "orders.clean.failed#2");
}

#[test]
fn transient_errors_are_reported_after_three_attempts() {
    let harness = started();
    let failed = |began: &str| {
        run("orders", "clean", began).correlation_id("c").failed(ErrorKind::Retry, "the store does not answer")
    };
    harness.put_run(failed("2026-03-03T08:01:00Z"));
    harness.put_run(failed("2026-03-03T08:02:00Z"));
    assert_eq!(harness.at("2026-03-03T08:05:00Z").tick().open, 0);
    harness.put_run(failed("2026-03-03T08:06:00Z"));
    assert_eq!(harness.at("2026-03-03T08:07:00Z").tick().opened.len(), 1);
    let slack_message = only_message(&harness);
    assert_eq!(
        (slack_message.fact("Failed runs"), slack_message.fact("Kind")),
        ("3", "retry (temporary, may resolve by itself)")
    );
    assert_eq!(
        slack_message.next,
        "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
    );
    assert_quiet(&harness);
    // it is retried a few minutes after the last attempt of the platform, and then every half hour
    assert_eq!(
        harness.announced_steps(),
        ["orders/clean at 2026-03-03T08:01:00Z"; 0]
            .into_iter()
            .chain(["orders/clean at 2026-03-03T08:06:00Z"; 4])
            .collect::<Vec<_>>()
    );
    harness.put_run(run("orders", "clean", "2026-03-03T09:50:00Z").nothing());
    assert_eq!(harness.at("2026-03-03T09:55:00Z").tick().resolved.len(), 1);
    assert!(only_message(&harness).is_over());
}

#[test]
fn transient_errors_are_reported_after_ten_minutes() {
    let harness = started();
    harness
        .put_run(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    assert_eq!(harness.at("2026-03-03T08:05:00Z").tick().open, 0);
    assert_eq!(harness.at("2026-03-03T08:10:00Z").tick().open, 0);
    assert_eq!(harness.at("2026-03-03T08:11:00Z").tick().open, 1);
    assert_eq!(only_message(&harness).head, "🔴 orders: clean failed");
    // attempts for a new event do not resolve it
    harness
        .put_run(run("orders", "clean", "2026-03-03T08:30:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    assert_quiet(&harness);
    assert_eq!(harness.incident("orders.clean.failed").finding.count, 2);
}

#[test]
fn recovered_transient_errors_are_not_reported() {
    let harness = started();
    for hour in 8..16 {
        harness.put_run(
            run("orders", "clean", &format!("2026-03-03T{hour:02}:01:00Z")).failed(ErrorKind::Retry, "throttled"),
        );
        harness.at(&format!("2026-03-03T{hour:02}:05:00Z")).tick();
        harness.put_run(run("orders", "clean", &format!("2026-03-03T{hour:02}:06:00Z")));
        harness.after(5).tick();
    }
    assert_eq!((harness.messages(), harness.open().len()), (Vec::new(), 0));
}

#[test]
fn three_failed_attempts_stay_final_for_later_events() {
    let harness = started();
    for minute in ["01", "02", "03"] {
        let began = format!("2026-03-03T08:{minute}:00Z");
        harness.put_run(run("orders", "clean", &began).correlation_id("first").failed(ErrorKind::Retry, "throttled"));
    }
    assert_eq!(harness.at("2026-03-03T08:04:00Z").tick().opened.len(), 1);
    harness.put_run(
        run("orders", "clean", "2026-03-03T08:05:00Z").correlation_id("second").failed(ErrorKind::Retry, "throttled"),
    );
    let report = harness.at("2026-03-03T08:06:00Z").tick();
    assert_eq!((report.resolved.len(), report.open), (0, 1));
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
}

#[test]
fn permanent_error_is_not_hidden_by_a_transient_one() {
    let harness = started();
    harness.put_run(
        run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Definition, "there is no column total"),
    );
    assert_eq!(harness.at("2026-03-03T08:05:00Z").tick().opened.len(), 1);
    harness
        .put_run(run("orders", "clean", "2026-03-03T08:06:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    let report = harness.at("2026-03-03T08:10:00Z").tick();
    assert_eq!((report.resolved.len(), report.open), (0, 1));
    let finding = harness.incident("orders.clean.failed").finding;
    assert_eq!((finding.what.as_str(), finding.count), ("there is no column total", 2));
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
}

#[test]
fn exceeded_budget_has_its_own_incident() {
    let harness = started();
    let began = "2026-03-03T08:01:00Z";
    harness.put_run(run("orders", "clean", began).over_budget("12 of 100 records broke the contract, 5 % may"));
    let report = harness.at("2026-03-03T08:05:00Z").tick();
    assert_eq!(report.opened[0].incident, "orders.clean.over_budget#1");
    let slack_message = only_message(&harness);
    assert_eq!(slack_message.head, "🔴 orders: clean is over its error budget, nothing published");
    assert!(slack_message.what.starts_with("12 of 100 records broke the contract, 5 % may"), "{}", slack_message.what);
    assert_eq!(slack_message.fact("Kind"), "data (the data must be corrected)");
    assert_eq!(slack_message.command, format!("tidemark run orders --at {began}"));
    assert_quiet(&harness);
    // a failure for another reason in between does not resolve the exceeded budget
    harness
        .put_run(run("orders", "clean", "2026-03-03T09:50:00Z").failed(ErrorKind::Retry, "the store does not answer"));
    let report = harness.at("2026-03-03T09:52:00Z").tick();
    assert_eq!((report.opened.len(), report.resolved.len(), report.open), (0, 0, 1));
    harness.put_run(run("orders", "clean", "2026-03-03T09:55:00Z"));
    assert_eq!(harness.at("2026-03-03T10:00:00Z").tick().resolved.len(), 1);
    assert_eq!(only_message(&harness).incident(), "orders.clean.over_budget#1");
}

#[test]
fn each_failing_step_has_its_own_incident() {
    let harness = started();
    for step in ["clean", "model orders_by_id"] {
        harness.put_run(run("orders", step, "2026-03-03T08:01:00Z").failed(ErrorKind::Bug, "seven is not a colour"));
    }
    harness.at("2026-03-03T08:05:00Z").tick();
    assert_eq!(harness.open(), ["orders.clean.failed#1", "orders.model_orders_by_id.failed#1"]);
    for step in ["clean", "model orders_by_id"] {
        harness.put_run(run("orders", step, "2026-03-03T08:06:00Z"));
    }
    assert_eq!(harness.at("2026-03-03T08:10:00Z").tick().resolved.len(), 2);
}

#[test]
fn late_records_change_nothing() {
    let harness = started();
    let failed = harness.put_run(
        run("orders", "clean", "2026-03-03T08:03:00Z").failed(ErrorKind::Definition, "there is no column total"),
    );
    harness.at("2026-03-03T08:05:00Z").tick();
    // two runs that began earlier
    harness
        .put_run(run("orders", "clean", "2026-03-03T08:02:00Z").failed(ErrorKind::Definition, "there was none before"));
    harness.put_run(run("orders", "clean", "2026-03-03T08:01:00Z"));
    let report = harness.at("2026-03-03T08:10:00Z").tick();
    assert_eq!((report.resolved.len(), report.records), (0, 2));
    let finding = harness.incident("orders.clean.failed").finding;
    assert_eq!((finding.run_id, finding.what.as_str(), finding.count), (Some(failed), "there is no column total", 2));
    // a failure before the last success opens nothing
    harness.put_run(run("orders", "clean", "2026-03-03T08:12:00Z"));
    assert_eq!(harness.at("2026-03-03T08:15:00Z").tick().resolved.len(), 1);
    harness.put_run(
        run("orders", "clean", "2026-03-03T08:11:00Z").failed(ErrorKind::Definition, "there is no column total"),
    );
    assert_eq!(harness.at("2026-03-03T08:20:00Z").tick().open, 0);
}

#[test]
fn removed_pipeline_resolves_its_incidents() {
    let mut harness = started();
    harness.write("other", &crate::support::watcher::pipeline("other", "", ALL));
    harness.put_run(
        run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Definition, "there is no column total"),
    );
    harness.at("2026-03-03T08:05:00Z").tick();
    only_message(&harness);
    harness.remove("orders");
    // another watcher may have it among its pipelines
    assert_eq!(harness.at("2026-03-03T08:10:00Z").tick().resolved.len(), 0);
    assert_eq!(harness.at("2026-03-03T09:15:00Z").tick().resolved.len(), 1);
    let slack_message = only_message(&harness);
    let what = "It no longer exists; it lasted 1 h 14 min.";
    assert!(slack_message.is_over() && slack_message.what.starts_with(what), "{}", slack_message.what);
}
