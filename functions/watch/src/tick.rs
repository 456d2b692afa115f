//! One look at everything: read what is new, judge, keep incidents, help, tell, remember. Whatever fails on the way, or kills the watcher,
//! the next tick comes to the same: what has been read is remembered last.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_flow::{Bus, Context, DeadLetter, Error, ErrorKind};
use tidemark_lake::WatchListing;
use tidemark_pipeline::{DatasetName, graph};

use crate::channel::Channels;
use crate::collect::News;
use crate::evaluate::{LakeSnapshot, findings, stuck};
use crate::incident::{Finding, Incident};
use crate::incident_store::{IncidentStore, StoredIncident};
use crate::outbox::{Deliveries, notify};
use crate::remediate::remediate;
use crate::silence::Silences;
use crate::watch_state::WatchState;
use crate::wording::title;
use crate::{collect, dead_letter};

/// What a tick has seen and done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TickReport {
    /// There is more to read than one look can: of what is open or untold it does not know.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_part: bool,
    pub pipelines: usize,
    /// Run records that were new.
    pub records: usize,
    pub opened: Vec<IncidentChange>,
    pub resolved: Vec<IncidentChange>,
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
pub struct IncidentChange {
    pub incident: String,
    /// What is or was wrong, in one line.
    pub title: String,
}

impl IncidentChange {
    fn from_incident(incident: &Incident) -> IncidentChange {
        IncidentChange { incident: incident.id(), title: title(&incident.finding) }
    }
}

impl TickReport {
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
    view: &LakeSnapshot<'_>,
    bus: &dyn Bus,
    channels: &Channels<'_>,
    chain: &str,
) -> Result<TickReport, Error> {
    let now = (context.clock)();
    let lake = context.lake;
    let watched = lake.watched()?;
    let (mut state, seen) = collect::read_state(lake)?;
    let before = state.clone();
    knows(&mut state, view, now);
    let (marks, mut forgotten) = collect::marks(lake, &watched.running)?;
    let News { moved, records, is_part } = collect::news(context, &mut state, view, &marks, now)?;
    let mut ticked = TickReport { pipelines: view.graph.pipelines().len(), records, ..TickReport::default() };
    if is_part {
        // by what is of long ago nothing is judged
        lake.put_watcher(written(&state)?, seen.as_ref())?;
        ticked.is_part = true;
        return Ok(ticked);
    }
    forgotten.extend(collect::silent(&mut state, &marks, now));
    collect::heads(context, &mut state, view, &moved, now);
    ticked.lag_seconds = lags(&state, view, now);
    let found = findings(&state, view, now);
    let unhelped = state.clone();
    let due = remediate(&mut state, view, now, chain);
    let announced = bus.announce(&due);
    match &announced {
        Ok(()) => ticked.announced = due.len(),
        // all the rest is seen and told all the same
        Err(_) => state = unhelped,
    }
    reconcile(context, view, channels, &watched, &mut state, found, now, &mut ticked)?;
    if state != before {
        let json = written(&state)?;
        // another watcher was faster: what it has not seen of ours, the next tick sees again
        if !lake.put_watcher(json, seen.as_ref())? {
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
fn reconcile(
    context: &Context<'_>,
    view: &LakeSnapshot<'_>,
    channels: &Channels<'_>,
    watched: &WatchListing,
    state: &mut WatchState,
    found: Vec<Finding>,
    now: Timestamp,
    ticked: &mut TickReport,
) -> Result<(), Error> {
    let silences = Silences::read(context.lake, &watched.silences, now)?;
    let register = IncidentStore { context, view, silences: &silences, stuck: stuck(state, view, &found), now };
    let mut found: BTreeMap<String, Finding> =
        found.into_iter().map(|finding| (tidemark_lake::incident_name(&finding.key()), finding)).collect();
    let mut letters = Deliveries::default();
    let mut names: BTreeMap<String, Option<String>> = found.keys().map(|name| (name.clone(), None)).collect();
    names.extend(watched.incidents.iter().map(|(name, tag)| (name.clone(), Some(tag.clone()))));
    state.at_rest.retain(|name, _| names.contains_key(name));
    for (name, tag) in names {
        let finding = found.remove(&name);
        let is_at_rest = tag.is_some() && state.at_rest.get(&name) == tag.as_ref();
        if is_at_rest && finding.is_none() {
            continue;
        }
        state.at_rest.remove(&name);
        let Some(kept) = register.store(&name, finding, state)? else {
            // damaged, and nothing is wrong: it is opened anew when something is
            state.at_rest.extend(tag.map(|tag| (name, tag)));
            continue;
        };
        match &kept {
            StoredIncident { incident, was_open: false, .. } if incident.is_open() => {
                ticked.opened.push(IncidentChange::from_incident(incident))
            }
            StoredIncident { incident, was_open: true, .. } if !incident.is_open() => {
                ticked.resolved.push(IncidentChange::from_incident(incident))
            }
            _ => {}
        }
        ticked.open += usize::from(kept.incident.is_open());
        if let (true, Some(tag)) = (kept.incident.is_at_rest(now), tag.filter(|_| !kept.is_changed)) {
            state.at_rest.insert(name.clone(), tag);
        }
        letters.add(&register, name, kept);
    }
    (ticked.told, ticked.untold) = notify(&register, channels, letters)?;
    silences.clear(context.lake)?;
    Ok(())
}

/// How far datasets are behind the clock; not those of pipelines that are gone. Of one whose file is broken nobody knows which are its own.
fn lags(state: &WatchState, view: &LakeSnapshot<'_>, now: Timestamp) -> BTreeMap<String, u64> {
    let made: BTreeSet<DatasetName> =
        view.graph.steps().flat_map(|(pipeline, step)| graph::outputs(pipeline, step)).collect();
    let is_meant = |name: &str| match name.parse::<DatasetName>() {
        Ok(dataset) if dataset.is_raw() || dataset.is_quarantine() => false,
        Ok(dataset) => made.contains(&dataset) || !view.broken.is_empty(),
        Err(_) => false,
    };
    let known = state.datasets.iter().filter_map(|(name, head)| Some((name, head.watermark?)));
    let behind = |at: Timestamp| u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default();
    known.filter(|(name, _)| is_meant(name)).map(|(name, at)| (name.clone(), behind(at))).collect()
}

/// From when on a pipeline is watched: what was before its schedule was known is not missed.
pub(crate) fn knows(state: &mut WatchState, view: &LakeSnapshot<'_>, now: Timestamp) {
    /// A pipeline that is not there may come back.
    const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);
    const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(30);
    if state.began == Timestamp::UNIX_EPOCH {
        state.began = now;
    }
    for pipeline in view.graph.pipelines() {
        let schedule = pipeline.schedule.as_ref().map(ToString::to_string).unwrap_or_default();
        let known = state.pipelines.entry(pipeline.name.to_string()).or_default();
        if known.since == Timestamp::UNIX_EPOCH || known.schedule != schedule {
            (known.since, known.schedule) = (now, schedule);
        }
        // not at each look: nothing would have to be kept but that
        if now.duration_since(known.seen_at) >= SEEN_EVERY {
            known.seen_at = now;
        }
    }
    state.pipelines.retain(|name, known| view.knows(name) || now.duration_since(known.since.max(known.seen_at)) < KEPT);
}

/// Takes note of events that the platform has given up, before anything else is done about them.
///
/// # Errors
/// As [`tick`]; the same events again are harmless.
pub fn note(context: &Context<'_>, view: &LakeSnapshot<'_>, given_up: &[DeadLetter]) -> Result<(), Error> {
    let now = (context.clock)();
    for _ in 0..ATTEMPTS {
        let (mut state, seen) = collect::read_state(context.lake)?;
        for event in given_up {
            dead_letter::note(&mut state, view, event, now);
        }
        if context.lake.put_watcher(written(&state)?, seen.as_ref())? {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Retry, "the state of the watcher is changed by others all the time")
        .hint("send it again"))
}

pub(crate) fn written(state: &WatchState) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(state)
        .map_err(|error| Error::new(ErrorKind::Bug, "the state of the watcher cannot be written").because(error))
}

#[cfg(test)]
mod tests {
    use tidemark_flow::{BrokenPipeline, Output, Status};

    use super::*;
    use crate::evaluate::graph;
    use crate::watch_state::run;

    /// A commit of each dataset, complete up to a moment.
    fn commits(state: &mut WatchState, minute: i64, version: i64, watermark: Option<&str>) {
        let output = |dataset: &str, partitions: u64| Output {
            version: Some(version),
            watermark: watermark.map(|at| at.parse().unwrap()),
            ..Output::new(dataset, partitions)
        };
        for (step, outputs) in [
            ("ingest", vec![output("orders.raw", 1)]),
            ("clean", vec![Output { watermark: None, ..output("orders.quarantine", 1) }, output("orders", 1)]),
            // which only has moved on
            ("model totals", vec![output("totals", 0)]),
        ] {
            state.take_in(&tidemark_flow::RunRecord { outputs, ..run(step, minute, Status::Done) }, None, &[]);
        }
    }

    fn told(state: &WatchState, graph: &tidemark_pipeline::Graph, broken: &[BrokenPipeline]) -> Vec<(String, u64)> {
        let now = "2026-03-03T09:00:00Z".parse().unwrap();
        lags(state, &LakeSnapshot { graph, broken, arguments: String::new() }, now).into_iter().collect()
    }

    #[test]
    fn a_dataset_is_behind_the_clock_by_what_its_runs_have_said() {
        let (graph, mut state) = (graph(""), WatchState::default());
        let both = |seconds: u64| vec![("orders".to_owned(), seconds), ("totals".to_owned(), seconds)];
        assert_eq!(told(&state, &graph, &[]), []);
        commits(&mut state, 0, 0, None);
        assert_eq!(told(&state, &graph, &[]), []);
        commits(&mut state, 1, 1, Some("2026-03-03T08:00:00Z"));
        assert_eq!(told(&state, &graph, &[]), both(3_600));
        commits(&mut state, 2, 2, Some("2026-03-03T08:59:59Z"));
        assert_eq!(told(&state, &graph, &[]), both(1));
        // somebody who died before he could say so has committed
        state.finds("orders", 3, "2026-03-03T08:02:45Z".parse().unwrap());
        assert_eq!(told(&state, &graph, &[]), both(1));
        // what is kept of it is the same after it has been written and read
        let again: WatchState = serde_json::from_slice(&written(&state).unwrap()).unwrap();
        assert_eq!(told(&again, &graph, &[]), both(1));
        // a watermark that is still to come
        commits(&mut state, 3, 4, Some("2026-03-03T10:00:00Z"));
        assert_eq!(told(&state, &graph, &[]), both(0));
        // made anew, it begins anew
        commits(&mut state, 4, 0, Some("2026-03-03T07:00:00Z"));
        assert_eq!(told(&state, &graph, &[]), both(7_200));
    }

    #[test]
    fn what_is_behind_goes_on_being_so_while_its_file_is_broken() {
        let mut state = WatchState::default();
        commits(&mut state, 1, 1, Some("2026-03-03T08:00:00Z"));
        let none = tidemark_pipeline::Graph::new(Vec::new()).unwrap();
        assert_eq!(told(&state, &none, &[]), [], "it is gone");
        let failure = Error::new(ErrorKind::Definition, "a mistake");
        let broken = BrokenPipeline { pipeline: "orders".into(), failure, alerts: None, is_consequence: false };
        assert_eq!(told(&state, &none, &[broken]).len(), 2);
    }
}
