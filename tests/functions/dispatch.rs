//! Event-driven runs: real function bootstraps, a real S3 over HTTP, and announcements carried from one function to the next. The lake and
//! the reports must be byte for byte those of `tidemark run` on one machine, whatever happens to events and processes on the way.

mod events;
mod large;
mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tidemark_lake::{Lake, Meter, Store};

use crate::support::daily_sales::runtime;
use crate::support::lambda::{Answer, Stack, morning};
use crate::support::project::{Answer as CommandOutput, Site, sales, tidemark};
use crate::support::wait::HANG;

/// Longer than any step of these tests takes.
const TIME: Duration = HANG;

/// The days of the tests, each with the morning after it.
const DAYS: [(&str, &str); 2] = [("2011-12-07", "2011-12-08T08:00:00Z"), ("2011-12-08", "2011-12-09T08:00:00Z")];

/// The contents of a lake and its reports: for each dataset its live files, watermark and definition; for each report its bytes.
type Seen = BTreeMap<String, String>;

/// Some rows of a day, a few of which break the contract.
fn file(day: &str) -> String {
    let invoices: Vec<String> = (0..60).map(|n| format!("5{n:05}")).collect();
    let price = |n: usize| if n % 30 == 11 { "n/a" } else { ["2.95", "4.25", "0.85"][n % 23 % 3] };
    let row = |n: usize| (invoices[n].as_str(), ["A", "B", "C"][n % 3], 1 + n as i64 % 7, price(n));
    sales(day, &(0..60).map(row).collect::<Vec<_>>())
}

fn seen(lake: &Lake, reports: &Store, database: &Path) -> Seen {
    let mut seen = Seen::new();
    for name in lake.datasets().unwrap() {
        let Some(table) = lake.table(&name).unwrap() else { continue };
        let files: Vec<_> = table.files(lake).unwrap().into_iter().map(|file| (file.path, file.rows)).collect();
        seen.insert(name.to_string(), format!("{:?} {files:?}", table.meta(lake).unwrap()));
    }
    for object in reports.list(None).unwrap() {
        let (name, bytes) = (object.location.to_string(), reports.get(&object.location).unwrap());
        if name == "sales.db" {
            std::fs::write(database, &bytes).unwrap();
        } else {
            seen.insert(format!("report {name}"), tidemark_lake::fingerprint(&format!("{bytes:?}")));
        }
    }
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut rows = connection.prepare("SELECT sold_on, orders, revenue FROM sales_by_day ORDER BY sold_on").unwrap();
    let rows = rows.query_map([], |row| {
        let text = |at| row.get::<_, rusqlite::types::Value>(at).map(|value| format!("{value:?}"));
        Ok(format!("{} {} {}", text(0)?, text(1)?, text(2)?))
    });
    seen.insert("table sales_by_day".into(), rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n"));
    seen
}

/// The result of the functions.
fn from_stack(stack: &Stack) -> Seen {
    let [lake, reports] = stack.places().map(|place| stack.s3.store(&place, runtime()));
    let lake = Lake::open(lake, false).unwrap();
    seen(&lake, &reports, &stack.folder.path().join("copy.db"))
}

/// The result of the command in local folders, from the same source objects.
fn from_command(stack: &Stack, site: &Site) -> Seen {
    let lake = Lake::open_folder(&site.path("lake"), false, runtime(), &Meter::default()).unwrap();
    let reports = Store::folder(&site.path("reports"), runtime()).unwrap();
    seen(&lake, &reports, &stack.folder.path().join("other.db"))
}

fn command(stack: &Stack, site: &Site, at: &str) {
    let mut command = site.command(tidemark());
    command.args(["run", "daily-sales", "--json", "--at", at, "--set", "SALES=s3://sales/daily"]);
    command.args(["--set", "REPORTS=reports", "--lake", "lake"]).envs(stack.variables());
    CommandOutput::from_command(&mut command).expect(0);
}

#[track_caller]
fn assert_same(ours: &Seen, theirs: &Seen) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, what) in ours {
        assert_eq!(what, &theirs[name], "{name}");
    }
    assert!(ours.len() > 12, "{:?}", ours.keys());
}

fn records(answers: Vec<Answer>) -> Vec<Value> {
    answers.into_iter().map(Answer::record).collect()
}

/// Prints the resources that each invocation used (visible with `--nocapture`).
fn print_resources(records: &[Value]) {
    for record in records {
        let (step, status, ms) = (&record["step"], &record["status"], &record["duration_ms"]);
        println!("{step} {status} {ms} ms {} {} USD", record["requests"], record["cost_usd"]);
    }
}

#[test]
fn events_produce_the_same_result_as_a_run() {
    let (stack, site) = (Stack::new(1), Site::with_daily_sales());
    for (day, at) in DAYS {
        stack.put_sales(&format!("{day}.csv"), file(day));
        let records = records(stack.carry(morning(at), TIME));
        print_resources(&records);
        command(&stack, &site, at);
        assert_same(&from_stack(&stack), &from_command(&stack, &site));

        let steps: Vec<_> = records.iter().map(|record| record["step"].as_str().unwrap()).collect();
        assert_eq!(steps[..2], ["ingest", "clean"]);
        // all runs share one correlation id, and every step is done once; announcements that woke a report too early left no record
        let correlation_id = &records[0]["chain"];
        assert!(records.iter().all(|record| record["chain"] == *correlation_id), "{records:#?}");
        let done = |step: &str| records.iter().filter(|run| run["step"] == step && run["status"] == "done").count();
        for step in ["ingest", "clean", "model sales_by_day", "model sales_by_hour", "load report"] {
            assert_eq!(done(step), 1, "{step}: {steps:?}");
        }
        for record in records.iter().filter(|record| record["status"] == "done") {
            assert!(record["cost_usd"].as_f64().unwrap() > 0.0, "{record}");
            assert!(record["requests"]["get"].as_u64().unwrap() > 0, "{record}");
        }
        let report = records.iter().find(|run| run["step"] == "load report" && run["status"] == "done").unwrap();
        let link = report["outputs"][0]["link"].as_str().unwrap();
        assert!(link.contains("X-Amz-Signature=") && link.contains(day), "{link}");
    }
    // the same event again finds nothing to do
    let again = records(stack.carry(morning(DAYS[1].1), TIME));
    print_resources(&again);
    for record in again {
        assert_eq!(record["status"], "nothing_to_do", "{record}");
    }
    metrics_and_logs_are_lines_of_json(&stack);
}

fn metrics_and_logs_are_lines_of_json(stack: &Stack) {
    for name in ["ingest", "transform", "load"] {
        let function = stack.named(name, 0);
        let lines = function.stdout();
        assert!(!lines.is_empty());
        for line in lines {
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Tidemark", "{line}");
        }
        for line in function.log().lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["span"]["chain"].is_string(), "{line}");
        }
    }
}
