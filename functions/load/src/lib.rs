//! Step `load`: a dataset into a database, datasets into a report. The target keeps, with the rows, which version it has; so a
//! duplicate load finds its version there and does nothing.

mod change;
mod database;
mod postgres;
mod report;
mod sqlite;
pub mod targets;
mod verify;

pub use postgres::LoadPostgres;
pub use report::LoadReport;
pub use sqlite::LoadSqlite;
pub use verify::{Compared, Verified, verify};

use tidemark_flow::{Bus, Context, Event, Failure, Handled, Kind, RunRecord, Size, Step as _, Trigger};
use tidemark_pipeline::{Graph, Pipeline, StepId, Target};

/// Handles one event: a dataset that has a new version.
pub fn handle(
    context: &Context<'_>,
    graph: &Graph,
    bus: &dyn Bus,
    event: &Event,
    chain: &str,
) -> Result<Handled, Failure> {
    tidemark_flow::handle(context, graph, bus, walk, "load", event, chain)
}

/// Walks step `load <target>`.
pub fn walk(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<RunRecord, Failure> {
    Ok(match target(pipeline, step)? {
        Target::Postgres(target) => tidemark_flow::walk(context, trigger, &LoadPostgres::new(pipeline, target)),
        Target::Sqlite(target) => tidemark_flow::walk(context, trigger, &LoadSqlite::new(pipeline, target)),
        Target::Report(report) => tidemark_flow::walk(context, trigger, &LoadReport::new(pipeline, report)),
    })
}

/// What the step would do now; `None` if nothing.
pub fn due(
    context: &Context<'_>,
    trigger: &Trigger,
    pipeline: &Pipeline,
    step: &StepId,
) -> Result<Option<Size>, Failure> {
    Ok(match target(pipeline, step)? {
        Target::Postgres(target) => {
            let step = LoadPostgres::new(pipeline, target);
            step.plan(context, trigger)?.map(|plan| step.size(&plan))
        }
        Target::Sqlite(target) => {
            let step = LoadSqlite::new(pipeline, target);
            step.plan(context, trigger)?.map(|plan| step.size(&plan))
        }
        Target::Report(report) => {
            let step = LoadReport::new(pipeline, report);
            step.plan(context, trigger)?.map(|plan| step.size(&plan))
        }
    })
}

fn target<'a>(pipeline: &'a Pipeline, step: &StepId) -> Result<&'a Target, Failure> {
    let target = match step {
        StepId::Load(name) => pipeline.targets.iter().find(|target| target.name() == name),
        _ => None,
    };
    target.ok_or_else(|| Failure::new(Kind::Bug, format!("{step} of {} is no load", pipeline.name)))
}
