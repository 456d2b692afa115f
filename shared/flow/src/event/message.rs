//! The messages that wake a function.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{PipelineName, StepId};

use crate::trigger::Days;

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
    DeadLetters(Vec<DeadLetter>),
}

/// An event that was tried as often as the platform tries, and given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
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
    #[serde(rename = "chain")]
    pub correlation_id: String,
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

impl Event {
    /// The pipeline it names.
    pub fn pipeline(&self) -> Option<&PipelineName> {
        match self {
            Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => Some(pipeline),
            Event::StepDue(due) => Some(&due.pipeline),
            Event::Rule { .. } | Event::Object { .. } | Event::Test | Event::DeadLetters(_) => None,
        }
    }
}
