//! Step `ingest`: reads new records of a source into the raw dataset. It stores them as received and does not validate them; a broken
//! record is kept with its text and the reason.

pub mod files;
pub mod http;
mod incremental;
mod raw_dataset;
mod resume_marks;

use tidemark_flow::{Environment, Error, ErrorKind, Runnable};
use tidemark_pipeline::{Graph, Pipeline, Source, StepId};

use crate::files::step::FilesIngest;
use crate::http::step::HttpIngest;

/// Step `ingest` of a pipeline, by the kind of its source.
///
/// # Errors
/// Kind `bug` for a step that is not an ingest.
pub fn step<'a>(
    environment: &'a dyn Environment,
    _: &'a Graph,
    pipeline: &'a Pipeline,
    step: &StepId,
) -> Result<Box<dyn Runnable + 'a>, Error> {
    Ok(match (step, &pipeline.source, &pipeline.contract) {
        (StepId::Ingest, Some(Source::Files(files)), Some(contract)) => {
            Box::new(FilesIngest::new(pipeline, files, contract, environment)?)
        }
        (StepId::Ingest, Some(Source::Http(http)), Some(contract)) => {
            Box::new(HttpIngest::new(pipeline, http, contract, environment)?)
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("{step} of {} is not a step of function ingest", pipeline.name),
            ));
        }
    })
}
