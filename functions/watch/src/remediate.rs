//! Remediation: the watcher announces steps again whose announcement was lost, and retries steps that may succeed by now. A duplicate
//! announcement finds nothing to do, so it is harmless.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Cause, Days, StepDue, Trigger, due};
use tidemark_pipeline::{Pipeline, StepId, graph};

use crate::evaluate::{LakeSnapshot, MAX_CONTINUATION_DELAY, dead_run, missed};
use crate::step_key::StepKey;
use crate::step_state::StepState;
use crate::watch_state::WatchState;

/// How long a step may take to be woken by its regular event.
const FIRST_AFTER: SignedDuration = SignedDuration::from_mins(4);
/// Time between two announcements of the same step.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// Returns the steps to be announced, and records them in the state.
pub fn remediate(
    state: &mut WatchState,
    snapshot: &LakeSnapshot<'_>,
    now: Timestamp,
    correlation_id: &str,
) -> Vec<StepDue> {
    let mut announced = Vec::new();
    for pipeline in snapshot.graph.pipelines() {
        let steps: Vec<&StepId> = snapshot.graph.steps_of(&pipeline.name).collect();
        if let Some(expected) = missed(state, pipeline, now) {
            let known = state.pipelines.entry(pipeline.name.to_string()).or_default();
            let is_recent =
                known.restarted.is_some_and(|(at, when)| at == expected && now.duration_since(when) < AGAIN_AFTER);
            if !is_recent {
                known.restarted = Some((expected, now));
                // a pipeline without a source has no ingest whose record would show the start
                if pipeline.source.is_none() {
                    known.started = known.started.max(Some(expected));
                }
                let first = steps.iter().filter(|step| pipeline.source.is_none() || ***step == StepId::Ingest);
                announced.extend(first.map(|step| announcement(pipeline, step, expected, correlation_id)));
            }
            continue;
        }
        for step in steps {
            let key = StepKey::new(pipeline, step);
            // it is running
            if state.running_since(&key, now).is_some() {
                continue;
            }
            let input_time = input_scheduled_time(state, pipeline, step, now);
            let Some(last) = state.steps.get_mut(&key) else { continue };
            if let Some((scheduled_time, days)) = announcement_due(last, input_time, now) {
                last.announced_at = Some(now);
                announced.push(StepDue { days, ..announcement(pipeline, step, scheduled_time, correlation_id) });
                // it wakes the steps that depend on it
                break;
            }
        }
    }
    announced
}

fn announcement(pipeline: &Pipeline, step: &StepId, scheduled_time: Timestamp, correlation_id: &str) -> StepDue {
    let trigger = Trigger { cause: Cause::Due, ..Trigger::at(scheduled_time, correlation_id) };
    StepDue { always_record: true, ..due(pipeline, step, &trigger) }
}

/// The scheduled time of the latest input of a step; if unknown, the last time of the schedule.
fn input_scheduled_time(state: &WatchState, pipeline: &Pipeline, step: &StepId, now: Timestamp) -> Timestamp {
    let inputs = graph::inputs(pipeline, step);
    let heads = inputs.iter().filter_map(|input| state.datasets.get(input.as_str())?.scheduled_time);
    let last = || pipeline.schedule.as_ref().and_then(|schedule| schedule.previous(now));
    heads.max().or_else(last).unwrap_or(now)
}

/// The scheduled time and the days with which a step has to be announced again; `None` if it need not be.
fn announcement_due(last: &StepState, input_time: Timestamp, now: Timestamp) -> Option<(Timestamp, Option<Days>)> {
    // only announcements since this problem began
    let announced_since = |since: Timestamp| last.announced_at.filter(|at| *at >= since);
    let is_due = |since: Timestamp, after| match announced_since(since) {
        Some(at) => now.duration_since(at) >= AGAIN_AFTER,
        None => now.duration_since(since) >= after,
    };
    if let Some(failing) = &last.failing {
        // errors that only a person can fix are not retried; the platform's own retries come first
        let is_tried = failing.is_tried_again() && now.duration_since(failing.latest) >= FIRST_AFTER;
        return (is_tried && is_due(failing.since, FIRST_AFTER)).then_some((failing.scheduled_time, failing.days));
    }
    let is_in_progress =
        last.continues.as_ref().is_some_and(|run| now.duration_since(run.alive_at) < MAX_CONTINUATION_DELAY);
    if is_in_progress {
        return None;
    }
    if let Some(lost) = dead_run(last, None, now) {
        return is_due(lost.alive_at, FIRST_AFTER).then_some((lost.scheduled_time, None));
    }
    is_due(last.behind_since?, FIRST_AFTER).then_some((input_time, None))
}

#[cfg(test)]
mod tests;
