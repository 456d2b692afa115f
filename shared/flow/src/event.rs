//! What a function is woken by. Bytes from outside become an [`Event`] here and nowhere else: our own messages are read strictly, those of
//! AWS tolerantly, and what is neither is refused.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_pipeline::{PipelineName, StepId};

use crate::failure::{Failure, Kind};
use crate::trigger::Days;

mod given_up;

/// `source` of the events that are ours.
pub const SOURCE: &str = "tidemark";
/// `detail-type` of an event that says that a step may have something to do.
pub const STEP_DUE: &str = "step due";

/// A message, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `{"pipeline": "daily-sales", "scheduled_time": "2026-03-03T08:00:00Z"}`: the input that a schedule is given.
    Schedule {
        pipeline: PipelineName,
        scheduled_time: Timestamp,
    },
    /// EventBridge's own "Scheduled Event", of a rule that was given no input; the rule is named after its pipeline.
    Rule {
        rules: Vec<String>,
        scheduled_time: Timestamp,
    },
    StepDue(StepDue),
    /// S3 "Object Created", through EventBridge.
    Object {
        bucket: String,
        key: String,
        at: Timestamp,
    },
    /// `{"pipeline": "daily-sales", "from": "2026-03-01", "to": "2026-03-03"}`: somebody asks for some days again.
    Range {
        pipeline: PipelineName,
        days: Days,
    },
    /// What S3 sends to try a notification out.
    Test,
    /// Events that nobody could handle, as the platform gives them to whoever is to know.
    GivenUp(Vec<GivenUp>),
}

/// An event that was tried as often as the platform tries, and given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// What it was; `None` if it cannot be read.
    pub event: Option<Box<Event>>,
    /// The function or rule that gave up, by its name.
    pub by: String,
    pub attempts: Option<u64>,
    /// The kind of failure, without a message, in which the event itself may be.
    pub code: String,
    /// Why, in the words of the function or of the platform.
    pub why: String,
    /// When it was given up, where that is said.
    pub at: Option<Timestamp>,
}

/// The detail of an event "step due".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDue {
    pub pipeline: PipelineName,
    pub step: StepId,
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
    /// As [`crate::Trigger::looked_for`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked_for: bool,
}

fn is_zero(part: &u32) -> bool {
    *part == 0
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
    /// The pipeline it names.
    pub fn pipeline(&self) -> Option<&PipelineName> {
        match self {
            Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => Some(pipeline),
            Event::StepDue(due) => Some(&due.pipeline),
            Event::Rule { .. } | Event::Object { .. } | Event::Test | Event::GivenUp(_) => None,
        }
    }

    /// # Errors
    /// Kind `refused` for what is no event of ours: it must not be taken for done.
    pub fn read(value: &Value) -> Result<Event, Failure> {
        let has = |name: &str| value.get(name).is_some();
        if has("detail-type") {
            return Event::from_bridge(value);
        }
        if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            return Ok(Event::Test);
        }
        if has("requestPayload") {
            return Ok(Event::GivenUp(vec![given_up::by_function(value)]));
        }
        if has("Records") {
            return given_up::from_queue(value).map(Event::GivenUp);
        }
        if has("scheduled_time") {
            let Scheduled { pipeline, scheduled_time } = of(value, "a schedule's input", value)?;
            return Ok(Event::Schedule { pipeline, scheduled_time });
        }
        if has("from") || has("to") {
            let Asked { pipeline, from, to } = of(value, "a range", value)?;
            if from > to {
                return Err(refused("a range that ends before it begins", value));
            }
            return Ok(Event::Range { pipeline, days: Days { from, to } });
        }
        Err(refused("no event of Tidemark", value))
    }

    fn from_bridge(value: &Value) -> Result<Event, Failure> {
        let Envelope { source, detail_type, time, resources, detail } = of(value, "an EventBridge event", value)?;
        match (source.as_str(), detail_type.as_str()) {
            (SOURCE, STEP_DUE) => Ok(Event::StepDue(of(&detail, "an event \"step due\"", value)?)),
            ("aws.s3", "Object Created") => {
                let Created { bucket, object } = of(&detail, "an event \"Object Created\"", value)?;
                Ok(Event::Object { bucket: bucket.name, key: object.key, at: time })
            }
            ("lambda", "Lambda Function Invocation Result - Failure") => {
                Ok(Event::GivenUp(vec![given_up::by_function(&detail)]))
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

fn of<T: serde::de::DeserializeOwned>(part: &Value, what: &str, whole: &Value) -> Result<T, Failure> {
    T::deserialize(part).map_err(|error| refused_for(&format!("{what} that is broken"), whole, &format!(": {error}")))
}

/// Refused, never acknowledged: it goes where the platform keeps what could not be handled.
fn refused(what: &str, value: &Value) -> Failure {
    refused_for(what, value, "")
}

/// Of what it was, the beginning is below the message, which goes where no content of anything should.
fn refused_for(what: &str, value: &Value, why: &str) -> Failure {
    const SHOWN: usize = 200;
    let text: String = value.to_string().chars().take(SHOWN).collect();
    let failure = Failure::new(Kind::Refused, format!("this is {what}")).because(format!("{text}{why}"));
    failure.hint(
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
