use tidemark_pipeline::StepId;

use super::*;
use crate::error::ErrorKind;

fn sample(name: &str) -> Value {
    let path = format!("{}/../../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn daily() -> PipelineName {
    "daily-sales".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn every_sample_is_parsed() {
    let scheduled_time = at("2026-03-03T08:00:00Z");
    let due = |step: &str, function: &str| {
        let correlation_id = "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa".to_owned();
        let (pipeline, step, function) = (daily(), step.parse().unwrap(), function.to_owned());
        Event::StepDue(StepDue {
            pipeline,
            step,
            function,
            scheduled_time,
            correlation_id,
            full: false,
            days: None,
            part: 0,
            always_record: false,
        })
    };
    let object = Event::Object {
        bucket: "example-sales".into(),
        key: "daily/2026-03-02.csv".into(),
        at: at("2026-03-03T07:55:12Z"),
    };
    let days = Days { from: "2026-03-01".parse().unwrap(), to: "2026-03-02".parse().unwrap() };
    let expected = [
        ("schedule", Event::Schedule { pipeline: daily(), scheduled_time }),
        ("scheduled-event", Event::Rule { rules: vec!["tidemark-daily-sales".into()], scheduled_time }),
        ("step-due-clean", due("clean", "transform")),
        ("step-due-model", due("model sales_by_day", "transform")),
        ("step-due-load", due("load report", "load")),
        ("object-created", object),
        ("range", Event::Range { pipeline: daily(), days }),
        ("s3-test", Event::Test),
        ("tick", Event::Rule { rules: vec!["tidemark-watch".into()], scheduled_time: at("2026-03-03T08:05:00Z") }),
        (
            "given-up",
            Event::DeadLetters(vec![DeadLetter {
                event: Some(Box::new(due("clean", "transform"))),
                by: "transform".into(),
                attempts: Some(3),
                code: "retry".into(),
                why: "retry: lake s3://example-lake/main: the store does not answer".into(),
                at: Some(at("2026-03-03T08:04:12.123Z")),
            }]),
        ),
        (
            "given-up-rule",
            Event::DeadLetters(vec![DeadLetter {
                event: Some(Box::new(Event::Schedule { pipeline: daily(), scheduled_time })),
                by: "tidemark-daily-sales".into(),
                attempts: Some(185),
                code: "NO_PERMISSIONS".into(),
                why: "NO_PERMISSIONS: no permission to invoke function ingest".into(),
                at: Some(at("2026-03-03T08:04:12.123Z")),
            }]),
        ),
    ];
    for (name, event) in &expected {
        assert_eq!(Event::read(&sample(name)).unwrap(), *event, "{name}");
    }
    let folder = format!("{}/../../events", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), expected.len(), "a sample nobody tries");
}

#[test]
fn announcements_survive_serialization() {
    let due = StepDue {
        pipeline: daily(),
        step: StepId::Load("report".into()),
        function: "load".into(),
        scheduled_time: at("2026-03-03T08:00:00Z"),
        correlation_id: "c".into(),
        full: true,
        days: Some(Days { from: "2026-03-01".parse().unwrap(), to: "2026-03-02".parse().unwrap() }),
        part: 3,
        always_record: true,
    };
    let envelope = serde_json::json!({
        "source": SOURCE, "detail-type": STEP_DUE, "time": "2026-03-03T08:00:01Z", "detail": serde_json::to_value(&due).unwrap(),
    });
    assert_eq!(Event::read(&envelope).unwrap(), Event::StepDue(due));
}

#[test]
fn foreign_events_are_refused_and_quoted() {
    let change = |name: &str, pointer: &str, value: Value| {
        let mut event = sample(name);
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    let refused = [
        serde_json::json!({}),
        serde_json::json!([1, 2]),
        serde_json::json!("daily-sales"),
        serde_json::json!({"pipeline": "daily-sales"}),
        serde_json::json!({"pipeline": "Daily Sales", "scheduled_time": "2026-03-03T08:00:00Z"}),
        serde_json::json!({"pipeline": "daily-sales", "scheduled_time": "yesterday"}),
        serde_json::json!({"pipeline": "daily-sales", "scheduled_time": "2026-03-03T08:00:00Z", "fulll": true}),
        serde_json::json!({"pipeline": "daily-sales", "from": "2026-03-03", "to": "2026-03-02"}),
        serde_json::json!({"pipeline": "daily-sales", "from": "2026-03-03"}),
        serde_json::json!({"Records": [{"eventSource": "aws:s3", "body": "hello"}]}),
        change("step-due-clean", "/source", "somebody.else".into()),
        change("step-due-clean", "/detail-type", "step done".into()),
        change("step-due-clean", "/detail/step", "polish".into()),
        change("step-due-clean", "/detail", serde_json::json!({"pipeline": "daily-sales"})),
        change("object-created", "/detail-type", "Object Deleted".into()),
        change("object-created", "/detail/object", serde_json::json!({})),
        change("object-created", "/time", Value::Null),
    ];
    for event in refused {
        let error = Event::read(&event).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{event}");
        assert!(error.hint.is_some() && error.message.starts_with("this is "), "{error:?}");
    }
}

#[test]
fn keys_are_decoded_if_percent_encoded() {
    let decode = |key: &str| decoded(key);
    assert_eq!(decode("daily/2026-03-02.csv").unwrap(), "daily/2026-03-02.csv");
    assert_eq!(decode("a+b%2Bc%20d/%C3%A4.csv").unwrap(), "a b+c d/ä.csv");
    // Keys that are not encoded.
    for plain in ["100%", "%zz.csv", "%ff%fe", "50%2"] {
        assert_eq!(decode(plain), None, "{plain}");
    }
}
