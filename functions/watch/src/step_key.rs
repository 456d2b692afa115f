//! A step among those of all pipelines, as what is known of it is kept by.

use std::fmt;

use serde::{Serialize, Serializer};
use tidemark_flow::{Heartbeat, RunRecord};
use tidemark_pipeline::{Pipeline, PipelineName, StepId};

/// Written as `orders/load report`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepKey {
    pub pipeline: PipelineName,
    pub step: StepId,
}

impl StepKey {
    pub fn new(pipeline: &Pipeline, step: &StepId) -> StepKey {
        StepKey { pipeline: pipeline.name.clone(), step: step.clone() }
    }

    /// As it is written; `None` if that is no step.
    pub fn from_text(text: &str) -> Option<StepKey> {
        let (pipeline, step) = text.split_once('/')?;
        StepKey::from_parts(pipeline, &step.parse().ok()?)
    }

    /// `None` if no pipeline can have that name.
    pub fn from_parts(pipeline: &str, step: &StepId) -> Option<StepKey> {
        Some(StepKey { pipeline: pipeline.parse().ok()?, step: step.clone() })
    }

    /// `None` if it was no run of a step.
    pub fn for_run(record: &RunRecord) -> Option<StepKey> {
        StepKey::from_parts(&record.pipeline, record.step.step()?)
    }

    pub fn for_mark(mark: &Heartbeat) -> Option<StepKey> {
        StepKey::from_parts(&mark.pipeline, &mark.step)
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
