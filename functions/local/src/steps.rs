//! The steps of the graph, by the function that runs them.

use tidemark_flow::{Environment, Error, Runnable};
use tidemark_pipeline::{Graph, Pipeline, StepId};

/// A step of a pipeline, whichever function it is of.
pub fn step<'a>(
    environment: &'a dyn Environment,
    graph: &'a Graph,
    pipeline: &'a Pipeline,
    step: &StepId,
) -> Result<Box<dyn Runnable + 'a>, Error> {
    match step {
        StepId::Ingest => ingest::step(environment, graph, pipeline, step),
        StepId::Clean | StepId::Model(_) => transform::step(environment, graph, pipeline, step),
        StepId::Load(_) => load::step(environment, graph, pipeline, step),
    }
}
