//! Metrics: one line per run in CloudWatch's Embedded Metric Format, which needs no request. Format:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tidemark_flow::{RunRecord, Status};

/// Where the metrics of every function are found.
const NAMESPACE: &str = "Tidemark";

/// Writes the metrics of a run to stdout, where Lambda finds them.
pub(crate) fn emit(record: &RunRecord, now: Timestamp) {
    // who does not listen to stdout wants no metrics
    let _ = writeln!(std::io::stdout(), "{}", line(record, now));
}

/// Writes that the watcher has looked, and what it saw. An alarm on the heartbeat that is missing watches the watcher.
pub(crate) fn emit_watch(seen: &Value, began: Timestamp, now: Timestamp) {
    // who does not listen to stdout wants no metrics
    let _ = writeln!(std::io::stdout(), "{}", watch_line(seen, began, now));
}

/// The line of one look: numbers of what it saw, lists by their length.
fn watch_line(seen: &Value, began: Timestamp, now: Timestamp) -> Value {
    let count = |name: &str| match &seen[name] {
        Value::Array(items) => json!(items.len()),
        number => json!(number.as_u64().unwrap_or_default()),
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
    let mut line: Map<String, Value> = names.iter().map(|(name, metric)| ((*metric).into(), count(name))).collect();
    line.insert("heartbeat".into(), json!(1));
    line.insert("watch_ms".into(), json!(now.duration_since(began).as_millis()));
    let unit = |name: &str| if name == "watch_ms" { "Milliseconds" } else { "Count" };
    let named: Vec<_> = line.keys().map(|name| json!({"Name": name, "Unit": unit(name)})).collect();
    line.insert("function".into(), json!("watch"));
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": named});
    line.insert("_aws".into(), json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]}));
    Value::Object(line)
}

/// The line: metrics by `pipeline` and `step`, and beside them what finds the run again.
pub(crate) fn line(record: &RunRecord, now: Timestamp) -> Value {
    let rows = &record.rows;
    let is = |status| f64::from(u8::from(record.status == status));
    let lag = record.outputs.iter().filter_map(|output| output.watermark).min();
    let lag = lag.map(|watermark| now.duration_since(watermark).as_secs().max(0) as f64);
    let count = |n: u64| Some(n as f64);
    let metrics = [
        ("rows_in", "Count", count(rows.rows_in)),
        ("rows_written", "Count", count(rows.written)),
        ("rows_updated", "Count", count(rows.updated)),
        ("rows_unchanged", "Count", count(rows.unchanged)),
        ("rows_deduplicated", "Count", count(rows.deduplicated)),
        ("rows_filtered", "Count", count(rows.filtered.values().sum())),
        ("rows_quarantined", "Count", count(rows.quarantined)),
        ("rows_deleted", "Count", count(rows.deleted)),
        ("bytes_read", "Bytes", count(record.bytes.read)),
        ("bytes_written", "Bytes", count(record.bytes.written)),
        ("duration_ms", "Milliseconds", count(record.duration_ms)),
        ("peak_memory_bytes", "Bytes", count(record.peak_memory_bytes)),
        ("lag_seconds", "Seconds", lag),
        ("cost_usd", "None", Some(record.cost_usd)),
        ("runs_done", "Count", Some(is(Status::Done))),
        ("runs_failed", "Count", Some(is(Status::Failed))),
    ];
    let mut line = Map::new();
    let mut named = Vec::new();
    for (name, unit, value) in metrics {
        // a step that has made no dataset has no lag
        if let Some(value) = value {
            named.push(json!({"Name": name, "Unit": unit}));
            line.insert(name.into(), json!(value));
        }
    }
    line.insert("pipeline".into(), json!(record.pipeline));
    line.insert("step".into(), json!(record.step));
    line.insert("run_id".into(), json!(record.run_id));
    line.insert("chain".into(), json!(record.chain));
    line.insert("status".into(), json!(record.status));
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [["pipeline", "step"]], "Metrics": named});
    line.insert("_aws".into(), json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]}));
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> RunRecord {
        let text = r#"{"run_id": "r1", "pipeline": "daily-sales", "step": "clean", "trigger": "schedule", "chain": "c1", "status": "done",
            "started_at": "2026-03-03T08:00:00Z", "finished_at": "2026-03-03T08:00:01Z", "duration_ms": 1000, "inputs": [],
            "outputs": [{"dataset": "sales", "version": 1, "partitions": 1, "watermark": "2026-03-03T08:00:00Z"}],
            "rows": {"in": 10, "written": 7, "updated": 0, "unchanged": 0, "deduplicated": 0, "filtered": {"a": 1, "b": 1},
            "quarantined": 1, "deleted": 0}, "bytes": {"read": 5, "written": 6}, "peak_memory_bytes": 7, "cost_usd": 0.00002, "error": null}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_metric_that_is_named_is_there_and_a_number() {
        let line = line(&record(), "2026-03-03T08:01:00Z".parse().unwrap());
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let named = directive["Metrics"].as_array().unwrap();
        assert_eq!(named.len(), 16);
        for metric in named {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
        assert_eq!((&line["rows_filtered"], &line["rows_quarantined"]), (&json!(2.0), &json!(1.0)));
        assert_eq!((&line["lag_seconds"], &line["runs_done"]), (&json!(60.0), &json!(1.0)));
        assert_eq!(line["_aws"]["Timestamp"], 1_772_524_860_000_i64);
    }

    #[test]
    fn the_watcher_has_a_heart() {
        let seen = json!({"pipelines": 2, "records": 7, "opened": [{"incident": "a#1"}], "resolved": [], "open": 1, "told": 1, "untold": 0, "announced": 0});
        let at = |text: &str| text.parse().unwrap();
        let line = watch_line(&seen, at("2026-03-03T08:05:00Z"), at("2026-03-03T08:05:00.250Z"));
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["function"]]));
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        assert_eq!((&line["heartbeat"], &line["watch_ms"]), (&json!(1), &json!(250)));
        assert_eq!((&line["incidents_opened"], &line["records_read"]), (&json!(1), &json!(7)));
    }

    #[test]
    fn what_made_no_dataset_has_no_lag() {
        let record = RunRecord { outputs: Vec::new(), ..record() };
        let line = line(&record, "2026-03-03T08:01:00Z".parse().unwrap());
        assert!(line.get("lag_seconds").is_none());
        assert!(!line["_aws"].to_string().contains("lag_seconds"));
    }
}
