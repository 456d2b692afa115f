//! Step `ingest`: what a source holds and the raw dataset does not. It keeps what the source said, as it said it, and judges
//! nothing; a record that is no record is kept with its text and the reason.

pub mod files;
pub mod http;
mod incremental;
mod raw_dataset;

use tidemark_flow::{Bus, Context, Event, Failure, Handled, Kind, RunRecord, Size, Step, Trigger};
use tidemark_pipeline::{Graph, Pipeline, Source, StepId};

use crate::files::step::FilesIngest;
use crate::http::step::HttpIngest;

/// Handles one event: a schedule, an object that has come, a part of an ingest that goes on.
pub fn handle(
    context: &Context<'_>,
    graph: &Graph,
    bus: &dyn Bus,
    event: &Event,
    chain: &str,
) -> Result<Handled, Failure> {
    tidemark_flow::handle(context, graph, bus, walk, "ingest", event, chain)
}

/// Runs step `ingest`.
pub fn walk(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<RunRecord, Failure> {
    Ok(match Ingest::new(pipeline, step)? {
        Ingest::Files(step) => tidemark_flow::walk(context, trigger, &step),
        Ingest::Http(step) => tidemark_flow::walk(context, trigger, &step),
    })
}

/// What the step would do now; `None` if nothing.
pub fn due(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<Option<Size>, Failure> {
    Ok(match Ingest::new(pipeline, step)? {
        Ingest::Files(step) => step.plan(context, trigger)?.map(|plan| step.size(&plan)),
        Ingest::Http(step) => step.plan(context, trigger)?.map(|plan| step.size(&plan)),
    })
}

/// Step `ingest`, by the kind of its pipeline's source.
enum Ingest<'a> {
    Files(FilesIngest<'a>),
    Http(HttpIngest<'a>),
}

impl<'a> Ingest<'a> {
    fn new(pipeline: &'a Pipeline, step: &StepId) -> Result<Ingest<'a>, Failure> {
        Ok(match (step, &pipeline.source, &pipeline.contract) {
            (StepId::Ingest, Some(Source::Files(files)), Some(contract)) => {
                Ingest::Files(FilesIngest::new(pipeline, files, contract)?)
            }
            (StepId::Ingest, Some(Source::Http(http)), Some(contract)) => {
                Ingest::Http(HttpIngest::new(pipeline, http, contract)?)
            }
            _ => return Err(Failure::new(Kind::Bug, format!("{step} of {} is no ingest", pipeline.name))),
        })
    }
}
