//! Function `watch` as Lambda runs it: its tick, dead letters, and heartbeat metric.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::lambda::{Answer, Stack, morning};
use crate::support::project::{root, sales, walk};
use crate::support::receivers::Sink;
use crate::support::receivers::sns::Sns;
use crate::support::wait::HANG;

const TIME: Duration = HANG;
const AT: &str = "2011-12-08T08:00:00Z";
const DAY: &str = "2011-12-07";
const ARN: &str = "arn:aws:sns:us-east-1:123456789012:tidemark-alerts";

fn sample(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join(format!("events/{name}.json"))).unwrap()).unwrap()
}

/// The pipelines of the repository, with recipients for `daily-sales`.
fn pipelines(folder: &TempDir, alerts: &str) -> PathBuf {
    let (from, to) = (root().join("infra/pipelines"), folder.path().join("pipelines"));
    for path in walk(&from) {
        let copy = to.join(path.strip_prefix(&from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        if path.ends_with("daily-sales.toml") {
            text += &format!("\n[alerts]\n{alerts}\n");
        }
        std::fs::write(copy, text).unwrap();
    }
    to
}

fn counts(report: &Value) -> [u64; 4] {
    let length = |name: &str| report[name].as_array().unwrap().len() as u64;
    [length("opened"), length("resolved"), report["told"].as_u64().unwrap(), report["untold"].as_u64().unwrap()]
}

fn text(message: &Value) -> &str {
    message["text"].as_str().unwrap()
}

#[test]
fn failure_is_reported_and_resolved() {
    let (folder, sink) = (TempDir::new().unwrap(), Sink::start());
    let pipelines = pipelines(&folder, "slack = { secret = \"slack-webhook\" }");
    let stack = Stack::with_variables(1, &pipelines, &[("TIDEMARK_SECRET_SLACK_WEBHOOK", sink.url())]);
    let watch = |event: &Value| stack.named("watch", 0).invoke(event, TIME).record();
    assert_eq!(counts(&watch(&sample("tick"))), [0, 0, 0, 0]);

    // half of the records break the contract
    let price = |n: usize| if n.is_multiple_of(2) { "n/a" } else { "2.95" };
    let rows: Vec<_> = (0..20).map(|n| ("500001", "A", 1, price(n))).collect();
    stack.put_sales("day.csv", sales(DAY, &rows));
    let answers = stack.carry(morning(AT), TIME);
    assert!(matches!(answers.last(), Some(Answer::Failed(kind, _)) if kind == "data"), "{answers:?}");
    let report = watch(&sample("tick"));
    assert_eq!(counts(&report), [1, 0, 1, 0], "{report}");
    assert_eq!(report["opened"][0]["incident"], "daily-sales.clean.over_budget#1");
    // it lasts; the dead letter of the same event is no second incident
    assert_eq!(counts(&watch(&sample("tick"))), [0, 0, 0, 0]);
    assert_eq!(counts(&watch(&sample("given-up"))), [0, 0, 0, 0]);

    stack.put_sales("day.csv", sales(DAY, &[("500001", "A", 1, "2.95")]));
    stack.carry(morning("2011-12-09T08:00:00Z"), TIME);
    let report = watch(&sample("tick"));
    assert_eq!(counts(&report), [0, 1, 1, 0], "{report}");
    let taken = sink.taken();
    assert_eq!(taken.len(), 2, "{taken:#?}");
    assert!(text(&taken[0]).contains("daily-sales: clean is over its error budget"), "{}", taken[0]);
    assert!(taken.iter().all(|message| !message.to_string().contains("n/a")), "{taken:#?}");

    let (lags, looks): (Vec<_>, Vec<_>) =
        stack.named("watch", 0).stdout().into_iter().partition(|line| line["dataset"].is_string());
    assert_eq!(looks.len(), 5);
    assert!(looks.iter().all(|line| line["heartbeat"] == 1 && line["function"] == "watch"), "{looks:#?}");
    assert_eq!(looks[1]["incidents_opened"], 1);
    // in the last tick all datasets are there, and years behind the clock
    let names: Vec<_> = lags.iter().map(|line| line["dataset"].as_str().unwrap()).collect();
    assert_eq!(names, ["sales", "sales_by_country", "sales_by_day", "sales_by_hour", "sales_by_product"]);
    assert!(lags.iter().all(|line| line["lag_seconds"].as_u64() > Some(300_000_000)), "{lags:#?}");
    assert_eq!(json!(names), json!(report["lag_seconds"].as_object().unwrap().keys().collect::<Vec<_>>()));
}

#[test]
fn dead_letters_are_reported_at_once() {
    let (folder, topic) = (TempDir::new().unwrap(), Sns::start());
    let pipelines = pipelines(&folder, "email = \"data@example.com\"");
    let more = [("TIDEMARK_ALERT_TOPIC", ARN.to_owned()), ("AWS_ENDPOINT_URL_SNS", topic.endpoint())];
    let stack = Stack::with_variables(1, &pipelines, &more);
    let watch = |event: &Value| stack.named("watch", 0).invoke(event, TIME);
    let mut foreign = sample("given-up");
    foreign["requestPayload"] = json!({"hello": "world"});
    let mut dead_letter = sample("given-up");
    dead_letter["timestamp"] = json!("2036-03-03T08:04:12.123Z");
    let report = watch(&dead_letter).record();
    assert_eq!(counts(&report), [1, 0, 1, 0], "{report}");
    assert_eq!(report["opened"][0]["incident"], "daily-sales.clean.failed#1");
    let mail = &topic.taken()[0];
    assert!(mail.message.contains("the store does not answer"), "{}", mail.message);
    // the same event again, and through a bus
    let bridged = json!({"source": "lambda", "detail-type": "Lambda Function Invocation Result - Failure", "time": "2026-03-03T08:05:00Z",
        "detail": dead_letter});
    assert_eq!(counts(&watch(&dead_letter).record()), [0, 0, 0, 0]);
    assert_eq!(counts(&watch(&bridged).record()), [0, 0, 0, 0]);
    // foreign dead letters are reported too
    let report = watch(&foreign).record();
    assert_eq!(counts(&report), [1, 0, 1, 0], "{report}");
    // events that are not for the watcher are refused
    assert!(matches!(watch(&sample("object-created")), Answer::Failed(kind, _) if kind == "refused"));
}
