//! The key of a step across all pipelines, under which its state is stored.

use std::fmt;

use serde::{Serialize, Serializer};
use tidemark_flow::{Heartbeat, RunRecord};
use tidemark_pipeline::{Pipeline, PipelineName, StepId};

/// Serialized as `orders/load report`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepKey {
    pub pipeline: PipelineName,
    pub step: StepId,
}

impl StepKey {
    pub fn new(pipeline: &Pipeline, step: &StepId) -> StepKey {
        StepKey { pipeline: pipeline.name.clone(), step: step.clone() }
    }

    /// Parses the serialized form; returns `None` if it is not a step.
    pub fn from_text(text: &str) -> Option<StepKey> {
        let (pipeline, step) = text.split_once('/')?;
        StepKey::from_parts(pipeline, &step.parse().ok()?)
    }

    /// Returns `None` if this is not a valid pipeline name.
    pub fn from_parts(pipeline: &str, step: &StepId) -> Option<StepKey> {
        Some(StepKey { pipeline: pipeline.parse().ok()?, step: step.clone() })
    }

    /// The step of a run record. Returns `None` if it is not the record of a step.
    pub fn for_run(record: &RunRecord) -> Option<StepKey> {
        StepKey::from_parts(&record.pipeline, record.step.step()?)
    }

    pub fn for_heartbeat(heartbeat: &Heartbeat) -> Option<StepKey> {
        StepKey::from_parts(&heartbeat.pipeline, &heartbeat.step)
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pipeline, self.step)
    }
}

impl Serialize for StepKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
