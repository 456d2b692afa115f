//! Events that the platform has given up: each is about a step, whose failure it makes final, or about nothing anybody knows.

use jiff::Timestamp;
use tidemark_flow::{Event, GivenUp, STARTED};

use crate::memory::{Memory, Stray};

pub(crate) fn note(memory: &mut Memory, given_up: &GivenUp, now: Timestamp) {
    let at = given_up.at.unwrap_or(now);
    let attempts = given_up.attempts.map(|count| format!(" after {count} attempts")).unwrap_or_default();
    let why = format!("{}{attempts}: {}", given_up.by, given_up.why);
    match given_up.event.as_deref() {
        Some(Event::StepDue(due)) => {
            let last = memory.last(due.pipeline.as_str(), &due.step.to_string());
            last.is_given_up(&why, due.scheduled_time, &due.chain, at);
        }
        Some(Event::Schedule { pipeline, scheduled_time }) => {
            memory.last(pipeline.as_str(), "ingest").is_given_up(&why, *scheduled_time, "", at);
        }
        Some(Event::Range { pipeline, .. }) => memory.last(pipeline.as_str(), STARTED).is_given_up(&why, at, "", at),
        _ => Stray::add(memory, Stray { at: now, by: given_up.by.clone(), why: given_up.why.clone() }),
    }
}
