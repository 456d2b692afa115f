//! The events that wake a function. This is the only place where external bytes become an [`Event`]: Tidemark's own messages are parsed
//! strictly, those of AWS tolerantly, and anything else is refused.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;
use tidemark_pipeline::PipelineName;

use crate::error::Error;
use crate::trigger::Days;

mod dead_letter;
mod message;
mod refused;

pub use message::{DeadLetter, Event, SOURCE, STEP_DUE, StepDue};
use refused::{refused, refused_for};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    pipeline: PipelineName,
    scheduled_time: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeRequest {
    pipeline: PipelineName,
    from: Date,
    to: Date,
}

/// The envelope that EventBridge puts around every event.
#[derive(Deserialize)]
struct Envelope {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: Timestamp,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    detail: Value,
}

#[derive(Deserialize)]
struct Created {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Event {
    /// # Errors
    /// Kind `refused` if this is not an event of Tidemark. The caller must not acknowledge it.
    pub fn read(value: &Value) -> Result<Event, Error> {
        let has = |name: &str| value.get(name).is_some();
        if has("detail-type") {
            return Event::from_bridge(value);
        }
        if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            return Ok(Event::Test);
        }
        if has("requestPayload") {
            return Ok(Event::DeadLetters(vec![dead_letter::by_function(value, Event::read)]));
        }
        if has("Records") {
            return dead_letter::from_queue(value, Event::read).map(Event::DeadLetters);
        }
        if has("scheduled_time") {
            let Scheduled { pipeline, scheduled_time } = parse(value, "a schedule's input", value)?;
            return Ok(Event::Schedule { pipeline, scheduled_time });
        }
        if has("from") || has("to") {
            let RangeRequest { pipeline, from, to } = parse(value, "a range", value)?;
            if from > to {
                return Err(refused("a range that ends before it begins", value));
            }
            return Ok(Event::Range { pipeline, days: Days { from, to } });
        }
        Err(refused("a message of unknown format", value))
    }

    fn from_bridge(value: &Value) -> Result<Event, Error> {
        let Envelope { source, detail_type, time, resources, detail } = parse(value, "an EventBridge event", value)?;
        match (source.as_str(), detail_type.as_str()) {
            (SOURCE, STEP_DUE) => Ok(Event::StepDue(parse(&detail, "an event \"step due\"", value)?)),
            ("aws.s3", "Object Created") => {
                let Created { bucket, object } = parse(&detail, "an event \"Object Created\"", value)?;
                Ok(Event::Object { bucket: bucket.name, key: object.key, at: time })
            }
            ("lambda", "Lambda Function Invocation Result - Failure") => {
                Ok(Event::DeadLetters(vec![dead_letter::by_function(&detail, Event::read)]))
            }
            ("aws.events" | "aws.scheduler", "Scheduled Event") => {
                // arn:aws:events:eu-west-1:123456789012:rule/tidemark-daily-sales
                let rules = resources.iter().filter_map(|arn| Some(arn.rsplit_once('/')?.1.to_owned())).collect();
                Ok(Event::Rule { rules, scheduled_time: time })
            }
            _ => Err(refused(&format!("an event {detail_type:?} of {source:?}"), value)),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(part: &Value, what: &str, whole: &Value) -> Result<T, Error> {
    T::deserialize(part)
        .map_err(|error| refused_for(&format!("{what} with missing or invalid fields"), whole, &format!(": {error}")))
}

/// Decodes a key that may be percent-encoded as in a URL query (`+` is a blank). S3 and compatible stores differ in whether they encode
/// keys. Returns `None` if the key is not valid percent-encoding.
pub(crate) fn decoded(key: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        rest = more;
        match first {
            b'%' => {
                let code = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(code, 16).ok()?);
                rest = &rest[2..];
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
