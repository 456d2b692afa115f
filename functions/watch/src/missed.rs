//! Scheduled times that nobody was there for: what a machine that was off makes up for when it is on again.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Failure, Kind};
use tidemark_pipeline::{CatchUp, Pipeline, PipelineName};

use crate::judge::View;
use crate::look::{self, News};
use crate::memory::Memory;
use crate::tick::{knows, written};

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
pub fn missed(context: &Context<'_>, view: &View<'_>) -> Result<Vec<Missed>, Failure> {
    let now = (context.clock)();
    for _ in 0..ATTEMPTS {
        let watched = context.lake.watched()?;
        let (mut memory, seen) = look::memory(context.lake)?;
        knows(&mut memory, view, now);
        let (marks, _) = look::marks(context.lake, &watched.running)?;
        let News { moved, .. } = look::news(context, &mut memory, view, &marks, now)?;
        // what was begun and not gone on with is seen now, since nothing moves by itself
        look::heads(context, &mut memory, view, &moved, now);
        let missed: Vec<Missed> =
            view.graph.pipelines().iter().filter_map(|pipeline| of(&mut memory, pipeline, now)).collect();
        if context.lake.put_watcher(written(&memory)?, seen.as_ref())? {
            return Ok(missed);
        }
    }
    Err(Failure::new(Kind::Retry, "the state of the watcher is changed by others all the time").hint("start it again"))
}

fn of(memory: &mut Memory, pipeline: &Pipeline, now: Timestamp) -> Option<Missed> {
    let schedule = pipeline.schedule.as_ref()?;
    let known = memory.pipelines.get_mut(pipeline.name.as_str())?;
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
