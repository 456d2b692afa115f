//! `tidemark run`: runs every step that is due.

use std::num::NonZeroUsize;

use jiff::Timestamp;
use serde::Serialize;
use tidemark_flow::{Error, Executor, Progress, Quiet, RunRecord, Selection, Trigger, host};
use tidemark_lake::Lake;
use tidemark_pipeline::Graph;

use crate::args::Common;
use crate::definitions::{LeftOut, load, select_pipelines};
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;

mod order;
mod runner;

pub use runner::{Lane, OpenLane, Runner};

#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [RunRecord],
    #[serde(skip_serializing_if = "<[LeftOut]>::is_empty")]
    left_out: &'a [LeftOut],
}

pub(crate) fn run(common: &Common, names: &[String], at: Option<Timestamp>, full: bool) -> anyhow::Result<Exit> {
    let (names, left_out) = select_pipelines(common, names);
    let graph = load(common, Selection::Named(&names))?;
    let local = LocalEnvironment::new()?;
    let lake = local.lake(&common.lake)?;
    let began = host::now();
    let trigger = Trigger { full, ..Trigger::at(at.unwrap_or(began), host::run_id()) };
    let bar = Bar::new();
    let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
    let records =
        with_runner(&local, &common.lake, &lake, progress, &graph, |runner| runner.run_all(&names, &trigger))?;
    if common.json {
        print::json(&Runs { runs: &records, left_out: &left_out })?;
    } else {
        left_out.iter().for_each(print::left_out);
        print::summary(&records, host::now().duration_since(began));
    }
    Ok(exit_of(&records))
}

/// Builds a runner with a lane for each core of this machine.
pub(crate) fn with_runner<T>(
    local: &LocalEnvironment,
    place: &str,
    lake: &Lake,
    progress: &dyn Progress,
    graph: &Graph,
    act: impl FnOnce(&Runner<'_>) -> T,
) -> T {
    let open = |run: &mut dyn FnMut(Lane<'_>)| -> Result<(), Error> {
        let local = local.another()?;
        let lake = local.lake(place)?;
        local.with_context(&lake, progress, |context| run(Lane { context, environment: &local }));
        Ok(())
    };
    let lanes = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    local.with_context(lake, progress, |context| {
        let lane = Lane { context, environment: local };
        act(&Runner { lane, more: Some((&open, lanes)), executor: Executor::for_all_cores(), graph })
    })
}

/// The exit code of the most severe failure.
pub(crate) fn exit_of(records: &[RunRecord]) -> Exit {
    let failed = records.iter().filter_map(|record| record.error.as_ref()).map(|error| Exit::from(error.kind));
    failed.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done)
}
