//! The steps of the graph, by the function that walks them.

use tidemark_flow::{Failure, Ports, RunRecord, Size, Trigger};
use tidemark_pipeline::{Pipeline, Step};

pub(crate) fn walk(
    ports: &Ports<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &Step,
) -> Result<RunRecord, Failure> {
    match step {
        Step::Ingest => ingest::walk(ports, trigger, pipeline, step),
        Step::Clean | Step::Model(_) => transform::walk(ports, trigger, pipeline, step),
        Step::Load(_) => load::walk(ports, trigger, pipeline, step),
    }
}

/// What the step would do now; `None` if nothing.
pub(crate) fn due(
    ports: &Ports<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &Step,
) -> Result<Option<Size>, Failure> {
    match step {
        Step::Ingest => ingest::due(ports, trigger, pipeline, step),
        Step::Clean | Step::Model(_) => transform::due(ports, trigger, pipeline, step),
        Step::Load(_) => load::due(ports, trigger, pipeline, step),
    }
}
