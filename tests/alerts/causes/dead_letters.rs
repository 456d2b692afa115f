//! Dead letters, in every form in which they arrive.

use serde_json::{Value, json};

use super::only_message;
use crate::support::daily_sales::Backend;
use crate::support::project::root;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, pipeline};

fn sample(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join(format!("events/{name}.json"))).unwrap()).unwrap()
}

/// A watcher just before the events of the samples were given up.
fn harness() -> WatcherHarness {
    let files = [("daily-sales", daily()), ("totals", totals())];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let harness = WatcherHarness::new(Backend::Memory, &files);
    harness.assert_not_broken();
    harness.at("2026-03-03T08:04:00Z").tick();
    harness.at("2026-03-03T08:05:00Z");
    harness
}

/// A pipeline that reads the bucket of the samples.
fn daily() -> String {
    pipeline("sales", DAILY, ALL).replace("${IN}/sales*.csv", "s3://example-sales/daily/*.csv")
}

/// A pipeline without a source.
fn totals() -> String {
    format!("[[model]]\nname = 'totals'\nsql = 'SELECT COUNT(*) AS n FROM sales'\n\n[alerts]\n{ALL}\n")
}

/// The payload of a function's on-failure destination for an event.
fn by_function(event: Value) -> Value {
    let mut dead_letter = sample("given-up");
    dead_letter["requestPayload"] = event;
    dead_letter
}

/// The same payload directly, through a bus, and in a queue.
fn forms(dead_letter: &Value) -> [Value; 3] {
    let through_a_bus = json!({
        "source": "lambda", "detail-type": "Lambda Function Invocation Result - Failure", "time": "2026-03-03T08:04:13Z",
        "resources": [], "detail": dead_letter,
    });
    let mut in_a_queue = sample("given-up-rule");
    in_a_queue["Records"][0]["body"] = dead_letter.to_string().into();
    [dead_letter.clone(), through_a_bus, in_a_queue]
}

#[test]
fn dead_letter_of_a_due_step() {
    for event in forms(&sample("given-up")) {
        let harness = harness();
        harness.receive(&event).unwrap();
        let slack_message = only_message(&harness);
        assert_eq!(
            (slack_message.head.as_str(), slack_message.incident()),
            ("🔴 daily-sales: clean failed", "daily-sales.clean.failed#1")
        );
        assert!(
            slack_message.what.starts_with(
                "an event could not be handled: transform after 3 attempts: retry: lake s3://example-lake/main: the store does not answer"
            ),
            "{}",
            slack_message.what
        );
        assert_eq!(slack_message.fact("Scheduled"), "2026-03-03 08:00 UTC");
        assert_eq!(
            (slack_message.command.as_str(), slack_message.record()),
            ("tidemark run daily-sales --at 2026-03-03T08:00:00Z", "")
        );
        assert_eq!(
            slack_message.next,
            "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
        );
        // events are delivered at least once
        harness.after(1).receive(&event).unwrap();
        assert_eq!(harness.messages(), []);
        harness.put_run(run("daily-sales", "ingest", "2026-03-03T08:10:00Z"));
        harness.ticks(6, 5);
        assert_eq!(harness.announced_steps(), ["daily-sales/clean at 2026-03-03T08:00:00Z"]);
        harness.put_run(run("daily-sales", "clean", "2026-03-03T08:37:00Z").nothing());
        harness.after(5).tick();
        assert!(only_message(&harness).is_over());
        // a duplicate that arrives after the success is ignored
        harness.after(5).receive(&event).unwrap();
        assert_eq!((harness.messages(), harness.open().len()), (Vec::new(), 0));
    }
}

#[test]
fn dead_letter_makes_a_failure_final() {
    let harness = harness();
    let failed =
        || run("daily-sales", "clean", "2026-03-03T08:04:00Z").failed(tidemark_flow::ErrorKind::Retry, "throttled");
    let run_id = harness.put_run(failed());
    assert_eq!(harness.tick().open, 0);
    harness.receive(&sample("given-up")).unwrap();
    let slack_message = only_message(&harness);
    assert!(slack_message.what.starts_with("throttled"), "{}", slack_message.what);
    assert_eq!(slack_message.record(), format!("lake/runs/2026-03-03/{run_id}.json"));
}

#[test]
fn dead_letter_of_a_schedule() {
    let harness = harness();
    harness.receive(&sample("given-up-rule")).unwrap();
    let slack_message = only_message(&harness);
    assert_eq!(slack_message.incident(), "daily-sales.ingest.failed#1");
    assert!(
        slack_message.what.starts_with(
            "an event could not be handled: tidemark-daily-sales after 185 attempts: NO_PERMISSIONS: no permission to invoke \
             function ingest"
        ),
        "{}",
        slack_message.what
    );
    harness.put_run(run("daily-sales", "ingest", "2026-03-03T08:06:00Z").nothing());
    harness.after(5).tick();
    assert!(only_message(&harness).is_over());
}

/// For each kind of event, the first step that it would have woken counts as failed.
#[test]
fn every_sample_can_be_dead_lettered() {
    let of = |name: &str| by_function(sample(name));
    let cases = [
        (of("schedule"), "daily-sales.ingest.failed#1"),
        (of("scheduled-event"), "daily-sales.ingest.failed#1"),
        (of("range"), "daily-sales.ingest.failed#1"),
        (of("object-created"), "daily-sales.ingest.failed#1"),
        (of("step-due-clean"), "daily-sales.clean.failed#1"),
        (
            by_function(json!({"pipeline": "totals", "scheduled_time": "2026-03-03T08:00:00Z"})),
            "totals.model_totals.failed#1",
        ),
        (
            by_function(json!({"pipeline": "totals", "from": "2026-03-01", "to": "2026-03-02"})),
            "totals.model_totals.failed#1",
        ),
    ];
    for (event, expected) in cases {
        let harness = harness();
        let report = harness.receive(&event).unwrap();
        assert_eq!(report.opened.iter().map(|turn| turn.incident.as_str()).collect::<Vec<_>>(), [expected], "{event}");
        assert_eq!(only_message(&harness).incident(), expected);
        // after a while it is retried
        harness.put_run(run("daily-sales", "ingest", "2026-03-03T08:00:00Z").scheduled_at("2026-03-03T08:00:00Z"));
        let announced = harness.ticks(7, 5).iter().map(|report| report.announced).sum::<usize>();
        assert!(announced >= 1 || expected.contains("ingest"), "{event}");
    }
}

#[test]
fn unroutable_events_are_reported() {
    let step = |pipeline: &str, step: &str| {
        let mut event = sample("step-due-clean");
        event["detail"]["pipeline"] = pipeline.into();
        event["detail"]["step"] = step.into();
        event
    };
    let cases = [
        by_function(json!("hello")),
        by_function(sample("step-due-load")),
        by_function(step("gone", "clean")),
        by_function(step("daily-sales", "model gone")),
        by_function(sample("tick")),
        by_function(sample("s3-test")),
    ];
    for event in cases {
        for event in forms(&event) {
            let harness = harness();
            // it may have been in a queue for days
            harness.at("2026-03-09T07:00:00Z");
            harness.receive(&event).unwrap();
            let slack_message = harness.messages();
            let slack_message =
                slack_message.iter().find(|slack_message| slack_message.incident().starts_with("watch.")).unwrap();
            assert_eq!(slack_message.incident(), "watch.blind.transform#1", "{event}");
            assert_eq!(slack_message.head, "🔴 tidemark: something cannot be watched");
            assert!(
                slack_message.what.starts_with("transform could not handle an event without a known step: retry"),
                "{}",
                slack_message.what
            );
            // it is reported for a day
            harness.ticks(4, 60);
            assert!(harness.open().iter().any(|id| id.starts_with("watch.")));
            harness.at("2026-03-10T07:00:00Z").tick();
            assert!(!harness.open().iter().any(|id| id.starts_with("watch.")));
        }
    }
    // a message without any of these fields
    let mut event = sample("given-up-rule");
    event["Records"][0] = json!({"eventSource": "aws:sqs", "body": "hello"});
    let harness = harness();
    harness.receive(&event).unwrap();
    assert!(only_message(&harness).what.starts_with("a rule could not handle an event without a known step: given up"));
}

/// Steps of a pipeline whose file is broken at the moment are accepted.
#[test]
fn dead_letter_of_a_broken_pipeline() {
    let mut harness = harness();
    harness.change("daily-sales", &daily().replace("int64", "int65"));
    harness.receive(&sample("given-up")).unwrap();
    let mut heads = harness.headlines();
    heads.sort();
    assert_eq!(
        heads,
        ["🔴 daily-sales: clean failed", "🔴 daily-sales: its pipeline file is invalid, so it does not run"]
    );
}

#[test]
fn foreign_events_are_refused() {
    let harness = harness();
    for name in ["schedule", "range", "object-created", "step-due-clean", "s3-test"] {
        let error = harness.receive(&sample(name)).unwrap_err();
        assert_eq!(error.kind, tidemark_flow::ErrorKind::Refused, "{name}");
    }
    harness.receive(&sample("tick")).unwrap();
}
