//! Slack messages: what the webhook receives, and the errors for each kind of failure.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tidemark_flow::{Error, ErrorKind, Secret};
use tidemark_pipeline::{SecretName, Severity};
use tokio::runtime::Runtime;
use watch::channel::{Address, Channels, Smtp};
use watch::message::{Message, State};

use crate::support::own_program::{RESULT_PREFIX, run_test_in_process};
use crate::support::postgres::Authority;
use crate::support::receivers::slack::HIDDEN;
use crate::support::receivers::{Sink, Trouble};
use crate::support::running::TestEnvironment;
use crate::support::wait::HANG;

pub fn now() -> Timestamp {
    "2026-11-26T08:05:00Z".parse().unwrap()
}

pub fn message(n: usize) -> Message {
    Message {
        state: State::Opened,
        severity: Severity::Critical,
        incident: format!("orders/load-postgres-orders/failed#{n}"),
        pipeline: "orders".to_owned(),
        step: "load postgres-orders".parse().ok(),
        title: format!("orders: load postgres-orders failed ({n})"),
        what: "table orders cannot be loaded\nadd the column".to_owned(),
        facts: vec![("Rows".to_owned(), "1,204 in, 17 quarantined".to_owned())],
        next: "It is tried again at 2026-11-26 12:00 UTC.".to_owned(),
        command: Some("tidemark run orders --at 2026-11-26T08:00:00Z".to_owned()),
        record: Some("lake/runs/2026-11-26/r1.json".to_owned()),
        opened_at: "2026-11-26T08:03:12Z".parse().unwrap(),
        resolved_at: None,
    }
}

pub fn resolved(n: usize) -> Message {
    Message {
        state: State::Resolved,
        resolved_at: Some("2026-11-26T10:13:20Z".parse().unwrap()),
        next: String::new(),
        command: None,
        ..message(n)
    }
}

/// A message with malicious content.
pub fn hostile() -> Message {
    Message {
        title: format!("<!channel>\r\nBcc: everybody@example.com{}", "🚀".repeat(300)),
        what: "<!here> & <https://evil.example|click>\u{202e}\u{0} <script>\n".repeat(500),
        facts: (0..60).map(|n| (format!("<{n}>"), "&".repeat(n * 20 + 1))).collect(),
        next: "<&>".repeat(5_000),
        command: Some("echo '```<b>&'".to_owned()),
        record: Some("https://example.com/?a=1&b=<!here>|".to_owned()),
        ..message(1)
    }
}

/// Sends to one webhook.
fn send(url: &str, messages: &[Message]) -> Result<(), Error> {
    let secret = |name: &SecretName| {
        assert_eq!(name.as_str(), "slack-webhook");
        Ok(Secret::new(url))
    };
    let secrets = TestEnvironment { secret: &secret, ..TestEnvironment::default() };
    let clock = || now();
    let runtime = Runtime::new().unwrap();
    let mailer = Smtp::from_variables(|_| None, &secrets, &clock);
    let channels = Channels::new(&secrets, &mailer, &clock, runtime.handle().clone());
    channels.send(&Address::Slack("slack-webhook".parse().unwrap()), messages)
}

#[track_caller]
fn fails(result: Result<(), Error>, kind: ErrorKind, words: &str) {
    let error = result.unwrap_err();
    let hint = error.hint.clone().unwrap_or_default();
    assert_eq!(error.kind, kind, "{}", error.full_message());
    assert!(error.full_message().contains(words), "{} does not say {words}", error.full_message());
    assert!(!hint.is_empty());
    for text in [error.full_message(), hint, format!("{error:?}")] {
        assert!(!text.contains("hidden") && !text.contains(HIDDEN), "{text}");
    }
}

#[test]
fn addresses_have_stable_names() {
    let slack = Address::Slack("slack-webhook".parse().unwrap());
    assert_eq!(slack.to_string(), "slack:slack-webhook");
    assert_eq!(Address::Email("data@example.com".to_owned()).to_string(), "email:data@example.com");
}

#[test]
fn slack_accepts_every_message() {
    let sink = Sink::start();
    let digest: Vec<Message> = (0..80).map(message).collect();
    let hostile_digest: Vec<Message> = (0..30).map(|_| hostile()).collect();
    let bare = Message {
        title: String::new(),
        what: String::new(),
        facts: Vec::new(),
        next: String::new(),
        command: None,
        record: None,
        ..message(1)
    };
    let all: [&[Message]; 7] =
        [&[message(1)], &[resolved(1)], &[hostile()], &[bare], &[message(1), resolved(2)], &digest, &hostile_digest];
    for messages in all {
        send(&sink.url(), messages).unwrap();
    }
    send(&sink.url(), &[]).unwrap();
    let taken = sink.taken();
    assert_eq!((taken.len(), sink.requests()), (7, 7), "each was taken as it was sent first");
    assert_eq!(taken[0]["text"], "🔴 orders: load postgres-orders failed (1)");
    assert_eq!(taken[1]["text"], "✅ Over after 2 h 10 min: orders: load postgres-orders failed (1)");
    assert_eq!(taken[5]["text"], "🔴 80 incidents: 80 critical");
    for message in &taken {
        assert!(!message.to_string().contains("<!"), "a mention: {message}");
    }
    let digest = taken[5].to_string();
    let (lines, commands) = (digest.matches("orders failed (").count(), digest.matches("tidemark run").count());
    assert!(lines >= 10 && digest.contains(&format!("and {} more", 80 - lines)), "{lines} lines");
    assert_eq!(commands, 3);
}

#[test]
fn slack_errors_do_not_reveal_the_secret() {
    use ErrorKind::{Definition, Retry};
    let sink = Sink::start();
    for (trouble, kind, words) in [
        (
            Trouble::Says(404, "no_service"),
            Definition,
            "the webhook of secret slack-webhook no longer exists (404 no_service)",
        ),
        (Trouble::Says(403, "invalid_token"), Definition, "no longer exists (403 invalid_token)"),
        (
            Trouble::Says(410, "channel_is_archived"),
            Definition,
            "the channel of the webhook of secret slack-webhook is archived",
        ),
        (Trouble::Says(403, "action_prohibited"), Definition, "(action_prohibited)"),
        (Trouble::Says(404, "https://hooks.slack.com/hidden"), Definition, "no longer exists (404)"),
        (Trouble::Says(302, ""), Definition, "redirects (302)"),
        (Trouble::Says(500, "rollup_error"), Retry, "(500 rollup_error)"),
        (Trouble::Says(503, "<html>hidden"), Retry, "(503)"),
        (
            Trouble::Limited(120),
            Retry,
            "Slack accepts no messages through the webhook of secret slack-webhook until 2026-11-26 08:07 UTC",
        ),
        (Trouble::CutBefore, Retry, "the connection was lost"),
    ] {
        sink.trouble([trouble]);
        fails(send(&sink.url(), &[message(1)]), kind, words);
    }
    assert_eq!((sink.taken().len(), sink.requests()), (0, 10), "nothing is sent twice at once");
    let other = sink.url().replace("/services", "/hidden");
    fails(send(&other, &[message(1)]), Definition, "no longer exists (404 no_service)");
    fails(send(&sink.url().replace("http", "https"), &[message(1)]), Retry, "cannot be reached");
    fails(send("http://hooks.slack.com/hidden", &[message(1)]), Definition, "a URL with http");
    sink.stop();
    fails(send(&sink.url(), &[message(1)]), Retry, "no connection");
}

#[test]
fn short_rate_limits_are_waited_for() {
    let sink = Sink::start();
    sink.trouble([Trouble::Limited(1)]);
    let began = Instant::now();
    send(&sink.url(), &[message(1)]).unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!((sink.taken().len(), sink.requests()), (1, 2));
    sink.always(Some(Trouble::Limited(1)));
    fails(send(&sink.url(), &[message(1)]), ErrorKind::Retry, "until 2026-11-26 08:05 UTC");
    assert_eq!((sink.taken().len(), sink.requests()), (1, 4));
}

#[test]
fn rejected_layout_falls_back_to_plain_text() {
    let sink = Sink::start();
    sink.always(Some(Trouble::NoBlocks));
    send(&sink.url(), &[message(1), hostile()]).unwrap();
    let taken = sink.taken();
    assert_eq!(taken.len(), 1);
    let text = taken[0]["text"].as_str().unwrap();
    assert!(text.contains("orders: load postgres-orders failed (1)\n```tidemark run orders"), "{text}");
    assert!(!text.contains("<!"), "{text}");
    sink.always(Some(Trouble::Says(400, "invalid_payload")));
    fails(send(&sink.url(), &[message(1)]), ErrorKind::Bug, "400 invalid_payload");
}

/// It is unknown whether the message was accepted, so it is sent again: a duplicate is better than a loss.
#[test]
fn lost_connection_is_reported_as_retry() {
    let sink = Sink::start();
    sink.trouble([Trouble::CutAfter, Trouble::Slow(HANG)]);
    fails(send(&sink.url(), &[message(1)]), ErrorKind::Retry, "the connection was lost");
    assert_eq!(sink.taken().len(), 1);
    fails(send(&sink.url(), &[message(2)]), ErrorKind::Retry, "no answer in time");
    assert_eq!(sink.taken().len(), 2);
}

/// Started by `run_test_in_process`; does nothing if the variable is not set.
#[test]
fn sends_with_settings_from_the_environment() {
    let Ok(url) = std::env::var("ALERTS_SLACK") else { return };
    let result = match send(&url, &[message(1)]) {
        Ok(()) => serde_json::json!({"kind": "sent", "says": ""}),
        Err(error) => serde_json::json!({"kind": error.kind, "says": error.full_message()}),
    };
    println!("{RESULT_PREFIX}{result}");
}

#[test]
fn slack_certificate_is_verified() {
    let (house, stranger) = (Authority::new("the house"), Authority::new("a stranger"));
    let sink = Sink::start();
    let url = sink.encrypted(&house);
    let result = |url: &str, authority| {
        let result = run_test_in_process(
            "alerts::channels::sends_with_settings_from_the_environment",
            &[("ALERTS_SLACK", url)],
            authority,
        );
        let says = result["says"].as_str().unwrap().to_owned();
        assert!(!says.contains("hidden"), "{says}");
        (result["kind"].as_str().unwrap().to_owned(), says)
    };
    assert_eq!(result(&url, Some(&house)).0, "sent");
    for (url, authority) in
        [(&url, Some(&stranger)), (&url, None), (&url.replace("localhost", "127.0.0.1"), Some(&house))]
    {
        let (kind, says) = result(url, authority);
        assert!(kind == "refused" && says.contains("cannot be verified"), "{says}");
    }
    assert_eq!(sink.taken().len(), 1);
}

/// Checks that the sink rejects invalid messages.
#[test]
fn sink_enforces_slack_limits() {
    use std::io::{Read as _, Write as _};
    let sink = Sink::start();
    let post = |kind: &str, body: &Value| {
        let address = sink.url().replace("http://", "").replace(HIDDEN, "");
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST {HIDDEN} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
    };
    let section = |text: &str| serde_json::json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let blocks = |blocks: Vec<Value>| serde_json::json!({"text": "x", "blocks": blocks});
    let json = "application/json";
    assert_eq!(post("text/plain", &blocks(vec![section("x")])), "invalid_payload");
    assert_eq!(post(json, &serde_json::json!({})), "no_text");
    assert_eq!(post(json, &blocks(vec![section(&"x".repeat(3_001))])), "invalid_blocks");
    assert_eq!(post(json, &blocks(vec![section("")])), "invalid_blocks");
    assert_eq!(post(json, &blocks(vec![section("x"); 51])), "invalid_blocks");
    assert_eq!(post(json, &blocks(vec![section(&"x".repeat(2_900)); 5])), "msg_blocks_too_long");
    let header =
        |kind: &str, n: usize| serde_json::json!({"type": "header", "text": {"type": kind, "text": "x".repeat(n)}});
    assert_eq!(post(json, &blocks(vec![header("mrkdwn", 3)])), "invalid_blocks");
    assert_eq!(post(json, &blocks(vec![header("plain_text", 151)])), "invalid_blocks");
    assert_eq!(post(json, &blocks(vec![header("plain_text", 150)])), "ok");
    let red = serde_json::json!({"attachments": [{"color": "red", "blocks": [section("x")]}]});
    assert_eq!(post(json, &red), "invalid_attachments");
    assert_eq!(sink.taken().len(), 1);
}
