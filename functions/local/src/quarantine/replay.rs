//! `tidemark quarantine replay`: processes quarantined records with the corrected contract, and runs all dependent steps, without reading the
//! source.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_flow::{Error, ErrorKind, Progress, Quiet, RunRecord, Selection, Trigger, host};
use tidemark_lake::{Lake, Table};
use tidemark_pipeline::graph::{inputs, outputs};
use tidemark_pipeline::{DatasetName, Graph, Pipeline, StepId};

use super::counts::{Counts, known};
use super::list::named;
use super::reasons::{Filter, gather};
use crate::args::Common;
use crate::definitions::load;
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;
use crate::run::{exit_of, with_runner};
use crate::steps::step;

/// A clean dataset whose quarantine has broken records, before and after.
struct Replay {
    dataset: DatasetName,
    before: Counts,
    after: Counts,
    /// The reasons of those still broken after the replay.
    reasons: String,
    /// Whether the contract has not changed, so that a replay changes nothing.
    is_same: bool,
}

pub(crate) fn replay(common: &Common, dataset: Option<&str>, at: Option<Timestamp>) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let began = host::now();
    let trigger = Trigger::at(at.unwrap_or(began), host::run_id());
    // without parameters, since only some pipelines need theirs
    let graph = load(common, Selection::CheckOnly)?;
    let mut replays = broken(&lake, &graph, dataset)?;
    local.with_context(&lake, &Quiet, |context| {
        replays.iter_mut().try_for_each(|replay| {
            let (pipeline, id) = clean_of(&graph, &replay.dataset)?;
            replay.is_same = step(&local, &graph, pipeline, id)?.due(context, &trigger)?.is_none();
            Ok::<_, Error>(())
        })
    })?;
    let chosen = affected_steps(&graph, replays.iter().filter(|replay| !replay.is_same).map(|replay| &replay.dataset));
    let names: BTreeSet<String> = chosen.iter().map(|(pipeline, _)| pipeline.clone()).collect();
    let mut records = Vec::new();
    if !names.is_empty() {
        let graph = load(common, Selection::Named(&names.into_iter().collect::<Vec<_>>()))?;
        let bar = Bar::without_lines();
        let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
        let is_chosen =
            |pipeline: &Pipeline, step: &StepId| chosen.contains(&(pipeline.name.to_string(), step.clone()));
        records = with_runner(&local, &common.lake, &lake, progress, &graph, |runner| {
            runner.run_chosen(&is_chosen, &trigger)
        })?;
    }
    for replay in &mut replays {
        if let Some(quarantine) = lake.table(&replay.dataset.quarantine()).map_err(Error::from)? {
            replay.after = Counts::read(&lake, &quarantine)?;
            replay.reasons = named(&gather(&lake, &quarantine, &Filter::default())?);
        }
    }
    if common.json {
        print::json(&json!({"replays": replays.iter().map(Replay::to_json).collect::<Vec<_>>(), "runs": records}))?;
    } else {
        print_replays(&replays, &records, host::now().duration_since(began));
    }
    Ok(exit_of(&records))
}

fn print_replays(replays: &[Replay], records: &[RunRecord], took: jiff::SignedDuration) {
    if replays.is_empty() {
        print::line("no records are broken: there is nothing to replay");
    }
    for replay in replays {
        replay.lines().iter().for_each(|line| print::line(line));
    }
    if !records.is_empty() {
        print::line("");
        records.iter().for_each(print::record);
        print::summary(records, took);
    }
}

/// The datasets to replay: all that have broken records, or only the named one.
fn broken(lake: &Lake, graph: &Graph, wanted: Option<&str>) -> Result<Vec<Replay>, Error> {
    let all: Vec<DatasetName> =
        graph.pipelines().iter().filter_map(|pipeline| Some(pipeline.contract.as_ref()?.dataset.clone())).collect();
    let wanted = wanted.map(crate::inspect::dataset).transpose()?;
    if let Some(wanted) = &wanted
        && !all.iter().any(|dataset| dataset.base() == wanted.base())
    {
        let message = format!("no pipeline has a contract for {}", wanted.base());
        return Err(Error::new(ErrorKind::Definition, message).hint(known(all.iter().map(DatasetName::base))));
    }
    let mut replays = Vec::new();
    for dataset in
        all.into_iter().filter(|dataset| wanted.as_ref().is_none_or(|wanted| wanted.base() == dataset.base()))
    {
        let table: Option<Table> = lake.table(&dataset.quarantine())?;
        let before = table.map(|table| Counts::read(lake, &table)).transpose()?.unwrap_or_default();
        if before.broken > 0 {
            replays.push(Replay { dataset, before, after: before, reasons: String::new(), is_same: false });
        }
    }
    Ok(replays)
}

fn clean_of<'g>(graph: &'g Graph, dataset: &DatasetName) -> Result<(&'g Pipeline, &'g StepId), Error> {
    graph.producer(dataset).ok_or_else(|| Error::new(ErrorKind::Bug, format!("no pipeline produces {dataset}")))
}

/// The steps that make these datasets and all steps that depend on them, with the names of their pipelines.
fn affected_steps<'d>(graph: &Graph, datasets: impl Iterator<Item = &'d DatasetName>) -> BTreeSet<(String, StepId)> {
    let mut made: BTreeSet<DatasetName> = BTreeSet::new();
    let roots: BTreeSet<&DatasetName> = datasets.collect();
    let mut chosen = BTreeSet::new();
    for (pipeline, id) in graph.steps() {
        let makes = outputs(pipeline, id);
        let is_root = makes.iter().any(|dataset| roots.contains(dataset));
        // steps are in topological order
        if is_root || inputs(pipeline, id).iter().any(|dataset| made.contains(dataset)) {
            made.extend(makes);
            chosen.insert((pipeline.name.to_string(), id.clone()));
        }
    }
    chosen
}

impl Replay {
    fn healed(&self) -> u64 {
        self.after.healed.saturating_sub(self.before.healed)
    }

    fn lines(&self) -> Vec<String> {
        let Replay { dataset, before, after, reasons, is_same } = self;
        if *is_same {
            return vec![
                format!(
                    "{dataset}: {} are broken ({reasons}), and the contract has not changed since: a replay would have no effect",
                    print::count(before.broken)
                ),
                "  → correct [contract] in the pipeline file, or the source (records with rule `format` only there), and replay again"
                    .into(),
            ];
        }
        let healed = self.healed();
        let still = before.broken.saturating_sub(healed).min(after.broken);
        let new = match after.broken - still {
            0 => String::new(),
            new => format!(", {} newly broken", print::count(new)),
        };
        let why = if reasons.is_empty() { String::new() } else { format!(" ({reasons})") };
        vec![format!(
            "{dataset}: {} were broken; {} healed, {} still broken{new}{why}",
            print::count(before.broken),
            print::count(healed),
            print::count(still)
        )]
    }

    fn to_json(&self) -> Value {
        json!({
            "dataset": self.dataset, "broken_before": self.before.broken, "healed": self.healed(),
            "broken_after": self.after.broken,
        })
    }
}
