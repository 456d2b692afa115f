//! `tidemark run`: every step that is due, in the order of the graph.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use tidemark_flow::{Failure, Ports, Progress, Quiet, RunRecord, Status, Trigger};
use tidemark_lake::Lake;
use tidemark_pipeline::Graph;

use crate::cli::Common;
use crate::definitions::{Wanted, load};
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;
use crate::steps::Walker;
use crate::world::{self, World};

#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [RunRecord],
}

pub(crate) fn run(common: &Common, names: &[String], at: Option<Timestamp>, full: bool) -> anyhow::Result<Exit> {
    let graph = load(common, Wanted::Named(names))?;
    let world = World::new()?;
    let lake = world.lake(&common.lake)?;
    let trigger = Trigger { scheduled_time: at.unwrap_or_else(world::now), full };
    let began = world::now();
    let bar = Bar::new();
    let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
    let records = with_ports(&world, &lake, progress, |ports| walk_all(ports, &graph, names, &trigger))?;
    if common.json {
        print::json(&Runs { runs: &records })?;
    } else {
        print::summary(&records, world::now().duration_since(began));
    }
    Ok(exit_of(&records))
}

/// Walks the steps of the pipelines named, or of all. After a failed step, the rest of its pipeline waits for the next run.
pub fn walk_all(
    ports: &Ports<'_>,
    graph: &Graph,
    names: &[String],
    trigger: &Trigger,
) -> Result<Vec<RunRecord>, Failure> {
    let mut records = Vec::new();
    let mut failed = BTreeSet::new();
    for (pipeline, step) in graph.steps() {
        let name = pipeline.name.as_str();
        if (!names.is_empty() && !names.iter().any(|wanted| wanted == name)) || failed.contains(name) {
            continue;
        }
        let record = Walker::new(pipeline, step)?.walk(ports, trigger);
        if record.status == Status::Failed {
            failed.insert(name);
        }
        records.push(record);
    }
    Ok(records)
}

/// Builds the ports of this machine.
pub fn with_ports<T>(world: &World, lake: &Lake, progress: &dyn Progress, act: impl FnOnce(&Ports<'_>) -> T) -> T {
    act(&Ports {
        lake,
        locate: &|path| world.locate(path),
        folder: &|path| world.folder(path),
        clock: &world::now,
        run_id: &world::run_id,
        peak_memory: &world::peak_memory,
        progress,
        memory: world::memory(),
        scratch: std::env::temp_dir(),
    })
}

/// The worst of what happened.
pub(crate) fn exit_of(records: &[RunRecord]) -> Exit {
    let failed = records.iter().filter_map(|record| record.error.as_ref()).map(|error| Exit::from(error.kind));
    failed.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done)
}
