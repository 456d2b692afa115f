//! Dead letters: each one makes the failure of a step final, or is reported as unroutable if it names no known step.

use jiff::Timestamp;
use tidemark_flow::{DeadLetter, Event, wakes};
use tidemark_pipeline::StepId;

use crate::evaluate::LakeSnapshot;
use crate::step_key::StepKey;
use crate::watch_state::{UnroutableEvent, WatchState};

pub(crate) fn record(state: &mut WatchState, snapshot: &LakeSnapshot<'_>, dead_letter: &DeadLetter, now: Timestamp) {
    let at = dead_letter.at.unwrap_or(now);
    let attempts = dead_letter.attempts.map(|count| format!(" after {count} attempts")).unwrap_or_default();
    let why = format!("{}{attempts}: {}", dead_letter.by, dead_letter.why);
    let affected = dead_letter.event.as_deref().map(|event| affected_steps(snapshot, event)).unwrap_or_default();
    if affected.is_empty() {
        // leave out the error message, which may quote the event itself
        let kind = &dead_letter.code;
        let pipeline = dead_letter.event.as_deref().and_then(Event::pipeline);
        let why = pipeline.map_or_else(|| kind.clone(), |pipeline| format!("{kind}, of pipeline {pipeline}"));
        // the time of reading: it may have been in its queue for a long time
        return state.add_unroutable(UnroutableEvent { at: now, by: dead_letter.by.clone(), why });
    }
    let (scheduled_time, correlation_id) = match dead_letter.event.as_deref() {
        Some(Event::StepDue(due)) => (due.scheduled_time, due.correlation_id.as_str()),
        Some(Event::Schedule { scheduled_time, .. } | Event::Rule { scheduled_time, .. }) => (*scheduled_time, ""),
        _ => (at, ""),
    };
    for key in affected {
        state.step_mut(&key).record_dead_letter(&why, scheduled_time, correlation_id, at);
    }
}

/// The steps that an event would have woken.
fn affected_steps(snapshot: &LakeSnapshot<'_>, event: &Event) -> Vec<StepKey> {
    let known = wakes(snapshot.graph, event);
    if !known.is_empty() {
        return known.into_iter().map(|(pipeline, step)| StepKey::new(pipeline, step)).collect();
    }
    // for a broken pipeline only the event itself says which step it is
    let key = match event {
        Event::StepDue(due) => StepKey { pipeline: due.pipeline.clone(), step: due.step.clone() },
        Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => {
            StepKey { pipeline: pipeline.clone(), step: StepId::Ingest }
        }
        _ => return Vec::new(),
    };
    if snapshot.is_broken(key.pipeline.as_str()) { vec![key] } else { Vec::new() }
}
