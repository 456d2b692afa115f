//! Mail through an SNS topic.

use serde_json::json;
use tidemark_aws::{Account, RetryPolicy, Topic};
use tidemark_flow::{Error, ErrorKind, Mail, Mailer as _, Secret};
use tidemark_pipeline::{SecretName, Severity};
use tokio::runtime::Runtime;
use watch::channel::{Address, Channels};

use super::channels::{hostile, message, now, resolved};
use crate::support::receivers::sns::Sns;
use crate::support::running::TestEnvironment;

const ARN: &str = "arn:aws:sns:eu-central-1:000000000000:tidemark-alerts";

fn account(sns: &Sns) -> Account {
    let endpoint = sns.endpoint();
    let set = [
        // a different region from the topic's
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_ENDPOINT_URL_SNS", endpoint.as_str()),
    ];
    let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let retry_policy =
        RetryPolicy { pause: std::time::Duration::from_millis(1), attempts: 3, ..RetryPolicy::default() };
    Account::from_variables(variable, retry_policy).unwrap()
}

fn mail() -> Mail {
    Mail {
        to: vec!["data@example.com".to_owned(), "é@example.com".to_owned()],
        subject: "[critical] orders: clean failed…".to_owned(),
        text: "what".to_owned(),
        html: "<p>what</p>".to_owned(),
        message_id: "id".to_owned(),
        in_reply_to: None,
        pipelines: vec!["orders".to_owned()],
        severity: Severity::Critical,
    }
}

#[test]
fn topic_accepts_every_mail() {
    let (sns, runtime) = (Sns::start(), Runtime::new().unwrap());
    let topic = Topic::new(&account(&sns), ARN, runtime.handle().clone()).unwrap();
    let secret = |name: &SecretName| -> Result<Secret, Error> { panic!("nobody needs {name}") };
    let secrets = TestEnvironment { secret: &secret, ..TestEnvironment::default() };
    let clock = || now();
    let channels = Channels::new(&secrets, &topic, &clock, runtime.handle().clone());
    let to = Address::Email("data@example.com".to_owned());
    let many: Vec<_> = (0..80).map(message).collect();
    for messages in [&[message(1)][..], &[resolved(1)], &[hostile()], &many] {
        channels.send(&to, messages).unwrap();
    }
    let taken = sns.taken();
    assert_eq!((taken.len(), sns.requests()), (4, 4));
    assert_eq!(taken[0].topic, ARN);
    assert_eq!(taken[0].subject, "[critical] orders: load postgres-orders failed (1)");
    assert!(taken[0].message.starts_with("CRITICAL: orders: load postgres-orders failed (1)\n"));
    let attribute = |name: &str| {
        let (kind, value) = &taken[0].attributes[name];
        (kind.as_str(), value.as_str())
    };
    assert_eq!(attribute("to"), ("String.Array", "[\"data@example.com\"]"));
    assert_eq!(attribute("pipeline"), ("String.Array", "[\"orders\"]"));
    assert_eq!(attribute("severity"), ("String", "critical"));
    let long = Mail { text: "é".repeat(300_000), ..mail() };
    topic.send(&long).unwrap();
    let last = sns.taken().pop().unwrap();
    assert!(
        (260_000..262_144).contains(&last.message.len()) && last.message.ends_with("é\n…\n"),
        "{}",
        last.message.len()
    );
    assert_eq!(last.attributes["to"].1, json!(long.to).to_string());
    assert_eq!(last.subject, "[critical] orders: clean failed...");
}

#[test]
fn topic_refusals_are_reported() {
    let (sns, runtime) = (Sns::start(), Runtime::new().unwrap());
    let topic = Topic::new(&account(&sns), ARN, runtime.handle().clone()).unwrap();
    for (status, code, kind, words) in [
        (404, "NotFound", ErrorKind::Definition, "there is no topic arn:aws:sns:eu-central-1"),
        (403, "AuthorizationError", ErrorKind::Refused, "publishing to topic"),
        (400, "KMSAccessDenied", ErrorKind::Refused, "did not accept a message"),
        (400, "KMSThrottling", ErrorKind::Retry, "did not accept a message"),
        (400, "InvalidParameter", ErrorKind::Definition, "did not accept a message"),
        (500, "InternalError", ErrorKind::Retry, "did not accept a message"),
        (429, "Throttling", ErrorKind::Retry, "did not accept a message"),
    ] {
        sns.refuse(Some((status, code)));
        let error = topic.send(&mail()).unwrap_err();
        assert_eq!(error.kind, kind, "{code}: {}", error.full_message());
        assert!(error.full_message().contains(words) && error.hint.is_some(), "{}", error.full_message());
        assert!(!format!("{error:?}").contains("hidden"));
    }
    assert!(sns.taken().is_empty());
    sns.refuse(None);
    topic.send(&mail()).unwrap();
    for arn in ["tidemark-alerts", "arn:aws:sqs:eu-central-1:0:x", "arn:aws:sns::0:x", "arn:aws:sns:eu-central-1:0:"] {
        let error = Topic::new(&account(&sns), arn, runtime.handle().clone()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Definition);
        assert!(
            error.full_message().starts_with("TIDEMARK_ALERT_TOPIC is not the ARN of a topic"),
            "{}",
            error.full_message()
        );
    }
}
