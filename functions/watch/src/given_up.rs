//! Events that the platform has given up: each is about a step, whose failure it makes final, or about nothing anybody knows.

use jiff::Timestamp;
use tidemark_flow::{Event, GivenUp, wakes};
use tidemark_pipeline::{PipelineName, StepId};

use crate::judge::View;
use crate::memory::{Memory, Stray};

pub(crate) fn note(memory: &mut Memory, view: &View<'_>, given_up: &GivenUp, now: Timestamp) {
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
        return Stray::add(memory, Stray { at: now, by: given_up.by.clone(), why });
    }
    let (scheduled_time, chain) = match given_up.event.as_deref() {
        Some(Event::StepDue(due)) => (due.scheduled_time, due.chain.as_str()),
        Some(Event::Schedule { scheduled_time, .. } | Event::Rule { scheduled_time, .. }) => (*scheduled_time, ""),
        _ => (at, ""),
    };
    for (pipeline, step) in named {
        memory.last(&pipeline, &step).is_given_up(&why, scheduled_time, chain, at);
    }
}

/// The steps that an event would have woken, by pipeline and step.
fn named(view: &View<'_>, event: &Event) -> Vec<(String, String)> {
    let known = wakes(view.graph, event);
    if !known.is_empty() {
        return known.into_iter().map(|(pipeline, step)| (pipeline.name.to_string(), step.to_string())).collect();
    }
    // of one that is broken nobody knows more than the event says
    let broken = |pipeline: &PipelineName, step: String| match view.is_broken(pipeline.as_str()) {
        true => vec![(pipeline.to_string(), step)],
        false => Vec::new(),
    };
    match event {
        Event::StepDue(due) => broken(&due.pipeline, due.step.to_string()),
        Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => {
            broken(pipeline, StepId::Ingest.to_string())
        }
        _ => Vec::new(),
    }
}
