//! The steps of the graph, by the function that walks them.

use tidemark_flow::{Context, Failure, RunRecord, Size, Trigger};
use tidemark_pipeline::{Pipeline, StepId};

pub(crate) fn walk(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<RunRecord, Failure> {
    match step {
        StepId::Ingest => ingest::walk(context, trigger, pipeline, step),
        StepId::Clean | StepId::Model(_) => transform::walk(context, trigger, pipeline, step),
        StepId::Load(_) => load::walk(context, trigger, pipeline, step),
    }
}

/// What the step would do now; `None` if nothing.
pub(crate) fn due(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<Option<Size>, Failure> {
    match step {
        StepId::Ingest => ingest::due(context, trigger, pipeline, step),
        StepId::Clean | StepId::Model(_) => transform::due(context, trigger, pipeline, step),
        StepId::Load(_) => load::due(context, trigger, pipeline, step),
    }
}
