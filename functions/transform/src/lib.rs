//! Steps `clean` and `model`: raw rows through the contract into a clean dataset, and SQL over datasets into models. The row operations
//! are in `tidemark-transform`. This crate decides what has to be done, cuts it into tasks, keeps it within memory and writes the result.

mod clean;
mod drift;
mod errors;
mod frames;
mod key_index;
mod model;
mod partition_merge;
mod partition_value;
mod quarantine;
mod spill;
mod spill_manifest;
mod tables;

use clean::Clean;
use model::Model;

use tidemark_flow::{Environment, Error, ErrorKind, Runnable};
use tidemark_lake::fingerprint;
use tidemark_pipeline::fingerprint::{contract_fingerprint, model_fingerprint};
use tidemark_pipeline::{Graph, Pipeline, StepId};

/// Step `clean` or `model <name>` of a pipeline.
///
/// # Errors
/// Kind `bug` if the step is neither.
pub fn step<'a>(
    _: &'a dyn Environment,
    graph: &'a Graph,
    pipeline: &'a Pipeline,
    step: &StepId,
) -> Result<Box<dyn Runnable + 'a>, Error> {
    let hash = |text: Result<String, serde_json::Error>| {
        text.map(|text| fingerprint(&text))
            .map_err(|error| Error::new(ErrorKind::Bug, "a definition cannot be written down").because(error))
    };
    if let (StepId::Clean, Some(contract)) = (step, &pipeline.contract) {
        return Ok(Box::new(Clean::new(pipeline, contract, hash(contract_fingerprint(contract))?)));
    }
    if let StepId::Model(name) = step
        && let Some(model) = pipeline.models.iter().find(|model| model.name == *name)
    {
        let text = model_fingerprint(model, |dataset| graph.partitioning(dataset));
        return Ok(Box::new(Model::new(graph, pipeline, model, hash(text)?)));
    }
    Err(Error::new(ErrorKind::Bug, format!("{step} of {} is not a step of function transform", pipeline.name)))
}
