//! Events that the platform has given up, in every form in which they come.

use serde_json::{Value, json};

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, pipeline};
use super::one;
use crate::crash::house::Backend;
use crate::site::root;

fn sample(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join(format!("events/{name}.json"))).unwrap()).unwrap()
}

/// Just before the samples were given up.
fn tower() -> Tower {
    let files = [("daily-sales", daily()), ("totals", totals())];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let tower = Tower::new(Backend::Memory, &files);
    tower.is_sound();
    tower.at("2026-03-03T08:04:00Z").tick();
    tower.at("2026-03-03T08:05:00Z");
    tower
}

/// It reads the bucket of the samples.
fn daily() -> String {
    pipeline("sales", DAILY, ALL).replace("${IN}/sales*.csv", "s3://example-sales/daily/*.csv")
}

/// Without a source.
fn totals() -> String {
    format!("[[model]]\nname = 'totals'\nsql = 'SELECT COUNT(*) AS n FROM sales'\n\n[alerts]\n{ALL}\n")
}

/// What a function's destination is given of an event.
fn by_function(event: Value) -> Value {
    let mut given_up = sample("given-up");
    given_up["requestPayload"] = event;
    given_up
}

/// The same through a bus, and in a queue.
fn forms(given_up: &Value) -> [Value; 3] {
    let through_a_bus = json!({
        "source": "lambda", "detail-type": "Lambda Function Invocation Result - Failure", "time": "2026-03-03T08:04:13Z",
        "resources": [], "detail": given_up,
    });
    let mut in_a_queue = sample("given-up-rule");
    in_a_queue["Records"][0]["body"] = given_up.to_string().into();
    [given_up.clone(), through_a_bus, in_a_queue]
}

#[test]
fn a_step_that_was_due_and_is_no_more() {
    for event in forms(&sample("given-up")) {
        let tower = tower();
        tower.receives(&event).unwrap();
        let said = one(&tower);
        assert_eq!(
            (said.head.as_str(), said.incident()),
            ("🔴 daily-sales: clean failed", "daily-sales.clean.failed#1")
        );
        assert!(
            said.what.starts_with(
                "an event was given up: transform after 3 attempts: retry: lake s3://example-lake/main: the store does not answer"
            ),
            "{}",
            said.what
        );
        assert_eq!(said.fact("Scheduled"), "2026-03-03 08:00 UTC");
        assert_eq!((said.command.as_str(), said.record()), ("tidemark run daily-sales --at 2026-03-03T08:00:00Z", ""));
        assert_eq!(
            said.next,
            "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
        );
        // at least once is how events come
        tower.after(1).receives(&event).unwrap();
        assert_eq!(tower.messages(), []);
        tower.ran(run("daily-sales", "ingest", "2026-03-03T08:10:00Z"));
        tower.ticks(6, 5);
        assert_eq!(tower.heard_on_bus(), ["daily-sales/clean at 2026-03-03T08:00:00Z"]);
        tower.ran(run("daily-sales", "clean", "2026-03-03T08:37:00Z").nothing());
        tower.after(5).tick();
        assert!(one(&tower).is_over());
        // one that comes once more after that is of the past
        tower.after(5).receives(&event).unwrap();
        assert_eq!((tower.messages(), tower.open().len()), (Vec::new(), 0));
    }
}

#[test]
fn it_makes_a_failure_final() {
    let tower = tower();
    let failed =
        || run("daily-sales", "clean", "2026-03-03T08:04:00Z").failed(tidemark_flow::ErrorKind::Retry, "throttled");
    let run_id = tower.ran(failed());
    assert_eq!(tower.tick().open, 0);
    tower.receives(&sample("given-up")).unwrap();
    let said = one(&tower);
    assert!(said.what.starts_with("throttled"), "{}", said.what);
    assert_eq!(said.record(), format!("lake/runs/2026-03-03/{run_id}.json"));
}

#[test]
fn a_schedule_whose_start_was_given_up() {
    let tower = tower();
    tower.receives(&sample("given-up-rule")).unwrap();
    let said = one(&tower);
    assert_eq!(said.incident(), "daily-sales.ingest.failed#1");
    assert!(
        said.what.starts_with(
            "an event was given up: tidemark-daily-sales after 185 attempts: NO_PERMISSIONS: no permission to invoke function ingest"
        ),
        "{}",
        said.what
    );
    tower.ran(run("daily-sales", "ingest", "2026-03-03T08:06:00Z").nothing());
    tower.after(5).tick();
    assert!(one(&tower).is_over());
}

/// Whatever an event names, the first step that it would have woken is the one that failed.
#[test]
fn every_sample_may_be_given_up() {
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
        let tower = tower();
        let ticked = tower.receives(&event).unwrap();
        assert_eq!(ticked.opened.iter().map(|turn| turn.incident.as_str()).collect::<Vec<_>>(), [expected], "{event}");
        assert_eq!(one(&tower).incident(), expected);
        // by and by it is tried again
        tower.ran(run("daily-sales", "ingest", "2026-03-03T08:00:00Z").of("2026-03-03T08:00:00Z"));
        let announced = tower.ticks(7, 5).iter().map(|ticked| ticked.announced).sum::<usize>();
        assert!(announced >= 1 || expected.contains("ingest"), "{event}");
    }
}

#[test]
fn what_nobody_can_make_sense_of_is_told_as_it_is() {
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
            let tower = tower();
            // a queue may hold it for days
            tower.at("2026-03-09T07:00:00Z");
            tower.receives(&event).unwrap();
            let said = tower.messages();
            let said = said.iter().find(|said| said.incident().starts_with("watch.")).unwrap();
            assert_eq!(said.incident(), "watch.blind.transform#1", "{event}");
            assert_eq!(said.head, "🔴 tidemark: something cannot be watched");
            assert!(
                said.what.starts_with("transform gave up an event that names no step there is: retry"),
                "{}",
                said.what
            );
            // for a day
            tower.ticks(4, 60);
            assert!(tower.open().iter().any(|id| id.starts_with("watch.")));
            tower.at("2026-03-10T07:00:00Z").tick();
            assert!(!tower.open().iter().any(|id| id.starts_with("watch.")));
        }
    }
    // a message of which even that cannot be said
    let mut event = sample("given-up-rule");
    event["Records"][0] = json!({"eventSource": "aws:sqs", "body": "hello"});
    let tower = tower();
    tower.receives(&event).unwrap();
    assert!(one(&tower).what.starts_with("a rule gave up an event that names no step there is: given up"));
}

/// A pipeline whose file is broken just now has its steps all the same.
#[test]
fn of_a_broken_pipeline() {
    let mut tower = tower();
    tower.changes("daily-sales", &daily().replace("int64", "int65"));
    tower.receives(&sample("given-up")).unwrap();
    let mut heads = tower.heads();
    heads.sort();
    assert_eq!(
        heads,
        ["🔴 daily-sales: clean failed", "🔴 daily-sales: its pipeline file is broken, nothing of it runs"]
    );
}

#[test]
fn what_is_none_of_the_watchers_is_refused() {
    let tower = tower();
    for name in ["schedule", "range", "object-created", "step-due-clean", "s3-test"] {
        let failure = tower.receives(&sample(name)).unwrap_err();
        assert_eq!(failure.kind, tidemark_flow::ErrorKind::Refused, "{name}");
    }
    tower.receives(&sample("tick")).unwrap();
}
