//! `tidemark run`: every step that is due, in the order of the graph.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use tidemark_flow::{
    Context, Environment, Executor, Failure, Progress, Quiet, RunRecord, Status, Trigger, Wanted, host,
};
use tidemark_pipeline::{Graph, Pipeline, StepId};

use crate::args::Common;
use crate::definitions::{LeftOut, load, meant};
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;
use crate::steps::step;
use crate::world::World;

#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [RunRecord],
    #[serde(skip_serializing_if = "<[LeftOut]>::is_empty")]
    left_out: &'a [LeftOut],
}

pub(crate) fn run(common: &Common, names: &[String], at: Option<Timestamp>, full: bool) -> anyhow::Result<Exit> {
    let (names, left_out) = meant(common, names);
    let graph = load(common, Wanted::Named(&names))?;
    let world = World::new()?;
    let lake = world.lake(&common.lake)?;
    let began = host::now();
    let trigger = Trigger { full, ..Trigger::at(at.unwrap_or(began), host::run_id()) };
    let bar = Bar::new();
    let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
    let records = world.with_context(&lake, progress, |context| {
        let executor = Executor::for_all_cores();
        Runner { context, environment: &world, executor, graph: &graph }.run_all(&names, &trigger)
    })?;
    if common.json {
        print::json(&Runs { runs: &records, left_out: &left_out })?;
    } else {
        left_out.iter().for_each(print::left_out);
        print::summary(&records, host::now().duration_since(began));
    }
    Ok(exit_of(&records))
}

/// Runs the steps of a graph.
pub struct Runner<'a> {
    pub context: &'a Context<'a>,
    pub environment: &'a dyn Environment,
    pub executor: Executor<'a>,
    pub graph: &'a Graph,
}

impl Runner<'_> {
    /// Runs the steps of the pipelines named, or of all. After a failed step, the rest of its pipeline waits for the next run.
    pub fn run_all(&self, names: &[String], trigger: &Trigger) -> Result<Vec<RunRecord>, Failure> {
        let is_named = |pipeline: &Pipeline| names.iter().any(|wanted| wanted == pipeline.name.as_str());
        self.run_chosen(&|pipeline, _| names.is_empty() || is_named(pipeline), trigger)
    }

    /// The same of the steps that are chosen.
    pub(crate) fn run_chosen(
        &self,
        is_chosen: &dyn Fn(&Pipeline, &StepId) -> bool,
        trigger: &Trigger,
    ) -> Result<Vec<RunRecord>, Failure> {
        let mut records = Vec::new();
        let mut failed = BTreeSet::new();
        for (pipeline, id) in self.graph.steps() {
            let name = pipeline.name.as_str();
            if failed.contains(name) || !is_chosen(pipeline, id) {
                continue;
            }
            let mut trigger = trigger.clone();
            loop {
                let step = step(self.environment, self.graph, pipeline, id)?;
                let record = step.run(self.context, self.executor, &trigger);
                if record.status == Status::Failed {
                    failed.insert(name);
                }
                let goes_on = record.goes_on;
                records.push(record);
                if !goes_on {
                    break;
                }
                // what is left of a source is not read again
                trigger.full = false;
            }
        }
        Ok(records)
    }
}

/// The worst of what happened.
pub(crate) fn exit_of(records: &[RunRecord]) -> Exit {
    let failed = records.iter().filter_map(|record| record.error.as_ref()).map(|error| Exit::from(error.kind));
    failed.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done)
}
