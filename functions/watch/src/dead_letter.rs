//! Events that the platform has given up: each is about a step, whose failure it makes final, or about nothing anybody knows.

use jiff::Timestamp;
use tidemark_flow::{DeadLetter, Event, wakes};
use tidemark_pipeline::StepId;

use crate::evaluate::LakeSnapshot;
use crate::step_key::StepKey;
use crate::watch_state::{UnroutableEvent, WatchState};

pub(crate) fn note(state: &mut WatchState, view: &LakeSnapshot<'_>, given_up: &DeadLetter, now: Timestamp) {
    let at = given_up.at.unwrap_or(now);
    let attempts = given_up.attempts.map(|count| format!(" after {count} attempts")).unwrap_or_default();
    let why = format!("{}{attempts}: {}", given_up.by, given_up.why);
    let named = given_up.event.as_deref().map(|event| named(view, event)).unwrap_or_default();
    if named.is_empty() {
        // without the message, in which the event itself may be
        let kind = &given_up.code;
        let pipeline = given_up.event.as_deref().and_then(Event::pipeline);
        let why = pipeline.map_or_else(|| kind.clone(), |pipeline| format!("{kind}, of pipeline {pipeline}"));
        // it may have waited for long where it comes from
        return state.add_stray(UnroutableEvent { at: now, by: given_up.by.clone(), why });
    }
    let (scheduled_time, chain) = match given_up.event.as_deref() {
        Some(Event::StepDue(due)) => (due.scheduled_time, due.correlation_id.as_str()),
        Some(Event::Schedule { scheduled_time, .. } | Event::Rule { scheduled_time, .. }) => (*scheduled_time, ""),
        _ => (at, ""),
    };
    for key in named {
        state.last(&key).is_given_up(&why, scheduled_time, chain, at);
    }
}

/// The steps that an event would have woken.
fn named(view: &LakeSnapshot<'_>, event: &Event) -> Vec<StepKey> {
    let known = wakes(view.graph, event);
    if !known.is_empty() {
        return known.into_iter().map(|(pipeline, step)| StepKey::new(pipeline, step)).collect();
    }
    // of one that is broken nobody knows more than the event says
    let key = match event {
        Event::StepDue(due) => StepKey { pipeline: due.pipeline.clone(), step: due.step.clone() },
        Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => {
            StepKey { pipeline: pipeline.clone(), step: StepId::Ingest }
        }
        _ => return Vec::new(),
    };
    if view.is_broken(key.pipeline.as_str()) { vec![key] } else { Vec::new() }
}
