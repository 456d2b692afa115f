//! Scheduled times that nobody was there for: what a machine that was off makes up for when it is on again.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_pipeline::{CatchUp, Pipeline, PipelineName};

use crate::collect::{self, News};
use crate::evaluate::LakeSnapshot;
use crate::tick::{knows, written};
use crate::watch_state::WatchState;

/// Of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    pub pipeline: PipelineName,
    /// Those to be made up for, the earliest first.
    pub times: Vec<Timestamp>,
    /// How many are passed over.
    pub passed_over: usize,
}

/// So many are made up for, at most.
const MOST: usize = 400;
const ATTEMPTS: usize = 10;

/// What was missed, and what of it each pipeline wants done. What is passed over is not missed any longer.
///
/// # Errors
/// The lake cannot be read or written.
pub fn missed(context: &Context<'_>, view: &LakeSnapshot<'_>) -> Result<Vec<Missed>, Error> {
    let now = (context.clock)();
    for _ in 0..ATTEMPTS {
        let watched = context.lake.watched()?;
        let (mut state, seen) = collect::read_state(context.lake)?;
        knows(&mut state, view, now);
        let (marks, _) = collect::marks(context.lake, &watched.running)?;
        let News { moved, .. } = collect::news(context, &mut state, view, &marks, now)?;
        // what was begun and not gone on with is seen now, since nothing moves by itself
        collect::heads(context, &mut state, view, &moved, now);
        let missed: Vec<Missed> =
            view.graph.pipelines().iter().filter_map(|pipeline| missed_by(&mut state, pipeline, now)).collect();
        if context.lake.put_watcher(written(&state)?, seen.as_ref())? {
            return Ok(missed);
        }
    }
    Err(Error::new(ErrorKind::Retry, "the state of the watcher is changed by others all the time")
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
        known.made_up_at = Some(now);
    }
    Some(Missed { pipeline: pipeline.name.clone(), passed_over: all - times.len(), times })
}
