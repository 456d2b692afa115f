//! Looks at the lake: at the run records that are new, at the runs that are under way, and at the logs of the datasets of pipelines in which
//! something has moved. What cannot be read hides nothing else.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Error, ErrorKind, Heartbeat, RunRecord, is_behind};
use tidemark_lake::{Lake, LakeError, ObjectVersion};
use tidemark_pipeline::{DatasetName, Pipeline, StepId, graph};

use crate::evaluate::LakeSnapshot;
use crate::step_key::StepKey;
use crate::watch_state::{SILENT_FOR, UnreadableDay, WatchState};

/// The record of a run is written at its end, its id is of its beginning: for so long a record may come later than one with a later id. What
/// lasts longer says so by a mark.
const LATE_BY: SignedDuration = SignedDuration::from_mins(20);
/// How far back a watcher looks that remembers nothing, and one that has been away.
const FIRST_LOOK: SignedDuration = SignedDuration::from_hours(48);
const LONGEST_LOOK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// For so long what is listed may become more without anything new in it.
const IDLE: SignedDuration = SignedDuration::from_hours(1);
/// Records that are read in one look.
const AT_ONCE: usize = 5_000;
/// Another machine's clock may be ahead of ours by so much, or behind.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// Pipelines whose logs are looked at although nothing is known to have moved, each tick, and those of them that never were.
const IN_TURN: usize = 2;
const NEVER_YET: usize = 5;
/// After which such a look is worth another: it is for what was committed by somebody who died before he could say so.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// What was new.
pub struct News {
    /// The pipelines that it is about.
    pub moved: BTreeSet<String>,
    /// How many records were taken in.
    pub records: usize,
    /// There is more, for the next look: what is known now is of long ago.
    pub is_part: bool,
}

/// Reads what is new and takes it in.
pub fn news(
    context: &Context<'_>,
    state: &mut WatchState,
    view: &LakeSnapshot<'_>,
    marks: &[Heartbeat],
    now: Timestamp,
) -> Result<News, Error> {
    let first = if state.read_until == Timestamp::UNIX_EPOCH { now - FIRST_LOOK } else { state.read_until };
    let from = (first - LATE_BY).max(now - LONGEST_LOOK);
    let mut ids = Vec::new();
    for day in days(day_of(from), day_of(now + AHEAD)) {
        ids.extend(context.lake.run_ids_on_day(day, &moment(from))?.into_iter().map(|run_id| (day, run_id)));
    }
    // what lasts longer than records may be late, also if its mark has gone by now, and what could not be read
    marks.iter().for_each(|mark| state.sees(mark, now));
    let long = state.marked.iter().map(|(run_id, marked)| (day_of(marked.mark.started_at), run_id.clone()));
    let again = state.unreadable.iter().map(|(run_id, unreadable)| (unreadable.day, run_id.clone()));
    ids.extend(long.chain(again));
    ids.sort_by(|a, b| a.1.cmp(&b.1));
    ids.dedup();
    ids.retain(|(_, run_id)| !state.read.contains(run_id));
    let is_part = ids.len() > AT_ONCE;
    ids.truncate(AT_ONCE);
    let mut about = BTreeSet::new();
    let mut taken = 0;
    for ((day, run_id), found) in ids.iter().zip(context.lake.runs_by_id(&ids)) {
        let record = match found.map_err(Error::from) {
            // not there yet, or no more
            Ok(None) => {
                state.unreadable.remove(run_id);
                continue;
            }
            Ok(Some(bytes)) => serde_json::from_slice::<RunRecord>(&bytes).map_err(|error| error.to_string()),
            // the store is down, and all the rest of it
            Err(failure) if failure.kind == ErrorKind::Retry => return Err(failure),
            Err(failure) => Err(failure.full_message()),
        };
        match record {
            Ok(mut record) => {
                // of a version of this program that did not say it
                if record.scheduled_time == Timestamp::UNIX_EPOCH {
                    record.scheduled_time = record.started_at;
                }
                let allowed = view.alerts(&record.pipeline).and_then(|alerts| alerts.max_quarantined);
                state.take_in(&record, allowed, &inputs(view, &record));
                state.unreadable.remove(run_id);
                about.insert(record.pipeline);
                state.read.insert(run_id.clone());
                taken += 1;
            }
            Err(why) => {
                state.unreadable.entry(run_id.clone()).or_insert(UnreadableDay { day: *day, since: now, why });
            }
        }
        state.read_until = state.read_until.max(time_of(run_id).unwrap_or_default().min(now));
    }
    state.read_until = state.read_until.max(first);
    // where nothing runs, nothing of long ago is listed again and again
    if !is_part && now.duration_since(state.read_until) > IDLE {
        state.read_until = now - AHEAD;
    }
    state.marked.retain(|_, marked| now.duration_since(marked.seen_at) < LATE_BY);
    let oldest = moment(state.read_until - LATE_BY - LATE_BY);
    let under_way: BTreeSet<&str> = marks.iter().map(|mark| mark.run_id.as_str()).collect();
    state.read.retain(|run_id| *run_id > oldest || under_way.contains(run_id.as_str()));
    Ok(News { moved: about, records: taken, is_part })
}

/// What the step of a record reads.
fn inputs(view: &LakeSnapshot<'_>, record: &RunRecord) -> Vec<DatasetName> {
    let step = record.step.step().zip(view.pipeline(&record.pipeline));
    step.map(|(step, pipeline)| graph::inputs(pipeline, step)).unwrap_or_default()
}

/// The runs that have said that they are under way, and the names of what cannot be read: a run that lives says so again.
pub fn marks(lake: &Lake, running: &[String]) -> Result<(Vec<Heartbeat>, Vec<String>), Error> {
    let (mut marks, mut damaged) = (Vec::new(), Vec::new());
    for run_id in running {
        // gone meanwhile
        let Some(bytes) = lake.running(run_id)? else { continue };
        match serde_json::from_slice::<Heartbeat>(&bytes) {
            Ok(mark) if mark.run_id == *run_id => marks.push(mark),
            _ => damaged.push(run_id.clone()),
        }
    }
    Ok((marks, damaged))
}

/// Takes note of runs that say nothing any more. Gives the marks that nobody needs any longer.
pub fn silent(state: &mut WatchState, marks: &[Heartbeat], now: Timestamp) -> Vec<String> {
    let mut done = Vec::new();
    for mark in marks {
        let is_over = state.read.contains(&mark.run_id);
        let is_silent = now.duration_since(mark.alive_at) >= SILENT_FOR;
        if is_silent && !is_over {
            state.loses(mark);
        }
        if is_silent || is_over {
            done.push(mark.run_id.clone());
        }
    }
    done
}

/// Whether the inputs of steps are ahead of them: by the records, in pipelines in which something has moved; by the logs, where the records
/// do not say that all is well, and of some others in turn.
pub fn heads(
    context: &Context<'_>,
    state: &mut WatchState,
    view: &LakeSnapshot<'_>,
    moved: &BTreeSet<String>,
    now: Timestamp,
) {
    let in_turn = in_turn(state, view, now);
    for pipeline in view.graph.pipelines() {
        let name = pipeline.name.to_string();
        let trusts_records = !in_turn.contains(&name) && !is_known_behind(state, view, pipeline);
        if trusts_records && !moved.contains(&name) && !reads_moved(view, pipeline, moved) {
            continue;
        }
        // what those make that are behind, or cannot be seen: who reads it waits, and is judged when it is there
        let mut late: Vec<DatasetName> = Vec::new();
        let mut is_seen = true;
        for step in view.graph.steps_of(&pipeline.name) {
            let key = StepKey::new(pipeline, step);
            if graph::inputs(pipeline, step).iter().any(|input| late.contains(input)) {
                late.extend(graph::outputs(pipeline, step));
                continue;
            }
            let behind = match step {
                StepId::Ingest => continue,
                StepId::Load(_) if trusts_records => Ok(load_is_behind(state, pipeline, step)),
                StepId::Load(_) => finds_inputs(context.lake, state, pipeline, step, now)
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
                        state.last(&key).shows(is_behind, now);
                    }
                }
                Err(failure) if failure.kind == ErrorKind::Retry => {
                    tracing::warn!(pipeline = name, %step, error = failure.full_message(), "not looked at");
                    is_seen = false;
                    break;
                }
                Err(failure) => {
                    late.extend(graph::outputs(pipeline, step));
                    state.last(&key).hides(&failure, now);
                }
            }
        }
        // what could not be seen has its turn at the next tick
        let looked_at = if is_seen { now } else { Timestamp::UNIX_EPOCH };
        state.pipelines.entry(name).or_default().looked_at = looked_at;
    }
}

/// Whether a step of it is known to be behind, or was not to be seen.
fn is_known_behind(state: &WatchState, view: &LakeSnapshot<'_>, pipeline: &Pipeline) -> bool {
    let mut steps = view.graph.steps_of(&pipeline.name);
    steps.any(|step| {
        let last = state.steps.get(&StepKey::new(pipeline, step));
        last.is_some_and(|last| last.behind_since.is_some() || last.unseen.is_some())
    })
}

/// What moves in one pipeline is seen by those that read it.
fn reads_moved(view: &LakeSnapshot<'_>, pipeline: &Pipeline, moved: &BTreeSet<String>) -> bool {
    if moved.is_empty() {
        return false;
    }
    let inputs = view.graph.steps_of(&pipeline.name).flat_map(|step| graph::inputs(pipeline, step));
    inputs.filter_map(|input| view.graph.maker(&input)).any(|(maker, _)| moved.contains(maker.name.as_str()))
}

/// The pipelines whose turn it is.
fn in_turn(state: &WatchState, view: &LakeSnapshot<'_>, now: Timestamp) -> BTreeSet<String> {
    let looked_at = |pipeline: &Pipeline| {
        state.pipelines.get(pipeline.name.as_str()).map_or(Timestamp::UNIX_EPOCH, |known| known.looked_at)
    };
    let due = |pipeline: &&Pipeline| now.duration_since(looked_at(pipeline)) >= AGAIN_AFTER;
    let mut due: Vec<&Pipeline> = view.graph.pipelines().iter().filter(due).collect();
    due.sort_by_key(|pipeline| looked_at(pipeline));
    let never = due.iter().take_while(|pipeline| looked_at(pipeline) == Timestamp::UNIX_EPOCH).count();
    due.iter().take(never.clamp(IN_TURN, NEVER_YET)).map(|pipeline| pipeline.name.to_string()).collect()
}

/// Whether the records say that a step has consumed what its inputs are now.
fn has_caught_up(state: &WatchState, pipeline: &Pipeline, step: &StepId) -> bool {
    let last = state.steps.get(&StepKey::new(pipeline, step));
    graph::inputs(pipeline, step).iter().all(|input| {
        let has = last.and_then(|last| last.consumed.get(input.as_str()));
        has.zip(state.datasets.get(input.as_str())).is_some_and(|(has, head)| *has == head.latest)
    })
}

/// What its inputs are now, also where whoever committed it died before he could say so.
fn finds_inputs(
    lake: &Lake,
    state: &mut WatchState,
    pipeline: &Pipeline,
    step: &StepId,
    now: Timestamp,
) -> Result<(), Error> {
    for input in graph::inputs(pipeline, step) {
        if let Some(table) = lake.table(&input)? {
            state.finds(input.as_str(), table.version(), now);
        }
    }
    Ok(())
}

/// By what the run records say it has taken in: of a target only the load itself knows more.
fn load_is_behind(state: &WatchState, pipeline: &Pipeline, step: &StepId) -> bool {
    let last = state.steps.get(&StepKey::new(pipeline, step));
    graph::inputs(pipeline, step).iter().any(|input| {
        let has = last.and_then(|last| last.consumed.get(input.as_str())).copied();
        let head = state.datasets.get(input.as_str()).filter(|head| head.version >= 0);
        head.is_some_and(|head| has.is_none_or(|has| has < head.version))
    })
}

/// What the watcher remembers; nothing where it has been lost, or damaged: then it is gathered again from the records.
pub fn read_state(lake: &Lake) -> Result<(WatchState, Option<ObjectVersion>), LakeError> {
    let Some((bytes, seen)) = lake.watcher()? else { return Ok((WatchState::default(), None)) };
    let state = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "the state of the watcher cannot be read; it begins anew");
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

/// What ids of runs of a moment begin with.
fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S").to_string()
}

/// When a run began, by its id.
fn time_of(run_id: &str) -> Option<Timestamp> {
    let text = run_id.get(..15)?;
    let local = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", text).ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
