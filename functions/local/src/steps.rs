//! Creates the steps of the graph.

use tidemark_flow::{Environment, Error, Runnable};
use tidemark_pipeline::{Graph, Pipeline, StepId};

/// Creates a step of a pipeline, with the crate of the function that runs it on AWS.
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
