//! The rules of the templates match the events that functions announce and read, and functions have the variables that the code reads.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_flow::event::{SOURCE, STEP_DUE};
use tidemark_flow::{Event, Selection, Trigger, due, load_definitions, settings};
use tidemark_pipeline::{Graph, SourceFile, parameters};

use crate::support::aws_emulator::{ACCOUNT, REGION};
use crate::support::event_pattern::matches;
use crate::support::project::root;
use crate::support::template::Template;

const OTHER: [(&str, &str); 1] = [("SourceBucket", "elsewhere")];

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("events").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn graph() -> Graph {
    let parameter = |name: &str| match name {
        "ORDERS_API" => Some("https://orders.example".to_owned()),
        "WAREHOUSE" => Some("postgres://loader@db.example/shop".to_owned()),
        _ => Some("s3://any/place".to_owned()),
    };
    load_definitions(&root().join("infra/pipelines"), &parameter, Selection::Named(&[])).unwrap()
}

/// Rules that match an event, as `rule -> target`.
fn targets(template: &Template, bus: &str, event: &Value) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    for (name, rule) in template.of_type("AWS::Events::Rule") {
        let properties = &rule["Properties"];
        let Some(pattern) = properties.get("EventPattern") else { continue };
        let is_match = matches(&template.resolved(pattern, &OTHER), event);
        let of = properties.get("EventBusName").map_or("default", |bus| bus["Ref"].as_str().unwrap());
        if is_match.unwrap_or_else(|why| panic!("{name}: {why}")) && of == bus {
            for target in properties["Targets"].as_array().unwrap() {
                targets.insert(format!("{name} -> {}", target["Arn"]["Fn::GetAtt"][0].as_str().unwrap()));
            }
        }
    }
    targets
}

/// The event as EventBridge delivers it.
fn announced(detail: &Value) -> Value {
    let mut event = sample("step-due-clean.json");
    event["source"] = SOURCE.into();
    event["detail-type"] = STEP_DUE.into();
    event["detail"] = detail.clone();
    event
}

#[test]
fn announced_steps_reach_the_function_that_runs_them_and_no_other() {
    let Some(template) = Template::read("template.yaml") else { return };
    let graph = graph();
    let trigger = Trigger::at(Timestamp::UNIX_EPOCH, "chain");
    let mut reached = BTreeSet::new();
    for (pipeline, step) in graph.steps() {
        let detail = serde_json::to_value(due(pipeline, step, &trigger)).unwrap();
        let event = announced(&detail);
        let (rule, function) = match detail["function"].as_str().unwrap() {
            "ingest" => ("IngestDue", "Ingest"),
            "transform" => ("TransformDue", "Transform"),
            "load" => ("LoadDue", "Load"),
            other => panic!("nobody is function {other}"),
        };
        assert_eq!(targets(&template, "Bus", &event), BTreeSet::from([format!("{rule} -> {function}")]), "{event}");
        assert_eq!(targets(&template, "default", &event), BTreeSet::new(), "{event}");
        reached.insert(function);
        // Events of another source or type reach no function.
        for (field, value) in [("source", "tidemark.other"), ("detail-type", "step done")] {
            let other = Value::Object(
                event.as_object().unwrap().clone().into_iter().chain([(field.to_owned(), json!(value))]).collect(),
            );
            assert_eq!(targets(&template, "Bus", &other), BTreeSet::new(), "{other}");
        }
    }
    assert_eq!(reached, BTreeSet::from(["Ingest", "Transform", "Load"]));
    for name in ["step-due-clean.json", "step-due-model.json", "step-due-load.json"] {
        assert_eq!(targets(&template, "Bus", &sample(name)).len(), 1, "{name}");
    }
    let unknown = announced(&json!({"pipeline": "orders", "step": "clean", "function": "watch"}));
    assert_eq!(targets(&template, "Bus", &unknown), BTreeSet::new());
}

#[test]
fn new_objects_invoke_ingest_only_under_the_paths_of_sources() {
    let Some(template) = Template::read("template.yaml") else { return };
    let lake = format!("tidemark-dev-lake-{ACCOUNT}-{REGION}");
    let created = |bucket: &str, key: &str| {
        let mut event = sample("object-created.json");
        event["detail"]["bucket"]["name"] = bucket.into();
        event["detail"]["object"]["key"] = key.into();
        event
    };
    let targets = |event: &Value| targets(&template, "default", event);
    let incoming = created(&lake, "incoming/sales/2026-03-02.csv");
    assert_eq!(targets(&incoming), BTreeSet::from(["Incoming -> Ingest".to_owned()]));
    let elsewhere = BTreeSet::from(["IncomingElsewhere -> Ingest".to_owned()]);
    assert_eq!(targets(&created("elsewhere", "any/2026-03-02.csv")), elsewhere);
    // Other objects invoke nothing, in particular those that functions write.
    for (bucket, key) in [
        (lake.as_str(), "lake/datasets/sales.raw/_delta_log/00000000000000000000.json"),
        (&lake, "lake/runs/2026-03-03/incoming/x.json"),
        (&lake, "other/incoming/x.csv"),
        (&format!("tidemark-prod-lake-{ACCOUNT}-{REGION}"), "incoming/sales/x.csv"),
        (&format!("tidemark-dev-reports-{ACCOUNT}-{REGION}"), "incoming/x.csv"),
    ] {
        assert_eq!(targets(&created(bucket, key)), BTreeSet::new(), "{bucket} {key}");
    }
    for (field, value) in [("detail-type", "Object Deleted"), ("source", "shop")] {
        let mut event = incoming.clone();
        event[field] = value.into();
        assert_eq!(targets(&event), BTreeSet::new(), "{event}");
    }
}

/// The input of `ingest`: the template of a rule with the event's time, or the input of a schedule with the scheduled time.
#[test]
fn every_schedule_sends_an_event_that_ingest_reads() {
    let Some(schedules) = Template::read("schedules.yaml") else { return };
    let time = "2026-03-03T08:00:00Z";
    let mut found = BTreeSet::new();
    for (name, rule) in schedules.of_type("AWS::Events::Rule") {
        let input = &rule["Properties"]["Targets"][0]["InputTransformer"];
        assert_eq!(input["InputPathsMap"], json!({"time": "$.time"}), "{name}");
        // EventBridge inserts a text with its quotes.
        found.insert(input["InputTemplate"].as_str().unwrap().replace("<time>", &json!(time).to_string()));
    }
    for (_, schedule) in schedules.of_type("AWS::Scheduler::Schedule") {
        let input = schedule["Properties"]["Target"]["Input"].as_str().unwrap();
        found.insert(input.replace("<aws.scheduler.scheduled-time>", time));
    }
    let mut pipelines = BTreeSet::new();
    for text in &found {
        let Ok(Event::Schedule { pipeline, scheduled_time }) = Event::read(&serde_json::from_str(text).unwrap()) else {
            panic!("no schedule's event: {text}")
        };
        assert_eq!(scheduled_time, time.parse().unwrap());
        pipelines.insert(pipeline.as_str().to_owned());
    }
    let graph = graph();
    let scheduled = graph.pipelines().iter().filter(|pipeline| pipeline.schedule.is_some());
    assert_eq!(pipelines, scheduled.map(|pipeline| pipeline.name.as_str().to_owned()).collect());
}

#[test]
fn functions_have_exactly_the_variables_that_the_code_reads() {
    let Some(template) = Template::read("template.yaml") else { return };
    let mut wanted: BTreeSet<String> = settings::DEPLOYED.map(str::to_owned).into();
    for entry in std::fs::read_dir(root().join("infra/pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let (name, bytes) = (path.display().to_string(), std::fs::read(&path).unwrap());
        let found = parameters(&SourceFile::new(&name, &bytes).unwrap()).unwrap();
        wanted.extend(found.into_iter().map(|parameter| parameter.name));
    }
    let mut functions = 0;
    for (name, function) in template.of_type("AWS::Lambda::Function") {
        let given = function["Properties"]["Environment"]["Variables"].as_object().unwrap();
        assert_eq!(given.keys().cloned().collect::<BTreeSet<_>>(), wanted, "{name}");
        functions += 1;
    }
    assert_eq!(functions, 4);
}
