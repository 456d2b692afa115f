//! What is to be walked, one after the other: what schedules start, what steps announce, and what is tried again after a while, as Lambda
//! does it.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Event, StepDue};
use tidemark_pipeline::Graph;

/// An event is tried three times, with a minute and then two between.
const PAUSES: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub event: Event,
    /// `None`: it begins one.
    pub chain: Option<String>,
    attempts: usize,
    not_before: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Job>);

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, event: Event, not_before: Timestamp) {
        self.0.push_back(Job { event, chain: None, attempts: 0, not_before });
    }

    /// Once is enough: a step that is walked takes in all there is.
    pub(super) fn announce(&mut self, due: StepDue) {
        for job in &mut self.0 {
            if let Event::StepDue(known) = &mut job.event
                && (&known.pipeline, &known.step, known.part, known.days, known.full)
                    == (&due.pipeline, &due.step, due.part, due.days, due.full)
            {
                known.looked_for |= due.looked_for;
                known.scheduled_time = known.scheduled_time.max(due.scheduled_time);
                return;
            }
        }
        let (chain, not_before) = (Some(due.chain.clone()), Timestamp::UNIX_EPOCH);
        self.0.push_back(Job { event: Event::StepDue(due), chain, attempts: 0, not_before });
    }

    /// What the schedules mean after `from`, `until` included. Gives how many that are.
    pub(super) fn starts(&mut self, graph: &Graph, from: Timestamp, until: Timestamp) -> usize {
        let mut times = Vec::new();
        for pipeline in graph.pipelines() {
            let Some(schedule) = &pipeline.schedule else { continue };
            let mut at = from;
            while let Some(next) = schedule.next(at).filter(|next| *next <= until) {
                times.push((next, pipeline.name.clone()));
                at = next;
            }
        }
        times.sort();
        for (at, pipeline) in &times {
            self.push(Event::Schedule { pipeline: pipeline.clone(), scheduled_time: *at }, *at);
        }
        times.len()
    }

    /// The next time a schedule means.
    pub(super) fn next_start(&self, graph: &Graph, after: Timestamp) -> Option<Timestamp> {
        let schedules = graph.pipelines().iter().filter_map(|pipeline| pipeline.schedule.as_ref());
        schedules.filter_map(|schedule| schedule.next(after)).min()
    }

    /// The first that may be walked now. What steps have announced comes before what schedules start, so one morning ends before the next
    /// begins.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Job> {
        let is_ready = |job: &Job| job.not_before <= now;
        let announced = self.0.iter().position(|job| is_ready(job) && matches!(job.event, Event::StepDue(_)));
        let at = announced.or_else(|| self.0.iter().position(is_ready))?;
        self.0.remove(at)
    }

    /// When one may be walked that may not be now.
    pub(super) fn next_ready(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().map(|job| job.not_before.max(now)).min()
    }

    /// Another attempt after a while; `false` if there have been enough.
    pub(super) fn again(&mut self, job: Job, now: Timestamp) -> bool {
        let Some(pause) = PAUSES.get(job.attempts) else { return false };
        self.0.push_back(Job { attempts: job.attempts + 1, not_before: now + *pause, ..job });
        true
    }
}
