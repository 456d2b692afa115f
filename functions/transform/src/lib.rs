//! Steps `clean` and `model`: raw rows through the contract into a clean dataset, and SQL over datasets into models. The work on rows
//! is in `tidemark-transform`; here is what of it is due, what fits in memory, and where it goes.

mod calendar;
mod clean;
mod drift;
mod merging;
mod model;
mod narrow;
mod pass;
mod quarantine;
mod room;
mod spread;
mod stretch;

pub use clean::Clean;
pub use model::Model;

use tidemark_flow::{Bus, Context, Event, Failure, Handled, Kind, RunRecord, Size, Step as _, Trigger};
use tidemark_lake::fingerprint;
use tidemark_pipeline::fingerprint::{of_contract, of_model};
use tidemark_pipeline::{DatasetName, Graph, Pipeline, StepId};
use tidemark_transform::{ContractError, FrameError, SqlError};

/// Handles one event: a dataset that has a new version, a part of a step that goes on.
pub fn handle(
    context: &Context<'_>,
    graph: &Graph,
    bus: &dyn Bus,
    event: &Event,
    chain: &str,
) -> Result<Handled, Failure> {
    tidemark_flow::handle(context, graph, bus, walk, "transform", event, chain)
}

/// Walks step `clean` or `model <name>`.
pub fn walk(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<RunRecord, Failure> {
    Ok(match Transform::of(pipeline, step)? {
        Transform::Clean(step) => tidemark_flow::walk(context, trigger, &step),
        Transform::Model(step) => tidemark_flow::walk(context, trigger, &step),
    })
}

/// What the step would do now; `None` if nothing.
pub fn due(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<Option<Size>, Failure> {
    Ok(match Transform::of(pipeline, step)? {
        Transform::Clean(step) => step.plan(context, trigger)?.map(|plan| step.size(&plan)),
        Transform::Model(step) => step.plan(context, trigger)?.map(|plan| step.size(&plan)),
    })
}

enum Transform<'a> {
    Clean(Clean<'a>),
    Model(Model<'a>),
}

impl<'a> Transform<'a> {
    fn of(pipeline: &'a Pipeline, step: &StepId) -> Result<Transform<'a>, Failure> {
        let hash = |text: Result<String, serde_json::Error>| {
            text.map(|text| fingerprint(&text))
                .map_err(|error| Failure::new(Kind::Bug, "a definition cannot be written down").because(error))
        };
        let model = |name: &DatasetName| pipeline.models.iter().find(|model| model.name == *name);
        match (step, &pipeline.contract) {
            (StepId::Clean, Some(contract)) => {
                Ok(Transform::Clean(Clean::new(pipeline, contract, hash(of_contract(contract))?)))
            }
            (StepId::Model(name), _) if let Some(model) = model(name) => {
                Ok(Transform::Model(Model::new(pipeline, model, hash(of_model(model))?)))
            }
            _ => Err(Failure::new(Kind::Bug, format!("{step} of {} is no transform", pipeline.name))),
        }
    }
}

/// A contract that cannot be applied: the definition and the data do not fit.
fn contract_failure(error: ContractError) -> Failure {
    Failure::new(Kind::Definition, error.to_string()).hint("mend [contract] in the pipeline file")
}

fn frame_failure(error: FrameError) -> Failure {
    Failure::new(Kind::Bug, "rows cannot be merged").because(error)
}

fn sql_failure(what: &str, error: SqlError) -> Failure {
    Failure::new(Kind::Definition, format!("{what}: {error}")).hint("mend the SQL")
}

fn polars_failure(what: impl Into<String>, error: polars::error::PolarsError) -> Failure {
    Failure::new(Kind::Bug, what).because(error)
}
