//! Missed scheduled times, for a machine that was off and catches up when it is on again.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_pipeline::{CatchUp, Pipeline, PipelineName};

use crate::collect::{self, NewRecords};
use crate::evaluate::LakeSnapshot;
use crate::tick::{serialized, update_pipelines};
use crate::watch_state::WatchState;

/// The missed scheduled times of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    pub pipeline: PipelineName,
    /// The times to catch up on, the earliest first.
    pub times: Vec<Timestamp>,
    /// How many missed times are skipped.
    pub skipped: usize,
}

/// Maximum number of scheduled times to catch up on.
const MOST: usize = 400;
const ATTEMPTS: usize = 10;

/// Finds the missed times, and selects those that each pipeline wants to catch up on. Skipped times count as dealt with.
///
/// # Errors
/// The lake cannot be read or written.
pub fn missed(context: &Context<'_>, snapshot: &LakeSnapshot<'_>) -> Result<Vec<Missed>, Error> {
    let now = (context.clock)();
    for _ in 0..ATTEMPTS {
        let watched = context.lake.watched()?;
        let (mut state, seen) = collect::read_state(context.lake)?;
        update_pipelines(&mut state, snapshot, now);
        let (heartbeats, _) = collect::read_heartbeats(context.lake, &watched.running)?;
        let NewRecords { changed_pipelines: changed, .. } =
            collect::read_new_records(context, &mut state, snapshot, &heartbeats, now)?;
        // check now for steps that were started and not continued, since there are no events
        collect::check_inputs(context, &mut state, snapshot, &changed, now);
        let missed: Vec<Missed> =
            snapshot.graph.pipelines().iter().filter_map(|pipeline| missed_by(&mut state, pipeline, now)).collect();
        if context.lake.put_watcher(serialized(&state)?, seen.as_ref())? {
            return Ok(missed);
        }
    }
    Err(Error::new(ErrorKind::Retry, "the state of the watcher keeps being changed by other watchers")
        .hint("start it again"))
}

fn missed_by(state: &mut WatchState, pipeline: &Pipeline, now: Timestamp) -> Option<Missed> {
    let schedule = pipeline.schedule.as_ref()?;
    let known = state.pipelines.get_mut(pipeline.name.as_str())?;
    let since = known.started.unwrap_or(known.since).max(known.since);
    let mut times: Vec<Timestamp> =
        std::iter::successors(schedule.previous(now), |time| schedule.previous(*time - SignedDuration::from_nanos(1)))
            .take_while(|time| *time > since)
            .take(MOST)
            .collect();
    times.reverse();
    let latest = *times.last()?;
    let all = times.len();
    match schedule.catch_up {
        CatchUp::All => {}
        CatchUp::Last => times = vec![latest],
        CatchUp::Nothing => {
            times = Vec::new();
            known.started = Some(latest);
        }
    }
    if !times.is_empty() {
        known.catch_up_started_at = Some(now);
    }
    Some(Missed { pipeline: pipeline.name.clone(), skipped: all - times.len(), times })
}
