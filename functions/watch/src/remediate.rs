//! What the watcher does about what it finds, before and beside telling of it: it announces again what was lost, and tries again what may
//! work by now. A duplicate finds nothing to do, so it can do no harm.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Cause, Days, StepDue, Trigger, due};
use tidemark_pipeline::{Pipeline, StepId, graph};

use crate::evaluate::{LakeSnapshot, PART_WITHIN, died, missed};
use crate::step_key::StepKey;
use crate::step_state::StepState;
use crate::watch_state::WatchState;

/// A step is given so long to be woken by the event that is meant for it.
const FIRST_AFTER: SignedDuration = SignedDuration::from_mins(4);
/// Between two attempts to help.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// What is to be announced; the state notes it.
pub fn remediate(state: &mut WatchState, view: &LakeSnapshot<'_>, now: Timestamp, chain: &str) -> Vec<StepDue> {
    let mut announced = Vec::new();
    for pipeline in view.graph.pipelines() {
        let steps: Vec<&StepId> = view.graph.steps_of(&pipeline.name).collect();
        if let Some(expected) = missed(state, pipeline, now) {
            let known = state.pipelines.entry(pipeline.name.to_string()).or_default();
            let has_helped =
                known.helped.is_some_and(|(at, when)| at == expected && now.duration_since(when) < AGAIN_AFTER);
            if !has_helped {
                known.helped = Some((expected, now));
                // of one without a source nothing says more
                if pipeline.source.is_none() {
                    known.started = known.started.max(Some(expected));
                }
                let first = steps.iter().filter(|step| pipeline.source.is_none() || ***step == StepId::Ingest);
                announced.extend(first.map(|step| announcement(pipeline, step, expected, chain)));
            }
            continue;
        }
        for step in steps {
            let key = StepKey::new(pipeline, step);
            // it is being done
            if state.under_way(&key, now).is_some() {
                continue;
            }
            let meant = meant(state, pipeline, step, now);
            let Some(last) = state.steps.get_mut(&key) else { continue };
            if let Some((scheduled_time, days)) = wants_help(last, meant, now) {
                last.announced_at = Some(now);
                announced.push(StepDue { days, ..announcement(pipeline, step, scheduled_time, chain) });
                // what hangs on it is woken by it
                break;
            }
        }
    }
    announced
}

fn announcement(pipeline: &Pipeline, step: &StepId, scheduled_time: Timestamp, chain: &str) -> StepDue {
    let trigger = Trigger { cause: Cause::Due, ..Trigger::at(scheduled_time, chain) };
    StepDue { looked_for: true, ..due(pipeline, step, &trigger) }
}

/// The moment of the schedule by which a step's inputs came; where nobody knows, the last that the schedule meant.
fn meant(state: &WatchState, pipeline: &Pipeline, step: &StepId, now: Timestamp) -> Timestamp {
    let inputs = graph::inputs(pipeline, step);
    let heads = inputs.iter().filter_map(|input| state.datasets.get(input.as_str())?.scheduled_time);
    let last = || pipeline.schedule.as_ref().and_then(|schedule| schedule.previous(now));
    heads.max().or_else(last).unwrap_or(now)
}

/// The scheduled time, and the days, with which a step is to be announced again, if it is.
fn wants_help(last: &StepState, meant: Timestamp, now: Timestamp) -> Option<(Timestamp, Option<Days>)> {
    // of this trouble, not of one before it
    let announced_since = |since: Timestamp| last.announced_at.filter(|at| *at >= since);
    let is_due = |since: Timestamp, after| match announced_since(since) {
        Some(at) => now.duration_since(at) >= AGAIN_AFTER,
        None => now.duration_since(since) >= after,
    };
    if let Some(failing) = &last.failing {
        // what only a person can mend is not tried again; the platform's own attempts come first
        let is_tried = failing.is_tried_again() && now.duration_since(failing.latest) >= FIRST_AFTER;
        return (is_tried && is_due(failing.since, FIRST_AFTER)).then_some((failing.scheduled_time, failing.days));
    }
    let is_going_on = last.continues.as_ref().is_some_and(|run| now.duration_since(run.alive_at) < PART_WITHIN);
    if is_going_on {
        return None;
    }
    if let Some(lost) = died(last, None, now) {
        return is_due(lost.alive_at, FIRST_AFTER).then_some((lost.scheduled_time, None));
    }
    is_due(last.behind_since?, FIRST_AFTER).then_some((meant, None))
}

#[cfg(test)]
mod tests;
