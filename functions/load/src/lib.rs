//! Step `load`: loads a dataset into a database, or datasets into a report. The target stores the version that it has together with the
//! rows, so that a duplicate load finds its version there and does nothing.

mod change;
mod database;
mod postgres;
mod report;
mod sqlite;
pub mod targets;
mod transaction;
mod verify;

pub use postgres::LoadPostgres;
pub use report::LoadReport;
pub use sqlite::LoadSqlite;
pub use verify::{PartitionComparison, Verification, verify};

use tidemark_flow::{Environment, Error, ErrorKind, Runnable};
use tidemark_pipeline::{Graph, Pipeline, StepId, Target};

/// Step `load <target>` of a pipeline.
///
/// # Errors
/// Kind `bug` for a step that is not a load.
pub fn step<'a>(
    environment: &'a dyn Environment,
    _: &'a Graph,
    pipeline: &'a Pipeline,
    step: &StepId,
) -> Result<Box<dyn Runnable + 'a>, Error> {
    let target = match step {
        StepId::Load(name) => pipeline.targets.iter().find(|target| target.name() == name),
        _ => None,
    };
    let none = || Error::new(ErrorKind::Bug, format!("{step} of {} is not a step of function load", pipeline.name));
    Ok(match target.ok_or_else(none)? {
        Target::Postgres(target) => Box::new(LoadPostgres::new(pipeline, target, environment)),
        Target::Sqlite(target) => Box::new(LoadSqlite::new(pipeline, target, environment)),
        Target::Report(report) => Box::new(LoadReport::new(pipeline, report, environment)),
    })
}
