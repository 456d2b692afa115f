//! One look at everything: read what is new, judge, keep incidents, help, tell, remember. Whatever fails on the way, or kills the watcher,
//! the next tick comes to the same: what has been read is remembered last.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_flow::{Bus, Context, Failure, GivenUp, Kind};
use tidemark_lake::Watched;
use tidemark_pipeline::{DatasetName, graph};

use crate::channel::Channels;
use crate::help::help;
use crate::incident::{Finding, Incident};
use crate::judge::{View, findings, stuck};
use crate::keep::{Kept, Register};
use crate::look::News;
use crate::memory::Memory;
use crate::silence::Silences;
use crate::tell::{Letters, tell};
use crate::wording::title;
use crate::{given_up, look};

/// What a tick has seen and done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// There is more to read than one look can: of what is open or untold it does not know.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_part: bool,
    pub pipelines: usize,
    /// Run records that were new.
    pub records: usize,
    pub opened: Vec<Turn>,
    pub resolved: Vec<Turn>,
    /// Incidents that are open.
    pub open: usize,
    /// Messages that were taken by a channel; a digest counts what is in it.
    pub told: usize,
    /// Messages that could not be delivered, and will be tried again.
    pub untold: usize,
    /// Steps that were announced again.
    pub announced: usize,
    /// By how many seconds each clean dataset and model is behind the clock, as far as a run has said up to when it is complete.
    pub lag_seconds: BTreeMap<String, u64>,
}

/// An incident that has opened, or is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    pub incident: String,
    /// What is or was wrong, in one line.
    pub title: String,
}

impl Turn {
    fn of(incident: &Incident) -> Turn {
        Turn { incident: incident.id(), title: title(&incident.finding) }
    }
}

impl Ticked {
    /// As the function answers.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self)
    }
}

/// How often a state that another watcher has changed meanwhile is looked at again.
const ATTEMPTS: usize = 10;

/// Looks at everything once.
///
/// # Errors
/// The lake cannot be read or written, or the bus takes nothing. What was done before stands, and the next tick does the rest.
pub fn tick(
    context: &Context<'_>,
    view: &View<'_>,
    bus: &dyn Bus,
    channels: &Channels<'_>,
    chain: &str,
) -> Result<Ticked, Failure> {
    let now = (context.clock)();
    let lake = context.lake;
    let watched = lake.watched()?;
    let (mut memory, seen) = look::memory(lake)?;
    let before = memory.clone();
    knows(&mut memory, view, now);
    let (marks, mut forgotten) = look::marks(lake, &watched.running)?;
    let News { moved, records, is_part } = look::news(context, &mut memory, view, &marks, now)?;
    let mut ticked = Ticked { pipelines: view.graph.pipelines().len(), records, ..Ticked::default() };
    if is_part {
        // by what is of long ago nothing is judged
        lake.put_watcher(written(&memory)?, seen.as_ref())?;
        ticked.is_part = true;
        return Ok(ticked);
    }
    forgotten.extend(look::silent(&mut memory, &marks, now));
    look::heads(context, &mut memory, view, &moved, now);
    ticked.lag_seconds = lags(&memory, view, now);
    let found = findings(&memory, view, now);
    let unhelped = memory.clone();
    let due = help(&mut memory, view, now, chain);
    let announced = bus.announce(&due);
    match &announced {
        Ok(()) => ticked.announced = due.len(),
        // all the rest is seen and told all the same
        Err(_) => memory = unhelped,
    }
    settle(context, view, channels, &watched, &mut memory, found, now, &mut ticked)?;
    if memory != before {
        let state = written(&memory)?;
        // another watcher was faster: what it has not seen of ours, the next tick sees again
        if !lake.put_watcher(state, seen.as_ref())? {
            tracing::info!("another watcher has looked at the same time");
            return Ok(ticked);
        }
    }
    for run_id in forgotten {
        lake.delete_running(&run_id)?;
    }
    announced.map(|()| ticked)
}

/// Keeps what was found as incidents, and tells of them.
#[expect(clippy::too_many_arguments, reason = "one tick has so many parts")]
fn settle(
    context: &Context<'_>,
    view: &View<'_>,
    channels: &Channels<'_>,
    watched: &Watched,
    memory: &mut Memory,
    found: Vec<Finding>,
    now: Timestamp,
    ticked: &mut Ticked,
) -> Result<(), Failure> {
    let silences = Silences::read(context.lake, &watched.silences, now)?;
    let register = Register { context, view, silences: &silences, stuck: stuck(memory, view, &found), now };
    let mut found: BTreeMap<String, Finding> =
        found.into_iter().map(|finding| (tidemark_lake::incident_name(&finding.key()), finding)).collect();
    let mut letters = Letters::default();
    let mut names: BTreeMap<String, Option<String>> = found.keys().map(|name| (name.clone(), None)).collect();
    names.extend(watched.incidents.iter().map(|(name, tag)| (name.clone(), Some(tag.clone()))));
    memory.at_rest.retain(|name, _| names.contains_key(name));
    for (name, tag) in names {
        let finding = found.remove(&name);
        let is_at_rest = tag.is_some() && memory.at_rest.get(&name) == tag.as_ref();
        if is_at_rest && finding.is_none() {
            continue;
        }
        memory.at_rest.remove(&name);
        let Some(kept) = register.keep(&name, finding, memory)? else {
            // damaged, and nothing is wrong: it is opened anew when something is
            memory.at_rest.extend(tag.map(|tag| (name, tag)));
            continue;
        };
        match &kept {
            Kept { incident, was_open: false, .. } if incident.is_open() => ticked.opened.push(Turn::of(incident)),
            Kept { incident, was_open: true, .. } if !incident.is_open() => ticked.resolved.push(Turn::of(incident)),
            _ => {}
        }
        ticked.open += usize::from(kept.incident.is_open());
        if let (true, Some(tag)) = (kept.incident.is_at_rest(now), tag.filter(|_| !kept.is_changed)) {
            memory.at_rest.insert(name.clone(), tag);
        }
        letters.add(&register, name, kept);
    }
    (ticked.told, ticked.untold) = tell(&register, channels, letters)?;
    silences.clear(context.lake)?;
    Ok(())
}

/// How far datasets are behind the clock; not those of pipelines that are gone. Of one whose file is broken nobody knows which are its own.
fn lags(memory: &Memory, view: &View<'_>, now: Timestamp) -> BTreeMap<String, u64> {
    let made: BTreeSet<DatasetName> =
        view.graph.steps().flat_map(|(pipeline, step)| graph::outputs(pipeline, step)).collect();
    let is_meant = |name: &str| match name.parse::<DatasetName>() {
        Ok(dataset) if dataset.is_raw() || dataset.is_quarantine() => false,
        Ok(dataset) => made.contains(&dataset) || !view.broken.is_empty(),
        Err(_) => false,
    };
    let known = memory.datasets.iter().filter_map(|(name, head)| Some((name, head.watermark?)));
    let behind = |at: Timestamp| u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default();
    known.filter(|(name, _)| is_meant(name)).map(|(name, at)| (name.clone(), behind(at))).collect()
}

/// From when on a pipeline is watched: what was before its schedule was known is not missed.
pub(crate) fn knows(memory: &mut Memory, view: &View<'_>, now: Timestamp) {
    /// A pipeline that is not there may come back.
    const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);
    const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(30);
    if memory.began == Timestamp::UNIX_EPOCH {
        memory.began = now;
    }
    for pipeline in view.graph.pipelines() {
        let schedule = pipeline.schedule.as_ref().map(ToString::to_string).unwrap_or_default();
        let known = memory.pipelines.entry(pipeline.name.to_string()).or_default();
        if known.since == Timestamp::UNIX_EPOCH || known.schedule != schedule {
            (known.since, known.schedule) = (now, schedule);
        }
        // not at each look: nothing would have to be kept but that
        if now.duration_since(known.seen_at) >= SEEN_EVERY {
            known.seen_at = now;
        }
    }
    memory
        .pipelines
        .retain(|name, known| view.knows(name) || now.duration_since(known.since.max(known.seen_at)) < KEPT);
}

/// Takes note of events that the platform has given up, before anything else is done about them.
///
/// # Errors
/// As [`tick`]; the same events again are harmless.
pub fn note(context: &Context<'_>, view: &View<'_>, given_up: &[GivenUp]) -> Result<(), Failure> {
    let now = (context.clock)();
    for _ in 0..ATTEMPTS {
        let (mut memory, seen) = look::memory(context.lake)?;
        for event in given_up {
            given_up::note(&mut memory, view, event, now);
        }
        if context.lake.put_watcher(written(&memory)?, seen.as_ref())? {
            return Ok(());
        }
    }
    Err(Failure::new(Kind::Retry, "the state of the watcher is changed by others all the time").hint("send it again"))
}

pub(crate) fn written(memory: &Memory) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(memory)
        .map_err(|error| Failure::new(Kind::Bug, "the state of the watcher cannot be written").because(error))
}

#[cfg(test)]
mod tests {
    use tidemark_flow::{Broken, Output, Status};

    use super::*;
    use crate::judge::graph;
    use crate::memory::run;

    /// A commit of each dataset, complete up to a moment.
    fn commits(memory: &mut Memory, minute: i64, version: i64, watermark: Option<&str>) {
        let output = |dataset: &str, partitions: u64| Output {
            version: Some(version),
            watermark: watermark.map(|at| at.parse().unwrap()),
            ..Output::of(dataset, partitions)
        };
        for (step, outputs) in [
            ("ingest", vec![output("orders.raw", 1)]),
            ("clean", vec![Output { watermark: None, ..output("orders.quarantine", 1) }, output("orders", 1)]),
            // which only has moved on
            ("model totals", vec![output("totals", 0)]),
        ] {
            memory.take_in(&tidemark_flow::RunRecord { outputs, ..run(step, minute, Status::Done) }, None, &[]);
        }
    }

    fn told(memory: &Memory, graph: &tidemark_pipeline::Graph, broken: &[Broken]) -> Vec<(String, u64)> {
        let now = "2026-03-03T09:00:00Z".parse().unwrap();
        lags(memory, &View { graph, broken, arguments: String::new() }, now).into_iter().collect()
    }

    #[test]
    fn a_dataset_is_behind_the_clock_by_what_its_runs_have_said() {
        let (graph, mut memory) = (graph(""), Memory::default());
        let both = |seconds: u64| vec![("orders".to_owned(), seconds), ("totals".to_owned(), seconds)];
        assert_eq!(told(&memory, &graph, &[]), []);
        commits(&mut memory, 0, 0, None);
        assert_eq!(told(&memory, &graph, &[]), []);
        commits(&mut memory, 1, 1, Some("2026-03-03T08:00:00Z"));
        assert_eq!(told(&memory, &graph, &[]), both(3_600));
        commits(&mut memory, 2, 2, Some("2026-03-03T08:59:59Z"));
        assert_eq!(told(&memory, &graph, &[]), both(1));
        // somebody who died before he could say so has committed
        memory.finds("orders", 3, "2026-03-03T08:02:45Z".parse().unwrap());
        assert_eq!(told(&memory, &graph, &[]), both(1));
        // what is kept of it is the same after it has been written and read
        let again: Memory = serde_json::from_slice(&written(&memory).unwrap()).unwrap();
        assert_eq!(told(&again, &graph, &[]), both(1));
        // a watermark that is still to come
        commits(&mut memory, 3, 4, Some("2026-03-03T10:00:00Z"));
        assert_eq!(told(&memory, &graph, &[]), both(0));
        // made anew, it begins anew
        commits(&mut memory, 4, 0, Some("2026-03-03T07:00:00Z"));
        assert_eq!(told(&memory, &graph, &[]), both(7_200));
    }

    #[test]
    fn what_is_behind_goes_on_being_so_while_its_file_is_broken() {
        let mut memory = Memory::default();
        commits(&mut memory, 1, 1, Some("2026-03-03T08:00:00Z"));
        let none = tidemark_pipeline::Graph::new(Vec::new()).unwrap();
        assert_eq!(told(&memory, &none, &[]), [], "it is gone");
        let failure = Failure::new(Kind::Definition, "a mistake");
        let broken = Broken { pipeline: "orders".into(), failure, alerts: None, is_consequence: false };
        assert_eq!(told(&memory, &none, &[broken]).len(), 2);
    }
}
