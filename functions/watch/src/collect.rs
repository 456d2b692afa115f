//! Collects the watcher's input from the lake: new run records, heartbeats of running steps, and the logs of the datasets of pipelines with
//! changes. Something unreadable does not hide anything else.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Error, ErrorKind, Heartbeat, RunRecord, is_behind};
use tidemark_lake::{Lake, LakeError, ObjectVersion};
use tidemark_pipeline::{DatasetName, Pipeline, StepId, graph};

use crate::evaluate::LakeSnapshot;
use crate::step_key::StepKey;
use crate::watch_state::{SILENT_FOR, UnreadableRecord, WatchState};

/// Run records are listed by id, that is by the start of the run, but written at its end. So a record may appear this much later than one
/// with a later id. A run that takes longer writes heartbeats.
const MAX_RECORD_DELAY: SignedDuration = SignedDuration::from_mins(20);
/// How far back run records are read by a watcher without state, and by one that has not run for a long time.
const FIRST_LOOKBACK: SignedDuration = SignedDuration::from_hours(48);
const MAX_LOOKBACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// If no new record has been found for this long, the start of the listing moves forward, so that the listing does not grow without limit.
const IDLE: SignedDuration = SignedDuration::from_hours(1);
/// Maximum number of run records read in one tick.
const MAX_RECORDS_PER_TICK: usize = 5_000;
/// Maximum difference assumed between the clocks of two machines.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);
/// How many pipelines have their logs checked in each tick although no change is known, and the limit for pipelines that have never been
/// checked.
const ROUTINE_CHECKS: usize = 2;
const MAX_FIRST_CHECKS: usize = 5;
/// Minimum time between two such checks of a pipeline. They find commits by a process that died before it could write its run record.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// The result of reading new run records.
pub struct NewRecords {
    /// Pipelines with new records.
    pub changed_pipelines: BTreeSet<String>,
    /// Number of new records.
    pub records: usize,
    /// There are more records than one tick reads, so the state is not up to date yet.
    pub is_part: bool,
}

/// Reads new run records and applies them to the state.
pub fn read_new_records(
    context: &Context<'_>,
    state: &mut WatchState,
    snapshot: &LakeSnapshot<'_>,
    heartbeats: &[Heartbeat],
    now: Timestamp,
) -> Result<NewRecords, Error> {
    let first = if state.read_until == Timestamp::UNIX_EPOCH { now - FIRST_LOOKBACK } else { state.read_until };
    let from = (first - MAX_RECORD_DELAY).max(now - MAX_LOOKBACK);
    let mut ids = Vec::new();
    for day in days(day_of(from), day_of(now + CLOCK_SKEW)) {
        ids.extend(context.lake.run_ids_on_day(day, &run_id_prefix(from))?.into_iter().map(|run_id| (day, run_id)));
    }
    // also records of long runs, even if their heartbeat has been deleted by now, and records that could not be read before
    heartbeats.iter().for_each(|heartbeat| state.record_heartbeat(heartbeat, now));
    let long = state.heartbeats.iter().map(|(run_id, seen)| (day_of(seen.heartbeat.started_at), run_id.clone()));
    let again = state.unreadable.iter().map(|(run_id, unreadable)| (unreadable.day, run_id.clone()));
    ids.extend(long.chain(again));
    ids.sort_by(|a, b| a.1.cmp(&b.1));
    ids.dedup();
    ids.retain(|(_, run_id)| !state.read.contains(run_id));
    let is_part = ids.len() > MAX_RECORDS_PER_TICK;
    ids.truncate(MAX_RECORDS_PER_TICK);
    let mut changed_pipelines = BTreeSet::new();
    let mut taken = 0;
    for ((day, run_id), found) in ids.iter().zip(context.lake.runs_by_id(&ids)) {
        let record = match found.map_err(Error::from) {
            // not written yet, or deleted
            Ok(None) => {
                state.unreadable.remove(run_id);
                continue;
            }
            Ok(Some(bytes)) => serde_json::from_slice::<RunRecord>(&bytes).map_err(|error| error.to_string()),
            // the store is down, so the other records cannot be read either
            Err(error) if error.kind == ErrorKind::Retry => return Err(error),
            Err(error) => Err(error.full_message()),
        };
        match record {
            Ok(mut record) => {
                // an older version of this program did not write the scheduled time
                if record.scheduled_time == Timestamp::UNIX_EPOCH {
                    record.scheduled_time = record.started_at;
                }
                let allowed = snapshot.alerts(&record.pipeline).and_then(|alerts| alerts.max_quarantined);
                state.apply_record(&record, allowed, &inputs(snapshot, &record));
                state.unreadable.remove(run_id);
                changed_pipelines.insert(record.pipeline);
                state.read.insert(run_id.clone());
                taken += 1;
            }
            Err(why) => {
                state.unreadable.entry(run_id.clone()).or_insert(UnreadableRecord { day: *day, since: now, why });
            }
        }
        state.read_until = state.read_until.max(time_of_run_id(run_id).unwrap_or_default().min(now));
    }
    state.read_until = state.read_until.max(first);
    // if nothing runs, do not list the same old records again and again
    if !is_part && now.duration_since(state.read_until) > IDLE {
        state.read_until = now - CLOCK_SKEW;
    }
    state.heartbeats.retain(|_, seen| now.duration_since(seen.seen_at) < MAX_RECORD_DELAY);
    let oldest = run_id_prefix(state.read_until - MAX_RECORD_DELAY - MAX_RECORD_DELAY);
    let under_way: BTreeSet<&str> = heartbeats.iter().map(|heartbeat| heartbeat.run_id.as_str()).collect();
    state.read.retain(|run_id| *run_id > oldest || under_way.contains(run_id.as_str()));
    Ok(NewRecords { changed_pipelines, records: taken, is_part })
}

/// The datasets that the step of a record reads.
fn inputs(snapshot: &LakeSnapshot<'_>, record: &RunRecord) -> Vec<DatasetName> {
    let step = record.step.step().zip(snapshot.pipeline(&record.pipeline));
    step.map(|(step, pipeline)| graph::inputs(pipeline, step)).unwrap_or_default()
}

/// Reads heartbeats. Also returns the ids of unreadable ones; a run that is still alive writes its heartbeat again.
pub fn read_heartbeats(lake: &Lake, running: &[String]) -> Result<(Vec<Heartbeat>, Vec<String>), Error> {
    let (mut heartbeats, mut damaged) = (Vec::new(), Vec::new());
    for run_id in running {
        // deleted meanwhile
        let Some(bytes) = lake.running(run_id)? else { continue };
        match serde_json::from_slice::<Heartbeat>(&bytes) {
            Ok(heartbeat) if heartbeat.run_id == *run_id => heartbeats.push(heartbeat),
            _ => damaged.push(run_id.clone()),
        }
    }
    Ok((heartbeats, damaged))
}

/// Records runs whose heartbeat is overdue. Returns the ids of heartbeats that are no longer needed.
pub fn note_silent_runs(state: &mut WatchState, heartbeats: &[Heartbeat], now: Timestamp) -> Vec<String> {
    let mut done = Vec::new();
    for heartbeat in heartbeats {
        let is_over = state.read.contains(&heartbeat.run_id);
        let is_silent = now.duration_since(heartbeat.alive_at) >= SILENT_FOR;
        if is_silent && !is_over {
            state.record_lost_run(heartbeat);
        }
        if is_silent || is_over {
            done.push(heartbeat.run_id.clone());
        }
    }
    done
}

/// Updates for each step whether its inputs are ahead of it. For pipelines with changes the run records decide. The logs are read where the
/// records do not show that a step is up to date, and for some other pipelines in turn.
pub fn check_inputs(
    context: &Context<'_>,
    state: &mut WatchState,
    snapshot: &LakeSnapshot<'_>,
    changed: &BTreeSet<String>,
    now: Timestamp,
) {
    let due_pipelines = due_for_check(state, snapshot, now);
    for pipeline in snapshot.graph.pipelines() {
        let name = pipeline.name.to_string();
        let trusts_records = !due_pipelines.contains(&name) && !is_known_behind(state, snapshot, pipeline);
        if trusts_records && !changed.contains(&name) && !reads_changed(snapshot, pipeline, changed) {
            continue;
        }
        // outputs of steps that are behind or unobservable: steps that read them wait, and are checked when the outputs are there
        let mut late: Vec<DatasetName> = Vec::new();
        let mut is_seen = true;
        for step in snapshot.graph.steps_of(&pipeline.name) {
            let key = StepKey::new(pipeline, step);
            if graph::inputs(pipeline, step).iter().any(|input| late.contains(input)) {
                late.extend(graph::outputs(pipeline, step));
                continue;
            }
            let behind = match step {
                StepId::Ingest => continue,
                StepId::Load(_) if trusts_records => Ok(load_is_behind(state, pipeline, step)),
                StepId::Load(_) => update_heads(context.lake, state, pipeline, step, now)
                    .map(|()| load_is_behind(state, pipeline, step)),
                StepId::Clean | StepId::Model(_) if trusts_records && has_caught_up(state, pipeline, step) => Ok(false),
                StepId::Clean | StepId::Model(_) => is_behind(context.lake, pipeline, step),
            };
            match behind {
                Ok(is_behind) => {
                    if is_behind {
                        late.extend(graph::outputs(pipeline, step));
                    }
                    if is_behind || state.steps.contains_key(&key) {
                        state.step_mut(&key).record_lag(is_behind, now);
                    }
                }
                Err(error) if error.kind == ErrorKind::Retry => {
                    tracing::warn!(pipeline = name, %step, error = error.full_message(), "not read yet");
                    is_seen = false;
                    break;
                }
                Err(error) => {
                    late.extend(graph::outputs(pipeline, step));
                    state.step_mut(&key).record_unobservable(&error, now);
                }
            }
        }
        // a pipeline that could not be observed is checked again in the next tick
        let checked_at = if is_seen { now } else { Timestamp::UNIX_EPOCH };
        state.pipelines.entry(name).or_default().checked_at = checked_at;
    }
}

/// Whether a step of the pipeline is known to be behind, or was unobservable.
fn is_known_behind(state: &WatchState, snapshot: &LakeSnapshot<'_>, pipeline: &Pipeline) -> bool {
    let mut steps = snapshot.graph.steps_of(&pipeline.name);
    steps.any(|step| {
        let last = state.steps.get(&StepKey::new(pipeline, step));
        last.is_some_and(|last| last.behind_since.is_some() || last.unobservable.is_some())
    })
}

/// Whether the pipeline reads a dataset of a pipeline with changes.
fn reads_changed(snapshot: &LakeSnapshot<'_>, pipeline: &Pipeline, changed: &BTreeSet<String>) -> bool {
    if changed.is_empty() {
        return false;
    }
    let inputs = snapshot.graph.steps_of(&pipeline.name).flat_map(|step| graph::inputs(pipeline, step));
    inputs
        .filter_map(|input| snapshot.graph.producer(&input))
        .any(|(producer, _)| changed.contains(producer.name.as_str()))
}

/// The pipelines whose routine check is due.
fn due_for_check(state: &WatchState, snapshot: &LakeSnapshot<'_>, now: Timestamp) -> BTreeSet<String> {
    let checked_at = |pipeline: &Pipeline| {
        state.pipelines.get(pipeline.name.as_str()).map_or(Timestamp::UNIX_EPOCH, |known| known.checked_at)
    };
    let due = |pipeline: &&Pipeline| now.duration_since(checked_at(pipeline)) >= RECHECK_AFTER;
    let mut due: Vec<&Pipeline> = snapshot.graph.pipelines().iter().filter(due).collect();
    due.sort_by_key(|pipeline| checked_at(pipeline));
    let never = due.iter().take_while(|pipeline| checked_at(pipeline) == Timestamp::UNIX_EPOCH).count();
    due.iter().take(never.clamp(ROUTINE_CHECKS, MAX_FIRST_CHECKS)).map(|pipeline| pipeline.name.to_string()).collect()
}

/// Whether the records show that a step has consumed the current versions of its inputs.
fn has_caught_up(state: &WatchState, pipeline: &Pipeline, step: &StepId) -> bool {
    let last = state.steps.get(&StepKey::new(pipeline, step));
    graph::inputs(pipeline, step).iter().all(|input| {
        let has = last.and_then(|last| last.consumed.get(input.as_str()));
        has.zip(state.datasets.get(input.as_str())).is_some_and(|(has, head)| *has == head.latest)
    })
}

/// Updates the known versions of a step's inputs, including versions committed by a process that died before it could write its run record.
fn update_heads(
    lake: &Lake,
    state: &mut WatchState,
    pipeline: &Pipeline,
    step: &StepId,
    now: Timestamp,
) -> Result<(), Error> {
    for input in graph::inputs(pipeline, step) {
        if let Some(table) = lake.table(&input)? {
            state.record_version(input.as_str(), table.version(), now);
        }
    }
    Ok(())
}

/// Whether a load is behind, according to the versions it consumed in its run records. Only the load itself knows the state of its target.
fn load_is_behind(state: &WatchState, pipeline: &Pipeline, step: &StepId) -> bool {
    let last = state.steps.get(&StepKey::new(pipeline, step));
    graph::inputs(pipeline, step).iter().any(|input| {
        let has = last.and_then(|last| last.consumed.get(input.as_str())).copied();
        let head = state.datasets.get(input.as_str()).filter(|head| head.version >= 0);
        head.is_some_and(|head| has.is_none_or(|has| has < head.version))
    })
}

/// Reads the watcher's state. If it is missing or damaged, an empty state is returned, which is rebuilt from the run records.
pub fn read_state(lake: &Lake) -> Result<(WatchState, Option<ObjectVersion>), LakeError> {
    let Some((bytes, seen)) = lake.watcher()? else { return Ok((WatchState::default(), None)) };
    let state = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "the state of the watcher cannot be read; it is rebuilt");
        WatchState::default()
    });
    Ok((state, Some(seen)))
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn days(from: Date, to: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(from), |day| day.tomorrow().ok()).take_while(move |day| *day <= to)
}

/// The prefix of the ids of runs that started at this time.
fn run_id_prefix(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S").to_string()
}

/// Parses the start of a run from its id.
fn time_of_run_id(run_id: &str) -> Option<Timestamp> {
    let text = run_id.get(..15)?;
    let local = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", text).ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
