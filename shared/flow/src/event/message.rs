//! The messages that wake a function.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{PipelineName, StepId};

use crate::trigger::Days;

/// The `source` of Tidemark's own events.
pub const SOURCE: &str = "tidemark";
/// The `detail-type` of an event saying that a step may have something to do.
pub const STEP_DUE: &str = "step due";

/// A parsed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The input of a schedule: `{"pipeline": "daily-sales", "scheduled_time": "2026-03-03T08:00:00Z"}`.
    Schedule {
        pipeline: PipelineName,
        scheduled_time: Timestamp,
    },
    /// The "Scheduled Event" of an EventBridge rule that has no custom input. The name of the rule ends with the name of its pipeline.
    Rule {
        rules: Vec<String>,
        scheduled_time: Timestamp,
    },
    StepDue(StepDue),
    /// S3 "Object Created", delivered by EventBridge.
    Object {
        bucket: String,
        key: String,
        at: Timestamp,
    },
    /// A request to process some days again: `{"pipeline": "daily-sales", "from": "2026-03-01", "to": "2026-03-03"}`.
    Range {
        pipeline: PipelineName,
        days: Days,
    },
    /// The test event that S3 sends when a notification is configured.
    Test,
    /// Events that were not handled successfully, delivered to the watcher by the platform.
    DeadLetters(Vec<DeadLetter>),
}

/// An event whose delivery the platform has given up after all retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event itself; `None` if it cannot be read.
    pub event: Option<Box<Event>>,
    /// Name of the function or rule that failed to handle it.
    pub by: String,
    pub attempts: Option<u64>,
    /// The error code. It never includes the error message, which may contain parts of the event.
    pub code: String,
    /// The reason as the function or the platform states it.
    pub why: String,
    /// When delivery was given up, if known.
    pub at: Option<Timestamp>,
}

/// The `detail` of a "step due" event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDue {
    pub pipeline: PipelineName,
    pub step: StepId,
    /// The function that runs this step: `ingest`, `transform` or `load`. Rules route the event by it.
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
    /// See [`crate::Trigger::always_record`].
    #[serde(rename = "looked_for", default, skip_serializing_if = "std::ops::Not::not")]
    pub always_record: bool,
}

fn is_zero(part: &u32) -> bool {
    *part == 0
}

impl Event {
    /// The pipeline that the event names, if any.
    pub fn pipeline(&self) -> Option<&PipelineName> {
        match self {
            Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => Some(pipeline),
            Event::StepDue(due) => Some(&due.pipeline),
            Event::Rule { .. } | Event::Object { .. } | Event::Test | Event::DeadLetters(_) => None,
        }
    }
}
