//! One tick of the watcher: collect new input, evaluate, remediate, update the incidents, notify, and store the state. The state is written
//! last, so if anything fails on the way, or the watcher is killed, the next tick comes to the same result.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_flow::{Bus, Context, DeadLetter, Error, ErrorKind};
use tidemark_lake::WatchListing;
use tidemark_pipeline::{DatasetName, graph};

use crate::channel::Channels;
use crate::collect::NewRecords;
use crate::evaluate::{LakeSnapshot, findings, stuck};
use crate::incident::{Finding, Incident};
use crate::incident_store::{IncidentStore, StoredIncident};
use crate::outbox::{Deliveries, notify};
use crate::remediate::remediate;
use crate::silence::Silences;
use crate::watch_state::WatchState;
use crate::wording::title;
use crate::{collect, dead_letter};

/// The report of a tick: what it found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TickReport {
    /// There were more run records than one tick reads, so open incidents and pending messages are unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_part: bool,
    pub pipelines: usize,
    /// Number of new run records.
    pub records: usize,
    pub opened: Vec<IncidentChange>,
    pub resolved: Vec<IncidentChange>,
    /// Number of open incidents.
    pub open: usize,
    /// Messages accepted by a channel; a digest counts as the messages it contains.
    #[serde(rename = "told")]
    pub sent: usize,
    /// Messages that could not be delivered, and will be sent again.
    #[serde(rename = "untold")]
    pub unsent: usize,
    /// Number of steps announced again.
    pub announced: usize,
    /// How many seconds each clean dataset and model is behind the clock. Only datasets whose runs have reported a watermark are included.
    pub lag_seconds: BTreeMap<String, u64>,
}

/// An incident that was opened or resolved.
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
    /// The JSON response of the function.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self)
    }
}

/// How often an update of the state is attempted if other watchers change it at the same time.
const ATTEMPTS: usize = 10;

/// Runs one tick.
///
/// # Errors
/// The lake cannot be read or written, or the bus accepts no announcements. What was done before remains valid, and the next tick does the
/// rest.
pub fn tick(
    context: &Context<'_>,
    snapshot: &LakeSnapshot<'_>,
    bus: &dyn Bus,
    channels: &Channels<'_>,
    correlation_id: &str,
) -> Result<TickReport, Error> {
    let now = (context.clock)();
    let lake = context.lake;
    let watched = lake.watched()?;
    let (mut state, seen) = collect::read_state(lake)?;
    let before = state.clone();
    update_pipelines(&mut state, snapshot, now);
    let (heartbeats, mut obsolete) = collect::read_heartbeats(lake, &watched.running)?;
    let NewRecords { changed_pipelines: changed, records, is_part } =
        collect::read_new_records(context, &mut state, snapshot, &heartbeats, now)?;
    let mut report = TickReport { pipelines: snapshot.graph.pipelines().len(), records, ..TickReport::default() };
    if is_part {
        // the state is not up to date yet, so do not evaluate it
        lake.put_watcher(serialized(&state)?, seen.as_ref())?;
        report.is_part = true;
        return Ok(report);
    }
    obsolete.extend(collect::note_silent_runs(&mut state, &heartbeats, now));
    collect::check_inputs(context, &mut state, snapshot, &changed, now);
    report.lag_seconds = lags(&state, snapshot, now);
    let found = findings(&state, snapshot, now);
    let before_remediation = state.clone();
    let due = remediate(&mut state, snapshot, now, correlation_id);
    let announced = bus.announce(&due);
    match &announced {
        Ok(()) => report.announced = due.len(),
        // continue with everything else, and fail at the end
        Err(_) => state = before_remediation,
    }
    reconcile(context, snapshot, channels, &watched, &mut state, found, now, &mut report)?;
    if state != before {
        let json = serialized(&state)?;
        // another watcher was faster: the next tick collects again what it has not seen
        if !lake.put_watcher(json, seen.as_ref())? {
            tracing::info!("another watcher ran at the same time");
            return Ok(report);
        }
    }
    for run_id in obsolete {
        lake.delete_running(&run_id)?;
    }
    announced.map(|()| report)
}

/// Updates the stored incidents from the findings, and sends notifications.
#[expect(clippy::too_many_arguments, reason = "one tick has so many parts")]
fn reconcile(
    context: &Context<'_>,
    snapshot: &LakeSnapshot<'_>,
    channels: &Channels<'_>,
    watched: &WatchListing,
    state: &mut WatchState,
    found: Vec<Finding>,
    now: Timestamp,
    report: &mut TickReport,
) -> Result<(), Error> {
    let silences = Silences::read(context.lake, &watched.silences, now)?;
    let store = IncidentStore { context, snapshot, silences: &silences, stuck: stuck(state, snapshot, &found), now };
    let mut found: BTreeMap<String, Finding> =
        found.into_iter().map(|finding| (tidemark_lake::incident_name(&finding.key()), finding)).collect();
    let mut deliveries = Deliveries::default();
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
        let Some(stored) = store.store(&name, finding, state)? else {
            // damaged, but there is no problem: it is opened again when there is one
            state.at_rest.extend(tag.map(|tag| (name, tag)));
            continue;
        };
        match &stored {
            StoredIncident { incident, was_open: false, .. } if incident.is_open() => {
                report.opened.push(IncidentChange::from_incident(incident))
            }
            StoredIncident { incident, was_open: true, .. } if !incident.is_open() => {
                report.resolved.push(IncidentChange::from_incident(incident))
            }
            _ => {}
        }
        report.open += usize::from(stored.incident.is_open());
        if let (true, Some(tag)) = (stored.incident.is_at_rest(now), tag.filter(|_| !stored.is_changed)) {
            state.at_rest.insert(name.clone(), tag);
        }
        deliveries.add(&store, name, stored);
    }
    (report.sent, report.unsent) = notify(&store, channels, deliveries)?;
    silences.clear(context.lake)?;
    Ok(())
}

/// The lag of each dataset behind the clock, without datasets that no pipeline writes any more. While a pipeline is broken its datasets are
/// unknown, so all are kept.
fn lags(state: &WatchState, snapshot: &LakeSnapshot<'_>, now: Timestamp) -> BTreeMap<String, u64> {
    let made: BTreeSet<DatasetName> =
        snapshot.graph.steps().flat_map(|(pipeline, step)| graph::outputs(pipeline, step)).collect();
    let is_selected = |name: &str| match name.parse::<DatasetName>() {
        Ok(dataset) if dataset.is_raw() || dataset.is_quarantine() => false,
        Ok(dataset) => made.contains(&dataset) || !snapshot.broken.is_empty(),
        Err(_) => false,
    };
    let known = state.datasets.iter().filter_map(|(name, head)| Some((name, head.watermark?)));
    let behind = |at: Timestamp| u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default();
    known.filter(|(name, _)| is_selected(name)).map(|(name, at)| (name.clone(), behind(at))).collect()
}

/// Updates the known pipelines, and since when each is watched. Scheduled times before its schedule was known do not count as missed.
pub(crate) fn update_pipelines(state: &mut WatchState, snapshot: &LakeSnapshot<'_>, now: Timestamp) {
    /// How long a removed pipeline is remembered, since it may come back.
    const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(24 * 30);
    const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(30);
    if state.began == Timestamp::UNIX_EPOCH {
        state.began = now;
    }
    for pipeline in snapshot.graph.pipelines() {
        let schedule = pipeline.schedule.as_ref().map(ToString::to_string).unwrap_or_default();
        let known = state.pipelines.entry(pipeline.name.to_string()).or_default();
        if known.since == Timestamp::UNIX_EPOCH || known.schedule != schedule {
            (known.since, known.schedule) = (now, schedule);
        }
        // not in each tick, since that would be the only reason to write the state
        if now.duration_since(known.seen_at) >= SEEN_EVERY {
            known.seen_at = now;
        }
    }
    state.pipelines.retain(|name, known| {
        snapshot.knows(name) || now.duration_since(known.since.max(known.seen_at)) < FORGET_AFTER
    });
}

/// Records dead letters in the state, before anything else is done about them.
///
/// # Errors
/// As [`tick`]. Recording the same events again is harmless.
pub fn record_dead_letters(
    context: &Context<'_>,
    snapshot: &LakeSnapshot<'_>,
    dead_letters: &[DeadLetter],
) -> Result<(), Error> {
    let now = (context.clock)();
    for _ in 0..ATTEMPTS {
        let (mut state, seen) = collect::read_state(context.lake)?;
        for event in dead_letters {
            dead_letter::record(&mut state, snapshot, event, now);
        }
        if context.lake.put_watcher(serialized(&state)?, seen.as_ref())? {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Retry, "the state of the watcher keeps being changed by other watchers")
        .hint("send it again"))
}

pub(crate) fn serialized(state: &WatchState) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(state)
        .map_err(|error| Error::new(ErrorKind::Bug, "the state of the watcher cannot be written").because(error))
}

#[cfg(test)]
mod tests {
    use tidemark_flow::{BrokenPipeline, Output, Status};

    use super::*;
    use crate::evaluate::graph;
    use crate::watch_state::run;

    /// One commit of each dataset, with a watermark.
    fn commits(state: &mut WatchState, minute: i64, version: i64, watermark: Option<&str>) {
        let output = |dataset: &str, partitions: u64| Output {
            version: Some(version),
            watermark: watermark.map(|at| at.parse().unwrap()),
            ..Output::new(dataset, partitions)
        };
        for (step, outputs) in [
            ("ingest", vec![output("orders.raw", 1)]),
            ("clean", vec![Output { watermark: None, ..output("orders.quarantine", 1) }, output("orders", 1)]),
            // only its watermark has advanced
            ("model totals", vec![output("totals", 0)]),
        ] {
            state.apply_record(&tidemark_flow::RunRecord { outputs, ..run(step, minute, Status::Done) }, None, &[]);
        }
    }

    fn lags_of(state: &WatchState, graph: &tidemark_pipeline::Graph, broken: &[BrokenPipeline]) -> Vec<(String, u64)> {
        let now = "2026-03-03T09:00:00Z".parse().unwrap();
        lags(state, &LakeSnapshot { graph, broken, arguments: String::new() }, now).into_iter().collect()
    }

    #[test]
    fn lag_is_computed_from_watermarks_of_runs() {
        let (graph, mut state) = (graph(""), WatchState::default());
        let both = |seconds: u64| vec![("orders".to_owned(), seconds), ("totals".to_owned(), seconds)];
        assert_eq!(lags_of(&state, &graph, &[]), []);
        commits(&mut state, 0, 0, None);
        assert_eq!(lags_of(&state, &graph, &[]), []);
        commits(&mut state, 1, 1, Some("2026-03-03T08:00:00Z"));
        assert_eq!(lags_of(&state, &graph, &[]), both(3_600));
        commits(&mut state, 2, 2, Some("2026-03-03T08:59:59Z"));
        assert_eq!(lags_of(&state, &graph, &[]), both(1));
        // Committed by a process that ended before it wrote its run record.
        state.record_version("orders", 3, "2026-03-03T08:02:45Z".parse().unwrap());
        assert_eq!(lags_of(&state, &graph, &[]), both(1));
        // the state survives serialization
        let again: WatchState = serde_json::from_slice(&serialized(&state).unwrap()).unwrap();
        assert_eq!(lags_of(&again, &graph, &[]), both(1));
        // a watermark in the future
        commits(&mut state, 3, 4, Some("2026-03-03T10:00:00Z"));
        assert_eq!(lags_of(&state, &graph, &[]), both(0));
        // a rebuilt dataset starts from its own watermark
        commits(&mut state, 4, 0, Some("2026-03-03T07:00:00Z"));
        assert_eq!(lags_of(&state, &graph, &[]), both(7_200));
    }

    #[test]
    fn lag_is_still_reported_while_a_pipeline_is_broken() {
        let mut state = WatchState::default();
        commits(&mut state, 1, 1, Some("2026-03-03T08:00:00Z"));
        let none = tidemark_pipeline::Graph::new(Vec::new()).unwrap();
        assert_eq!(lags_of(&state, &none, &[]), [], "it is gone");
        let error = Error::new(ErrorKind::Definition, "a mistake");
        let broken = BrokenPipeline { pipeline: "orders".into(), error, alerts: None, is_consequence: false };
        assert_eq!(lags_of(&state, &none, &[broken]).len(), 2);
    }
}
