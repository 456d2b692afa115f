//! What a function is woken by. Bytes from outside become an [`Event`] here and nowhere else: our own messages are read strictly, those of
//! AWS tolerantly, and what is neither is refused.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_pipeline::{PipelineName, Step};

use crate::failure::{Failure, Kind};
use crate::trigger::Days;

/// `source` of the events that are ours.
pub const SOURCE: &str = "tidemark";
/// `detail-type` of an event that says that a step may have something to do.
pub const STEP_DUE: &str = "step due";

/// A message, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `{"pipeline": "daily-sales", "scheduled_time": "2026-03-03T08:00:00Z"}`: the input that a schedule is given.
    Schedule { pipeline: PipelineName, scheduled_time: Timestamp },
    /// EventBridge's own "Scheduled Event", of a rule that was given no input; the rule is named after its pipeline.
    Rule { rules: Vec<String>, scheduled_time: Timestamp },
    StepDue(StepDue),
    /// S3 "Object Created", through EventBridge.
    Object { bucket: String, key: String, at: Timestamp },
    /// `{"pipeline": "daily-sales", "from": "2026-03-01", "to": "2026-03-03"}`: somebody asks for some days again.
    Range { pipeline: PipelineName, days: Days },
    /// What S3 sends to try a notification out.
    Test,
}

/// The detail of an event "step due".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDue {
    pub pipeline: PipelineName,
    #[serde(with = "step")]
    pub step: Step,
    /// The function that walks such a step: `ingest`, `transform` or `load`. Rules carry the event there by it.
    pub function: String,
    pub scheduled_time: Timestamp,
    pub chain: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
}

fn is_zero(part: &u32) -> bool {
    *part == 0
}

mod step {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use tidemark_pipeline::Step;

    pub fn serialize<S: Serializer>(step: &Step, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(step)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Step, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    pipeline: PipelineName,
    scheduled_time: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    pipeline: PipelineName,
    from: Date,
    to: Date,
}

/// What EventBridge puts around every event.
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
    /// Kind `refused` for what is no event of ours: it must not be taken for done.
    pub fn read(bytes: &[u8]) -> Result<Event, Failure> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| refused("no JSON", bytes).because(error))?;
        let has = |name: &str| value.get(name).is_some();
        if has("detail-type") {
            return Event::from_bridge(value, bytes);
        }
        if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            return Ok(Event::Test);
        }
        let broken = |what: &str, error: serde_json::Error| refused(what, bytes).because(error);
        if has("scheduled_time") {
            let Scheduled { pipeline, scheduled_time } =
                serde_json::from_value(value).map_err(|error| broken("a schedule's input that is broken", error))?;
            return Ok(Event::Schedule { pipeline, scheduled_time });
        }
        if has("from") || has("to") {
            let Asked { pipeline, from, to } =
                serde_json::from_value(value).map_err(|error| broken("a range that is broken", error))?;
            if from > to {
                return Err(refused("a range that ends before it begins", bytes));
            }
            return Ok(Event::Range { pipeline, days: Days { from, to } });
        }
        Err(refused("no event of Tidemark", bytes))
    }

    fn from_bridge(value: Value, bytes: &[u8]) -> Result<Event, Failure> {
        let broken = |what: &str, error: serde_json::Error| refused(what, bytes).because(error);
        let envelope: Envelope =
            serde_json::from_value(value).map_err(|error| broken("an EventBridge event that is broken", error))?;
        let Envelope { source, detail_type, time, resources, detail } = envelope;
        match (source.as_str(), detail_type.as_str()) {
            (SOURCE, STEP_DUE) => {
                let due = serde_json::from_value(detail)
                    .map_err(|error| broken("an event \"step due\" that is broken", error))?;
                Ok(Event::StepDue(due))
            }
            ("aws.s3", "Object Created") => {
                let Created { bucket, object } = serde_json::from_value(detail)
                    .map_err(|error| broken("an event \"Object Created\" that is broken", error))?;
                Ok(Event::Object { bucket: bucket.name, key: object.key, at: time })
            }
            ("aws.events" | "aws.scheduler", "Scheduled Event") => {
                // arn:aws:events:eu-west-1:123456789012:rule/tidemark-daily-sales
                let rules = resources.iter().filter_map(|arn| Some(arn.rsplit_once('/')?.1.to_owned())).collect();
                Ok(Event::Rule { rules, scheduled_time: time })
            }
            _ => Err(refused(&format!("an event {detail_type:?} of {source:?}"), bytes)),
        }
    }
}

/// Refused, never acknowledged: it goes where the platform keeps what could not be handled.
fn refused(what: &str, bytes: &[u8]) -> Failure {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    Failure::new(Kind::Refused, format!("this is {what}: {text}")).hint(
        "send {\"pipeline\", \"scheduled_time\"}, {\"pipeline\", \"from\", \"to\"}, \"step due\" or S3 \"Object Created\"; folder events has \
         one of each",
    )
}

/// A key as it is, from one that may be percent-encoded as in a URL (`+` is a blank); S3 itself and its stand-ins differ in this.
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
