//! Metrics, written as lines in CloudWatch's Embedded Metric Format, which needs no request. CloudWatch charges for each metric and each
//! dimension value in every hour in which it is sent, so zero values are not sent. Format:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tidemark_flow::{Error, RunRecord, Status, settings};

/// Default namespace of the metrics of every function.
const NAMESPACE: &str = "Tidemark";

/// Writes metrics to stdout, where Lambda collects them.
pub(crate) struct Metrics {
    namespace: String,
    /// Name of the function.
    function: String,
}

/// One line: metrics with name and unit, dimensions, and further properties for searching.
struct Line<'a> {
    metrics: Vec<(&'a str, &'a str, Value)>,
    dimensions: Vec<(&'a str, Value)>,
    properties: Vec<(&'a str, Value)>,
}

impl Metrics {
    /// Reads the settings from the environment. `function` is the name of the function if Lambda does not provide it.
    pub(crate) fn from_variables(function: &str) -> Metrics {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Metrics {
            namespace: variable(settings::NAMESPACE).unwrap_or_else(|| NAMESPACE.to_owned()),
            function: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| function.to_owned()),
        }
    }

    /// Writes the metrics of a run.
    pub(crate) fn record_run(&self, record: &RunRecord, now: Timestamp) {
        self.emit(run(record), now);
    }

    /// Writes the watcher's heartbeat, what it found, and the lag of each dataset. An alarm on a missing heartbeat watches the watcher.
    pub(crate) fn record_watch(&self, seen: &Value, began: Timestamp, now: Timestamp) {
        self.emit(watch(seen, began, now), now);
        lags(seen).into_iter().for_each(|lag| self.emit(lag, now));
    }

    /// Writes the metric of an event that failed without a run record.
    pub(crate) fn record_unhandled(&self, error: &Error, now: Timestamp) {
        self.emit(not_handled(error, &self.function), now);
    }

    fn emit(&self, line: Line<'_>, now: Timestamp) {
        // a closed stdout means that no metrics are wanted
        let _ = writeln!(std::io::stdout(), "{}", self.line(line, now));
    }

    fn line(&self, line: Line<'_>, now: Timestamp) -> Value {
        let Line { metrics, dimensions, properties } = line;
        let named: Vec<_> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let by: Vec<_> = dimensions.iter().map(|(name, _)| json!(name)).collect();
        let values = metrics.into_iter().map(|(name, _, value)| (name, value));
        let mut all: Map<String, Value> =
            values.chain(dimensions).chain(properties).map(|(name, value)| (name.to_owned(), value)).collect();
        let directive = json!({"Namespace": self.namespace, "Dimensions": [by], "Metrics": named});
        all.insert("_aws".into(), json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]}));
        Value::Object(all)
    }
}

/// Metrics by `pipeline` and `step`, with properties that identify the run or are not graphed.
fn run(record: &RunRecord) -> Line<'static> {
    let rows = &record.rows;
    let counts = [
        ("rows_written", "Count", rows.written),
        ("rows_updated", "Count", rows.updated),
        ("rows_unchanged", "Count", rows.unchanged),
        ("rows_deduplicated", "Count", rows.deduplicated),
        ("rows_filtered", "Count", rows.filtered.values().sum()),
        ("rows_quarantined", "Count", rows.quarantined),
        ("rows_deleted", "Count", rows.deleted),
    ];
    let counts = counts.into_iter().filter(|(_, _, count)| *count > 0);
    let mut metrics: Vec<_> = counts.map(|(name, unit, count)| (name, unit, json!(count))).collect();
    let is = |status| json!(u8::from(record.status == status));
    metrics.extend([
        ("duration_ms", "Milliseconds", json!(record.duration_ms)),
        ("peak_memory_bytes", "Bytes", json!(record.peak_memory_bytes)),
        ("cost_usd", "None", json!(record.cost_usd)),
        // sent even if zero: two graphs depend on these
        ("runs_done", "Count", is(Status::Done)),
        ("runs_failed", "Count", is(Status::Failed)),
    ]);
    Line {
        metrics,
        dimensions: vec![("pipeline", json!(record.pipeline)), ("step", json!(record.step))],
        properties: vec![
            ("run_id", json!(record.run_id)),
            ("chain", json!(record.correlation_id)),
            ("status", json!(record.status)),
            ("rows_in", json!(rows.rows_in)),
            ("bytes_read", json!(record.bytes.read)),
            ("bytes_written", json!(record.bytes.written)),
        ],
    }
}

/// The metrics of one tick of the watcher: numbers of its report, and lengths of its lists.
fn watch(seen: &Value, began: Timestamp, now: Timestamp) -> Line<'static> {
    let count = |name: &str| match &seen[name] {
        Value::Array(items) => items.len() as u64,
        number => number.as_u64().unwrap_or_default(),
    };
    let names = [
        ("records", "records_read"),
        ("opened", "incidents_opened"),
        ("resolved", "incidents_resolved"),
        ("open", "incidents_open"),
        ("told", "messages_sent"),
        ("untold", "messages_waiting"),
        ("announced", "steps_announced_again"),
    ];
    // sent even if zero, since an alarm and a graph depend on these; not sent if this tick does not know them
    let is_known = seen["is_part"] != json!(true);
    let is_sent =
        |metric: &str, count: u64| count > 0 || is_known && matches!(metric, "incidents_open" | "messages_waiting");
    let counts = names.into_iter().map(|(name, metric)| (metric, count(name)));
    let counts = counts.filter(|(metric, count)| is_sent(metric, *count));
    let mut metrics: Vec<_> = counts.map(|(metric, count)| (metric, "Count", json!(count))).collect();
    metrics.push(("heartbeat", "Count", json!(1)));
    metrics.push(("watch_ms", "Milliseconds", json!(now.duration_since(began).as_millis())));
    Line { metrics, dimensions: vec![("function", json!("watch"))], properties: Vec::new() }
}

/// The lag of each dataset behind the clock, as reported by the watcher. It rises while nothing runs.
fn lags(seen: &Value) -> Vec<Line<'static>> {
    let lags = seen["lag_seconds"].as_object().into_iter().flatten();
    let line = |(dataset, seconds): (&String, &Value)| Line {
        metrics: vec![("lag_seconds", "Seconds", seconds.clone())],
        dimensions: vec![("dataset", json!(dataset))],
        properties: Vec::new(),
    };
    lags.map(line).collect()
}

/// An event that failed. Only the message is included: its causes may quote the refused event, and are in the log.
fn not_handled(error: &Error, function: &str) -> Line<'static> {
    Line {
        metrics: vec![("not_handled", "Count", json!(1))],
        dimensions: vec![("function", json!(function))],
        properties: vec![("kind", json!(error.kind)), ("message", json!(error.message))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_flow::{ErrorKind, Event};

    fn record() -> RunRecord {
        let text = r#"{"run_id": "r1", "pipeline": "daily-sales", "step": "clean", "trigger": "schedule", "chain": "c1", "status": "done",
            "started_at": "2026-03-03T08:00:00Z", "finished_at": "2026-03-03T08:00:01Z", "duration_ms": 1000, "inputs": [],
            "outputs": [{"dataset": "sales", "version": 1, "partitions": 1, "watermark": "2026-03-03T08:00:00Z"}],
            "rows": {"in": 10, "written": 7, "updated": 0, "unchanged": 0, "deduplicated": 0, "filtered": {"a": 1, "b": 1},
            "quarantined": 1, "deleted": 0}, "bytes": {"read": 5, "written": 6}, "peak_memory_bytes": 7, "cost_usd": 0.00002, "error": null}"#;
        serde_json::from_str(text).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Writes a line and checks that each declared metric is a number, and each declared dimension a text.
    fn written(line: Line<'_>) -> Value {
        let metrics = Metrics { namespace: "Tidemark-dev".into(), function: "tidemark-dev-load".into() };
        let line = metrics.line(line, at("2026-03-03T08:01:00Z"));
        assert_eq!(line["_aws"]["Timestamp"], 1_772_524_860_000_i64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Tidemark-dev");
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number() && metric["Unit"].is_string(), "{metric}");
        }
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
        line
    }

    fn names(line: &Value) -> Vec<&str> {
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        metrics.iter().map(|metric| metric["Name"].as_str().unwrap()).collect()
    }

    #[test]
    fn zero_counts_of_a_run_are_not_sent() {
        let line = written(run(&record()));
        let rows = ["rows_written", "rows_filtered", "rows_quarantined"];
        let always = ["duration_ms", "peak_memory_bytes", "cost_usd", "runs_done", "runs_failed"];
        assert_eq!(names(&line), [&rows[..], &always].concat());
        assert_eq!((&line["rows_filtered"], &line["rows_quarantined"]), (&json!(2), &json!(1)));
        assert_eq!((&line["runs_done"], &line["runs_failed"]), (&json!(1), &json!(0)));
        assert_eq!((&line["run_id"], &line["status"]), (&json!("r1"), &json!("done")));
        assert_eq!((line.get("rows_updated"), &line["rows_in"], &line["bytes_read"]), (None, &json!(10), &json!(5)));
    }

    #[test]
    fn watcher_sends_a_heartbeat() {
        let seen = json!({"pipelines": 2, "records": 7, "opened": [{"incident": "a#1"}], "resolved": [], "open": 1, "told": 1, "untold": 0, "announced": 0});
        let look = |seen: &Value| written(watch(seen, at("2026-03-03T08:00:59.750Z"), at("2026-03-03T08:01:00Z")));
        let line = look(&seen);
        let some = ["records_read", "incidents_opened", "incidents_open", "messages_sent", "messages_waiting"];
        assert_eq!(names(&line), [&some[..], &["heartbeat", "watch_ms"]].concat());
        assert_eq!((&line["heartbeat"], &line["watch_ms"]), (&json!(1), &json!(250)));
        assert_eq!((&line["incidents_opened"], &line["records_read"]), (&json!(1), &json!(7)));
        let quiet = look(
            &json!({"records": 0, "opened": [], "resolved": [], "open": 0, "told": 0, "untold": 0, "announced": 0}),
        );
        assert_eq!(names(&quiet), ["incidents_open", "messages_waiting", "heartbeat", "watch_ms"]);
        let part = look(&json!({"is_part": true, "records": 0, "opened": [], "resolved": [], "open": 0, "untold": 0}));
        assert_eq!(names(&part), ["heartbeat", "watch_ms"]);
    }

    #[test]
    fn each_dataset_has_its_lag() {
        let seen = json!({"lag_seconds": {"sales": 60, "sales_by_day": 86_400}});
        let lines: Vec<Value> = lags(&seen).into_iter().map(written).collect();
        let seconds: Vec<_> =
            lines.iter().map(|line| (line["dataset"].as_str(), line["lag_seconds"].as_u64())).collect();
        assert_eq!(seconds, [(Some("sales"), Some(60)), (Some("sales_by_day"), Some(86_400))]);
        assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["dataset"]]));
        assert!(lags(&json!({})).is_empty());
    }

    #[test]
    fn failed_events_are_counted_without_their_content() {
        let error = Event::read(&json!({"hello": "hunter2"})).unwrap_err();
        let line = written(not_handled(&error, "tidemark-dev-load"));
        assert_eq!((&line["not_handled"], &line["function"]), (&json!(1), &json!("tidemark-dev-load")));
        assert_eq!(
            (&line["kind"], &line["message"]),
            (&json!("refused"), &json!("this is a message of unknown format"))
        );
        assert!(error.full_message().contains("hunter2"), "the log has it");
        let denied = Error::new(ErrorKind::Refused, "bucket lake may not be read").because("hunter2");
        assert!(!written(not_handled(&denied, "load")).to_string().contains("hunter2"));
    }
}
