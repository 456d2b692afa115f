//! Snapshot tests: every kind of message in every format, compared with reviewed files. `TIDEMARK_SNAPSHOTS=write` rewrites the files.

use std::path::Path;

use serde_json::Value;
use tidemark_pipeline::Severity;

use super::{email, slack};
use crate::message::{Message, State};

fn opened() -> Message {
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Message {
        state: State::Opened,
        severity: Severity::Critical,
        incident: "orders/load-postgres-orders/failed#3".to_owned(),
        pipeline: "orders".to_owned(),
        step: "load postgres-orders".parse().ok(),
        title: "orders: load postgres-orders failed".to_owned(),
        what: "table orders cannot be loaded: column \"total\" of relation \"orders\" does not exist\n\
               add the column, or name the table of another shape in [[target]]"
            .to_owned(),
        facts: vec![
            fact("Scheduled", "2026-11-26 08:00 UTC"),
            fact("Attempts", "3, the last at 2026-11-26 08:03 UTC"),
            fact("Partitions", "order_month = 2026-11"),
            fact("Rows", "1,204 in, 17 quarantined"),
        ],
        next: "It is tried again at 2026-11-26 12:00 UTC, when the schedule says so. Nothing was committed.".to_owned(),
        command: Some("tidemark run orders --step load --at 2026-11-26T08:00:00Z".to_owned()),
        record: Some("s3://example-lake/runs/2026-11-26/20261126T080312456-1f2e3d4c.json".to_owned()),
        opened_at: "2026-11-26T08:03:12.456Z".parse().unwrap(),
        resolved_at: None,
    }
}

fn behind() -> Message {
    Message {
        severity: Severity::Warning,
        incident: "daily-sales/model-sales_by_day/behind#1".to_owned(),
        pipeline: "daily-sales".to_owned(),
        step: "model sales_by_day".parse().ok(),
        title: "daily-sales: model sales_by_day is behind".to_owned(),
        what: "sales has been at version 12 since 2026-11-26 07:20 UTC, and version 11 is what the model has seen."
            .to_owned(),
        facts: vec![("Behind".to_owned(), "43 min, allowed are 30".to_owned())],
        next: "It was announced again at 2026-11-26 07:51 UTC.".to_owned(),
        command: Some("tidemark run daily-sales".to_owned()),
        record: Some(
            "https://eu-west-1.console.aws.amazon.com/s3/object/example-lake?region=eu-west-1&prefix=runs/1.json"
                .to_owned(),
        ),
        ..opened()
    }
}

fn flapping() -> Message {
    Message {
        state: State::Flapping,
        what: "It failed and recovered 6 times within 5 h.".to_owned(),
        facts: vec![("Failed".to_owned(), "6 times since 2026-11-26 08:03 UTC".to_owned())],
        next: "Notifications are paused until it has been stable for 6 h.".to_owned(),
        ..opened()
    }
}

fn resolved() -> Message {
    Message {
        state: State::Resolved,
        what: "The run of 2026-11-26 10:13 UTC succeeded.".to_owned(),
        facts: vec![("Rows".to_owned(), "1,204 in".to_owned())],
        next: String::new(),
        command: None,
        resolved_at: Some("2026-11-26T10:13:20Z".parse().unwrap()),
        ..opened()
    }
}

fn sample() -> Message {
    Message {
        state: State::Sample,
        incident: "orders/sample".to_owned(),
        step: None,
        title: "orders: a sample notification".to_owned(),
        what: "Somebody tries out whether messages arrive here. Nothing is wrong.".to_owned(),
        facts: Vec::new(),
        next: String::new(),
        command: None,
        record: None,
        ..opened()
    }
}

/// A message with malicious content from outside.
fn hostile() -> Message {
    let long = "<!channel> & <@U012> ".repeat(500);
    Message {
        incident: "orders/clean/failed#4\r\nBcc: everybody@example.com".to_owned(),
        title: "orders: clean failed\r\nBcc: everybody@example.com \u{202e}desrever <script>alert(1)</script> 👩\u{200d}🚀 and so on, for a title"
            .to_owned(),
        what: format!(
            "<!channel> @here <https://evil.example|click> <script>alert('1')</script> ```\n\
             \u{200f}\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{2067}x\u{2069} \u{0}\u{1b}[31m 👩\u{200d}🚀 &amp; \"quoted\"\n  indented\n\n{long}"
        ),
        facts: (0..45).map(|n| (format!("<b>{n}</b>"), "& ".repeat(150 * n + 1))).collect(),
        next: "<!everyone> ".repeat(1_000),
        command: Some("tidemark run orders --set 'A=<b>&```'".to_owned()),
        record: Some("https://example.com/<!here>|x?a=1&b=\"2\"".to_owned()),
        ..opened()
    }
}

fn many() -> Vec<Message> {
    let one = |n: usize| Message {
        incident: format!("pipeline-{n}/ingest/failed#1"),
        pipeline: format!("pipeline-{n}"),
        title: format!("pipeline-{n}: ingest failed"),
        state: if n % 3 == 1 { State::Resolved } else { State::Opened },
        resolved_at: (n % 3 == 1).then(|| "2026-11-26T10:13:20Z".parse().unwrap()),
        severity: if n.is_multiple_of(5) { Severity::Warning } else { Severity::Critical },
        command: Some(format!("tidemark run pipeline-{n}")),
        ..opened()
    };
    (0..64).map(one).collect()
}

#[track_caller]
fn assert_snapshot(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/channel/snapshots").join(name);
    if std::env::var_os("TIDEMARK_SNAPSHOTS").is_some_and(|what| what == "write") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = text.lines().zip(known.lines()).position(|(a, b)| a != b);
    assert!(
        text == known,
        "{name} is another, from line {:?} on: look at it, and set TIDEMARK_SNAPSHOTS=write",
        differs.map(|n| n + 1)
    );
}

/// Checks the snapshots of messages, and properties that hold for every message in every format.
fn assert_forms(name: &str, messages: &[Message]) {
    let slack = slack::body(messages);
    assert_snapshot(&format!("{name}.slack.json"), &format!("{}\n", serde_json::to_string_pretty(&slack).unwrap()));
    let mail = email::mail("data@example.com", messages);
    let head = format!(
        "Subject: {}\nMessage-ID: {}\nIn-Reply-To: {}\nPipelines: {}\n\n",
        mail.subject,
        mail.message_id,
        mail.in_reply_to.as_deref().unwrap_or("-"),
        mail.pipelines.join(" "),
    );
    assert_snapshot(&format!("{name}.txt"), &format!("{head}{}", mail.text));
    assert_snapshot(&format!("{name}.html"), &mail.html);

    assert!(mail.subject.chars().count() <= 78 && !mail.subject.chars().any(char::is_control), "{}", mail.subject);
    let turning = ['\u{202e}', '\u{200f}', '\u{2067}', '\0', '\u{1b}', '\r'];
    for text in [&mail.subject, &mail.text, &mail.html, &slack.to_string()] {
        assert!(!text.contains(turning), "{text}");
    }
    let own = |line: &&str| line.chars().count() > 78 && !line.trim_start().contains(' ');
    let wide = mail.text.lines().filter(|line| line.chars().count() > 78 && !own(line)).collect::<Vec<_>>();
    assert!(wide.iter().all(|line| line.starts_with("  tidemark ") || line.contains("://")), "{:?}", wide.first());
    for text in texts(&slack) {
        // the only angle brackets are those of the link to the run record
        let is_link =
            |(at, _): (usize, &str)| text[at..].starts_with("<https://") && text[at..].contains("|run record>");
        assert!(text.match_indices('<').all(is_link), "{text}");
    }
    assert!(slack.to_string().encode_utf16().count() < 13_000);
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn opened_message_snapshots() {
    assert_forms("opened", &[opened()]);
    assert_forms("opened-warning", &[behind()]);
}

#[test]
fn flapping_message_snapshots() {
    assert_forms("flapping", &[flapping()]);
}

#[test]
fn resolved_message_snapshots() {
    assert_forms("resolved", &[resolved()]);
}

#[test]
fn sample_message_snapshots() {
    assert_forms("sample", &[sample()]);
}

#[test]
fn hostile_text_is_rendered_harmless() {
    assert_forms("hostile", &[hostile()]);
    assert_forms("hostile-digest", &[hostile(), hostile()]);
}

#[test]
fn several_messages_are_one_digest() {
    assert_forms("digest", &[resolved(), behind(), opened(), flapping()]);
    assert_forms("digest-of-64", &many());
}

#[test]
fn resolved_mail_replies_to_the_opened_mail() {
    let id = |message: &Message| email::mail("data@example.com", std::slice::from_ref(message));
    let (opened, over) = (id(&opened()), id(&resolved()));
    assert_eq!(over.in_reply_to.as_ref(), Some(&opened.message_id));
    assert_ne!(over.message_id, opened.message_id);
    assert_eq!(opened.in_reply_to, None);
    assert_eq!(opened.subject.split("] ").nth(1), over.subject.split("] ").nth(1));
    // another incident of the same name, in a lake that was rebuilt
    let other = Message { opened_at: "2027-01-01T00:00:00Z".parse().unwrap(), ..self::opened() };
    assert_ne!(id(&other).message_id, opened.message_id);
}

/// A truncated command would be a different one.
#[test]
fn a_command_is_never_truncated() {
    let long = Message { command: Some(format!("tidemark run {}", "x".repeat(3_000))), ..opened() };
    assert!(!slack::body(std::slice::from_ref(&long)).to_string().contains("tidemark run"));
    assert!(email::mail("a@b.c", std::slice::from_ref(&long)).text.contains(long.command.as_deref().unwrap()));
}
