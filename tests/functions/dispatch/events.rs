//! Every kind of event that a function accepts or refuses.

use serde_json::{Value, json};

use super::{DAYS, TIME, file, from_stack, records};
use crate::support::lambda::{Answer, Stack, morning};
use crate::support::project::root;

fn sample(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join(format!("events/{name}.json"))).unwrap()).unwrap()
}

/// The samples in `events/` wake the steps and days that they name.
#[test]
fn every_sample_is_accepted() {
    let stack = Stack::new(1);
    stack.put_sales("2026-03-02.csv", file("2026-03-02"));
    let step = |name: &str| {
        let event = sample(name);
        let record = stack.function(&event, 0).invoke(&event, TIME).record();
        (record["step"].as_str().unwrap().to_owned(), record["status"].as_str().unwrap().to_owned())
    };
    let done = |step: &str| (step.to_owned(), "done".to_owned());
    let nothing = |step: &str| (step.to_owned(), "nothing_to_do".to_owned());
    assert_eq!(step("schedule"), done("ingest"));
    assert_eq!(step("scheduled-event"), nothing("ingest"));
    assert_eq!(step("step-due-clean"), done("clean"));
    assert_eq!(step("step-due-model"), done("model sales_by_day"));
    // three models are pending, and the last of them wakes it
    assert_eq!(step("step-due-load"), nothing("load report"));
    assert_eq!(step("s3-test").1, "nothing_to_do");
    assert!(matches!(
        stack.named("ingest", 0).invoke(&sample("object-created"), TIME),
        Answer::Failed(kind, message) if kind == "refused" && message.contains("no pipeline reads bucket example-sales")
    ));
    let mut object = sample("object-created");
    object["detail"]["bucket"]["name"] = "sales".into();
    object["detail"]["object"]["key"] = "other/2026-03-02.csv".into();
    assert_eq!(stack.named("ingest", 0).invoke(&object, TIME).record()["status"], "nothing_to_do");
    for key in ["daily/2026-03-03%2Bmore%20%C3%A4.csv", "daily/2026-03-04+ä.csv"] {
        stack.put_sales(key.rsplit('/').next().unwrap(), file("2026-03-03"));
        object["detail"]["object"]["key"] = key.into();
        let record = stack.named("ingest", 0).invoke(&object, TIME).record();
        assert_eq!((&record["step"], &record["status"]), (&json!("ingest"), &json!("done")), "{record}");
    }
}

#[test]
fn range_rebuilds_the_reports_of_its_days() {
    let stack = Stack::new(1);
    for (day, at) in DAYS {
        stack.put_sales(&format!("{day}.csv"), file(day));
        records(stack.carry(morning(at), TIME));
    }
    let before = from_stack(&stack);
    let reports = stack.s3.folder("reports").join("main");
    for (day, _) in DAYS {
        std::fs::remove_file(reports.join(format!("daily-sales-{day}.xlsx"))).unwrap();
    }
    let range = json!({"pipeline": "daily-sales", "from": "2011-12-06", "to": "2011-12-08"});
    let report = |range: &Value| {
        let runs = records(stack.carry(range.clone(), TIME));
        runs.into_iter().find(|run| run["step"] == "load report" && run["status"] == "done").unwrap()
    };
    let report_of_all = report(&range);
    assert_eq!(report_of_all["outputs"].as_array().unwrap().len(), 3, "{report_of_all}");
    // again, with nothing to do in the steps before
    std::fs::remove_file(reports.join("daily-sales-2011-12-07.xlsx")).unwrap();
    report(&range);
    let after = from_stack(&stack);
    for (day, _) in DAYS {
        let name = format!("report daily-sales-{day}.xlsx");
        assert_eq!(before[&name], after[&name]);
    }
    assert!(after.contains_key("report daily-sales-2011-12-06.xlsx"));
}

#[test]
fn foreign_event_fails_and_the_next_event_works() {
    let stack = Stack::new(1);
    stack.put_sales("2011-12-07.csv", file("2011-12-07"));
    let due = |step: &str, pipeline: &str| {
        json!({"source": "tidemark", "detail-type": "step due", "time": "2011-12-08T08:00:00Z", "detail": {
            "pipeline": pipeline, "step": step, "function": "ingest", "scheduled_time": "2011-12-08T08:00:00Z", "chain": "c"}})
    };
    let cases = [
        (json!({"Records": []}), "refused", "a message of unknown format"),
        (
            json!({"pipeline": "daily-sale", "scheduled_time": "2011-12-08T08:00:00Z"}),
            "definition",
            "did you mean `daily-sales`?",
        ),
        (due("clean", "daily-sales"), "refused", "is not run by function ingest, but by transform"),
        (due("model nothing", "daily-sales"), "definition", "has no step model nothing"),
    ];
    for (event, kind, words) in cases {
        match stack.named("ingest", 0).invoke(&event, TIME) {
            Answer::Failed(found, message) => {
                assert_eq!(found, kind, "{message}");
                assert!(message.contains(words), "{message}");
            }
            other => panic!("{event}: {other:?}"),
        }
    }
    not_handled(&stack, "Tidemark", &["refused", "definition", "refused", "definition"]);
    assert_eq!(stack.named("ingest", 0).invoke(&morning(DAYS[0].1), TIME).record()["status"], "done");
    assert_eq!(stack.bus.take().len(), 1);
    let lines = stack.named("ingest", 0).stdout();
    assert!(lines.len() == 5 && lines[4]["runs_done"] == 1, "{lines:#?}");
}

/// Checks that every metrics line of `ingest` is of a failed event, with these kinds of errors.
fn not_handled(stack: &Stack, namespace: &str, kinds: &[&str]) {
    let lines = stack.named("ingest", 0).stdout();
    let found: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(found, kinds);
    for line in lines {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!((&directive["Namespace"], &directive["Dimensions"]), (&json!(namespace), &json!([["function"]])));
        assert_eq!((&line["not_handled"], &line["function"]), (&json!(1), &json!("ingest")));
        let message = line["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains("Records"), "{line}");
    }
}

/// More consumers than fit a batch, and a bus that does not accept all of them at once.
#[test]
fn announcements_are_batched_and_retried() {
    let pipelines = tempfile::tempdir().unwrap();
    let model = |n: usize| format!("[[model]]\nname = \"m{n:02}\"\nsql = \"SELECT id FROM orders\"\n");
    let text = format!(
        "[source]\nkind = \"files\"\npath = \"s3://sales/daily\"\n[contract]\ndataset = \"orders\"\n[contract.columns]\nid = \
         \"int64\"\n{}",
        (0..23).map(model).collect::<String>()
    );
    std::fs::write(pipelines.path().join("orders.toml"), text).unwrap();
    let stack = Stack::with(1, pipelines.path());
    stack.put_sales("a.csv", "id\n1\n2\n");
    let at = json!({"pipeline": "orders", "scheduled_time": "2011-12-08T08:00:00Z"});
    stack.named("ingest", 0).invoke(&at, TIME).record();
    let clean = stack.bus.take().remove(0);
    stack.bus.batches();
    stack.bus.refuse(13);
    let record = stack.function(&clean, 0).invoke(&clean, TIME).record();
    assert_eq!(record["status"], "done");
    let mut names: Vec<_> = stack.bus.take().iter().map(|event| event["detail"]["step"].to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 23);
    // ten entries are refused, then three of them again, before all are accepted
    assert_eq!(stack.bus.batches(), [10, 10, 3, 10, 3]);

    // a bus that accepts nothing fails the invocation; the same event later repairs it
    stack.put_sales("b.csv", "id\n3\n");
    let next = json!({"pipeline": "orders", "scheduled_time": "2011-12-09T08:00:00Z"});
    stack.bus.refuse(1000);
    match stack.named("ingest", 0).invoke(&next, TIME) {
        Answer::Failed(kind, message) => {
            assert!(kind == "retry" && message.contains("ThrottlingException"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    stack.bus.refuse(0);
    assert_eq!(stack.named("ingest", 0).invoke(&next, TIME).record()["status"], "nothing_to_do");
    assert_eq!(stack.bus.take().len(), 1, "clean is behind, so it is announced again");
}

/// Wrong settings are the answer to an event, and do not end the process.
#[test]
fn wrong_settings_are_explained_by_every_answer() {
    let empty = tempfile::tempdir().unwrap();
    let stack = Stack::with_variables(1, empty.path(), &[("TIDEMARK_NAMESPACE", "Tidemark/dev".into())]);
    for _ in 0..2 {
        match stack.named("ingest", 0).invoke(&morning(DAYS[0].1), TIME) {
            Answer::Failed(kind, message) => {
                assert!(kind == "definition" && message.contains("no pipelines at"), "{message}")
            }
            other => panic!("{other:?}"),
        }
    }
    not_handled(&stack, "Tidemark/dev", &["definition", "definition"]);
}
