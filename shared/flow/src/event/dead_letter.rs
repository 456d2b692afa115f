//! Dead letters: events that were not handled successfully. The on-failure destination of a function receives the whole event
//! (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>), directly or through a bus. The dead-letter queue
//! of a rule or schedule receives the original event, with the reason in message attributes
//! (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>). None of them is refused: an unreadable one is reported as
//! such.

use jiff::Timestamp;
use serde_json::Value;

use super::message::{DeadLetter, Event};
use super::refused::refused;
use crate::error::Error;

/// Parses an event within an event.
type Read = fn(&Value) -> Result<Event, Error>;

/// Maximum length of a stored reason, in characters.
const LONGEST: usize = 2_000;
/// Code of a queue message that contains several messages itself.
const WITHIN: &str = "a message that contains several messages";

/// Parses the payload of a function's on-failure destination.
pub(super) fn by_function(value: &Value, read: Read) -> DeadLetter {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let function = text("/requestContext/functionArn").map(name_of);
    let (code, message) = (text("/responsePayload/errorType"), text("/responsePayload/errorMessage"));
    let condition = text("/requestContext/condition").unwrap_or("given up");
    DeadLetter {
        event: value.get("requestPayload").and_then(|event| read(event).ok()).map(Box::new),
        by: function.unwrap_or("a function").to_owned(),
        attempts: value.pointer("/requestContext/approximateInvokeCount").and_then(Value::as_u64),
        code: code.unwrap_or(condition).to_owned(),
        why: why(code, message).unwrap_or_else(|| condition.to_owned()),
        at: text("/timestamp").and_then(|at| at.parse().ok()),
    }
}

/// Parses the messages of a dead-letter queue.
pub(super) fn from_queue(value: &Value, read: Read) -> Result<Vec<DeadLetter>, Error> {
    let records = value.get("Records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_queue = |record: &&Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    if records.is_empty() || !records.iter().all(|record| is_queue(&record)) {
        return Err(refused("a message of unknown format", value));
    }
    Ok(records.iter().map(|record| from_message(record, read)).collect())
}

fn from_message(record: &Value, read: Read) -> DeadLetter {
    let attribute =
        |name: &str| record.pointer(&format!("/messageAttributes/{name}/stringValue")).and_then(Value::as_str);
    let sent = record.pointer("/attributes/SentTimestamp").and_then(Value::as_str);
    let at = sent.and_then(|ms| Timestamp::from_millisecond(ms.parse().ok()?).ok());
    let body = record.get("body").and_then(Value::as_str).unwrap_or_default();
    let body: Option<Value> = serde_json::from_str(body).ok();
    let event = body.as_ref().and_then(|body| read(body).ok());
    // the on-failure destination of a function may also be a queue
    if let Some(Event::DeadLetters(mut inner)) = event {
        if let (1, Some(inner)) = (inner.len(), inner.pop()) {
            return DeadLetter { at: inner.at.or(at), ..inner };
        }
        return DeadLetter {
            event: None,
            by: "a queue".into(),
            attempts: None,
            code: WITHIN.into(),
            why: WITHIN.into(),
            at,
        };
    }
    let (code, message) = (attribute("ERROR_CODE"), attribute("ERROR_MESSAGE"));
    DeadLetter {
        event: event.map(Box::new),
        by: attribute("RULE_ARN").or_else(|| attribute("SCHEDULE_ARN")).map_or("a rule", name_of).to_owned(),
        attempts: attribute("RETRY_ATTEMPTS").and_then(|count| count.parse().ok()),
        code: code.unwrap_or("given up").to_owned(),
        why: why(code, message).unwrap_or_else(|| "given up".into()),
        at,
    }
}

/// The name in an ARN: `ingest` of `arn:aws:lambda:eu-west-1:123456789012:function:ingest:$LATEST`, `daily` of `…:rule/daily`.
fn name_of(arn: &str) -> &str {
    match arn.split_once(":function:") {
        Some((_, name)) => name.split(':').next().unwrap_or(name),
        None => arn.rsplit('/').next().unwrap_or(arn),
    }
}

/// Joins code and message, truncated to [`LONGEST`]. Returns `None` if both are absent.
fn why(code: Option<&str>, message: Option<&str>) -> Option<String> {
    let parts: Vec<&str> = [code, message].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(": ").chars().take(LONGEST).collect())
}
