//! One look at everything: read what is new, judge, keep incidents, help, tell, remember. Whatever fails on the way, or kills the watcher,
//! the next tick comes to the same: what has been read is remembered last.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tidemark_flow::{Bus, Failure, GivenUp, Kind, Ports};
use tidemark_lake::Watched;
use tidemark_pipeline::Graph;

use crate::channel::Channels;
use crate::help::help;
use crate::incident::{Finding, Incident};
use crate::judge::{View, findings};
use crate::keep::{Kept, Register, is_of_the_step, step_of};
use crate::memory::{Memory, Stray};
use crate::silence::Silences;
use crate::tell::{Letters, tell};
use crate::wording::title;
use crate::{given_up, look};

/// What a tick has seen and done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ticked {
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
    ports: &Ports<'_>,
    view: &View<'_>,
    bus: &dyn Bus,
    channels: &Channels<'_>,
    chain: &str,
) -> Result<Ticked, Failure> {
    let now = (ports.clock)();
    let lake = ports.lake;
    let watched = lake.watched()?;
    let (mut memory, seen) = look::memory(lake)?;
    let before = memory.clone();
    knows(&mut memory, view.graph, now);
    let marks = look::marks(lake, &watched.running)?;
    let (moved, records) = look::news(ports, &mut memory, view, &marks, now)?;
    let forgotten = look::silent(&mut memory, &marks, now);
    let troubles = look::heads(ports, &mut memory, view, &moved, now);
    let mut found = findings(&memory, view, now);
    found.extend(troubles);
    let due = help(&mut memory, view, now, chain);
    let mut ticked =
        Ticked { pipelines: view.graph.pipelines().len(), records, announced: due.len(), ..Ticked::default() };
    settle(ports, view, channels, &watched, &mut memory, found, now, &mut ticked)?;
    bus.announce(&due)?;
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
    Ok(ticked)
}

/// Keeps what was found as incidents, and tells of them.
#[expect(clippy::too_many_arguments, reason = "one tick has so many parts")]
fn settle(
    ports: &Ports<'_>,
    view: &View<'_>,
    channels: &Channels<'_>,
    watched: &Watched,
    memory: &mut Memory,
    found: Vec<Finding>,
    now: Timestamp,
    ticked: &mut Ticked,
) -> Result<(), Failure> {
    let silences = Silences::read(ports.lake, &watched.silences, now)?;
    let stuck = found.iter().filter(|finding| is_of_the_step(finding)).map(step_of).collect();
    let register = Register { ports, view, silences: &silences, stuck, now };
    let mut found: BTreeMap<String, Finding> = found.into_iter().map(|finding| (finding.key(), finding)).collect();
    let mut letters = Letters::default();
    let mut keys: Vec<(String, Option<String>)> = Vec::new();
    for (name, tag) in &watched.incidents {
        keys.push((name.clone(), Some(tag.clone())));
    }
    let is_known = |key: &String| watched.incidents.iter().any(|(name, _)| *name == tidemark_lake::incident_name(key));
    keys.extend(found.keys().filter(|key| !is_known(key)).map(|key| (tidemark_lake::incident_name(key), None)));
    for (name, tag) in keys {
        let finding =
            found.iter().find(|(key, _)| tidemark_lake::incident_name(key) == name).map(|(key, _)| key.clone());
        let finding = finding.and_then(|key| found.remove(&key));
        let is_at_rest = tag.is_some() && memory.at_rest.get(&name) == tag.as_ref();
        if is_at_rest && finding.is_none() {
            continue;
        }
        memory.at_rest.remove(&name);
        let Some(kept) = register.keep(&name, finding, memory)? else { continue };
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
    Ok(())
}

/// From when on a pipeline is watched: what was before its schedule was known is not missed.
pub(crate) fn knows(memory: &mut Memory, graph: &Graph, now: Timestamp) {
    for pipeline in graph.pipelines() {
        let schedule = pipeline.schedule.as_ref().map(ToString::to_string).unwrap_or_default();
        let known = memory.pipelines.entry(pipeline.name.to_string()).or_default();
        if known.since == Timestamp::UNIX_EPOCH || known.schedule != schedule {
            (known.since, known.schedule) = (now, schedule);
        }
    }
    let is_there = |name: &str| graph.pipelines().iter().any(|pipeline| pipeline.name.as_str() == name);
    memory.pipelines.retain(|name, known| is_there(name) || now.duration_since(known.since).as_hours() < 24 * 30);
}

/// Takes note of events that the platform has given up, before anything else is done about them.
///
/// # Errors
/// As [`tick`]; the same events again are harmless.
pub fn note(ports: &Ports<'_>, given_up: &[GivenUp]) -> Result<(), Failure> {
    let now = (ports.clock)();
    for _ in 0..ATTEMPTS {
        let (mut memory, seen) = look::memory(ports.lake)?;
        for event in given_up {
            given_up::note(&mut memory, event, now);
        }
        if ports.lake.put_watcher(written(&memory)?, seen.as_ref())? {
            return Ok(());
        }
    }
    Err(Failure::new(Kind::Retry, "the state of the watcher is changed by others all the time").hint("send it again"))
}

pub(crate) fn written(memory: &Memory) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(memory)
        .map_err(|error| Failure::new(Kind::Bug, "the state of the watcher cannot be written").because(error))
}

impl Stray {
    pub(crate) fn add(memory: &mut Memory, stray: Stray) {
        const KEPT: usize = 20;
        memory.strays.retain(|other| (&other.by, &other.why) != (&stray.by, &stray.why));
        memory.strays.push(stray);
        if memory.strays.len() > KEPT {
            memory.strays.remove(0);
        }
    }
}
