//! What is to be walked, one after the other: what schedules start, what steps announce, and what is tried again after a while, as Lambda
//! does it.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Event, StepDue};
use tidemark_pipeline::{CatchUp, Graph, Pipeline, PipelineName, StepId};

/// An event is tried three times, with a minute and then two between.
const PAUSES: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];
/// Starts of a pipeline that wait, where each is to have its run; with more the earliest is passed over.
const MOST_WAITING: usize = 400;

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub event: Event,
    /// `None`: it begins one.
    pub chain: Option<String>,
    attempts: usize,
    not_before: Timestamp,
}

impl Job {
    pub(super) fn is_first_attempt(&self) -> bool {
        self.attempts == 0
    }

    fn pipeline(&self) -> Option<&PipelineName> {
        match &self.event {
            Event::Schedule { pipeline, .. } => Some(pipeline),
            Event::StepDue(due) => Some(&due.pipeline),
            _ => None,
        }
    }

    /// The scheduled time, where this is a start of the pipeline.
    fn start_of(&self, pipeline: &PipelineName) -> Option<Timestamp> {
        match &self.event {
            Event::Schedule { pipeline: of, scheduled_time } if of == pipeline => Some(*scheduled_time),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Job>,
    /// What is being walked.
    under_way: Option<Event>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Starts a pipeline for a scheduled time, once. Where each time is to have its run it waits its turn; else it takes the place of one
    /// that has not begun, since one run takes in all there is. Gives the time that is passed over for it.
    pub(super) fn start(&mut self, pipeline: &Pipeline, at: Timestamp) -> Option<Timestamp> {
        let event = Event::Schedule { pipeline: pipeline.name.clone(), scheduled_time: at };
        if self.under_way.as_ref() == Some(&event) || self.waiting.iter().any(|job| job.event == event) {
            return None;
        }
        let has_each = pipeline.schedule.as_ref().is_some_and(|schedule| schedule.catch_up == CatchUp::All);
        let is_waiting = |job: &Job| job.is_first_attempt() && job.start_of(&pipeline.name).is_some();
        let waiting = self.waiting.iter().filter(|job| is_waiting(job)).count();
        let is_too_many = waiting >= if has_each { MOST_WAITING } else { 1 };
        let first = self.waiting.iter().position(is_waiting).filter(|_| is_too_many);
        let passed_over = first.and_then(|first| self.waiting.remove(first));
        let place = first.filter(|_| !has_each).unwrap_or(self.waiting.len());
        self.waiting.insert(place, Job { event, chain: None, attempts: 0, not_before: at });
        passed_over.and_then(|job| job.start_of(&pipeline.name))
    }

    /// Once is enough: a step that is walked takes in all there is. A load may be the report of its scheduled time.
    pub(super) fn announce(&mut self, due: StepDue) {
        let starts = self.waiting.iter().any(|job| job.start_of(&due.pipeline).is_some());
        if due.step == StepId::Ingest && starts {
            return;
        }
        // what failed has attempts of its own
        for job in self.waiting.iter_mut().filter(|job| job.is_first_attempt()) {
            if let Event::StepDue(known) = &mut job.event
                && (&known.pipeline, &known.step, known.part, known.days, known.full)
                    == (&due.pipeline, &due.step, due.part, due.days, due.full)
                && (known.scheduled_time == due.scheduled_time || !matches!(due.step, StepId::Load(_)))
            {
                known.always_record |= due.always_record;
                known.scheduled_time = known.scheduled_time.max(due.scheduled_time);
                return;
            }
        }
        let (chain, not_before) = (Some(due.correlation_id.clone()), Timestamp::UNIX_EPOCH);
        self.waiting.push_back(Job { event: Event::StepDue(due), chain, attempts: 0, not_before });
    }

    /// The first that may be walked now; [`Queue::rests`] says that it has been.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Job> {
        let first = self.waiting.iter().position(|job| job.not_before <= now && self.is_in_turn(job))?;
        let job = self.waiting.remove(first)?;
        self.under_way = Some(job.event.clone());
        Some(job)
    }

    pub(super) fn rests(&mut self) {
        self.under_way = None;
    }

    /// One morning of a pipeline ends before its next begins: what comes late has nothing to do, and the report of its day is not made.
    fn is_in_turn(&self, job: &Job) -> bool {
        let Some((pipeline, at)) = job.pipeline().and_then(|name| Some((name, job.start_of(name)?))) else {
            return true;
        };
        let is_before = |other: &Job| match &other.event {
            Event::StepDue(due) => due.pipeline == *pipeline,
            _ => other.start_of(pipeline).is_some_and(|earlier| earlier < at),
        };
        !self.waiting.iter().any(is_before)
    }

    /// When one may be walked that may not be now.
    pub(super) fn next_ready(&self, now: Timestamp) -> Option<Timestamp> {
        let in_turn = self.waiting.iter().filter(|job| self.is_in_turn(job));
        in_turn.map(|job| job.not_before.max(now)).min()
    }

    /// Another attempt after a while; `false` if there have been enough.
    pub(super) fn again(&mut self, mut job: Job, now: Timestamp) -> bool {
        let Some(pause) = PAUSES.get(job.attempts) else { return false };
        // that it finds nothing to do any more is worth a record: it says that what failed is over
        if let Event::StepDue(due) = &mut job.event {
            due.always_record = true;
        }
        self.waiting.push_back(Job { attempts: job.attempts + 1, not_before: now + *pause, ..job });
        true
    }
}

/// What the schedules mean after `from`, `until` included, in their order.
pub(super) fn starts(graph: &Graph, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, &Pipeline)> {
    let mut times = Vec::new();
    for pipeline in graph.pipelines() {
        let Some(schedule) = &pipeline.schedule else { continue };
        let following = |at: &Timestamp| schedule.next(*at).filter(|next| *next <= until);
        times.extend(std::iter::successors(following(&from), following).map(|at| (at, pipeline)));
    }
    times.sort_by(|(a, of_a), (b, of_b)| (a, &of_a.name).cmp(&(b, &of_b.name)));
    times
}

/// The next time a schedule means.
pub(super) fn next_start(graph: &Graph, after: Timestamp) -> Option<Timestamp> {
    let schedules = graph.pipelines().iter().filter_map(|pipeline| pipeline.schedule.as_ref());
    schedules.filter_map(|schedule| schedule.next(after)).min()
}

#[cfg(test)]
mod tests {
    use tidemark_pipeline::{SourceFile, read};

    use super::*;

    fn pipeline(catch_up: &str) -> Pipeline {
        let text = format!(
            "schedule = {{ rate = \"1 hour\", catch_up = \"{catch_up}\" }}\n[source]\nkind = \"files\"\npath = \"in\"\n\
             [contract]\ndataset = \"orders\"\n[contract.columns]\nid = {{ type = \"int64\" }}\n"
        );
        let file = SourceFile::new("orders.toml", text.as_bytes()).unwrap();
        read(&file, &|_| None, &|_| Err(String::new())).unwrap().pipeline
    }

    fn hour(nth: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(nth)
    }

    fn due(step: &str, at: Timestamp) -> StepDue {
        let step: StepId = step.parse().unwrap();
        let function = tidemark_flow::function_of(&step).to_owned();
        let (pipeline, chain) = ("orders".parse().unwrap(), "chain".to_owned());
        StepDue {
            pipeline,
            step,
            function,
            scheduled_time: at,
            correlation_id: chain,
            full: false,
            days: None,
            part: 0,
            always_record: false,
        }
    }

    /// What is walked, in its order, with all the time there is.
    fn walked(queue: &mut Queue) -> Vec<String> {
        let next = || {
            let job = queue.next(Timestamp::MAX)?;
            queue.rests();
            Some(match job.event {
                Event::StepDue(due) => format!("{} {}", due.step, due.scheduled_time.as_second() / 3_600),
                Event::Schedule { scheduled_time, .. } => format!("start {}", scheduled_time.as_second() / 3_600),
                other => format!("{other:?}"),
            })
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn of_starts_that_wait_the_last_is_enough_unless_each_is_wanted() {
        for (catch_up, passed_over, expected) in [
            ("last", vec![None, Some(hour(1)), Some(hour(2))], vec!["start 3"]),
            ("none", vec![None, Some(hour(1)), Some(hour(2))], vec!["start 3"]),
            ("all", vec![None, None, None], vec!["start 1", "start 2", "start 3"]),
        ] {
            let (mut queue, pipeline) = (Queue::default(), pipeline(catch_up));
            let passed: Vec<_> = (1..=3).map(|nth| queue.start(&pipeline, hour(nth))).collect();
            assert_eq!((passed, queue.start(&pipeline, hour(3))), (passed_over, None), "{catch_up}");
            assert_eq!(walked(&mut queue), expected, "{catch_up}");
        }
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let (mut queue, pipeline) = (Queue::default(), pipeline("all"));
        let most = MOST_WAITING as i64;
        assert!((0..most).all(|nth| queue.start(&pipeline, hour(nth)).is_none()));
        assert_eq!(queue.start(&pipeline, hour(most)), Some(hour(0)));
        assert_eq!(walked(&mut queue).len(), MOST_WAITING);
    }

    #[test]
    fn one_morning_ends_before_the_next_begins() {
        let (mut queue, pipeline) = (Queue::default(), pipeline("all"));
        for nth in 1..=3 {
            assert_eq!(queue.start(&pipeline, hour(nth)), None);
        }
        let first = queue.next(hour(9)).unwrap();
        queue.rests();
        // the start is tried again later, and those behind it wait for it
        assert!(queue.again(first, hour(9)));
        assert_eq!(queue.next(hour(9)), None);
        assert_eq!(queue.next_ready(hour(9)), Some(hour(9) + PAUSES[0]));
        let again = queue.next(hour(10)).unwrap();
        assert_eq!((again.start_of(&pipeline.name), again.is_first_attempt()), (Some(hour(1)), false));
        queue.rests();
        queue.announce(due("clean", hour(1)));
        assert_eq!(walked(&mut queue), ["clean 1", "start 2", "start 3"]);
    }

    #[test]
    fn what_is_announced_twice_is_walked_once_but_each_report_is_made() {
        let (mut queue, pipeline) = (Queue::default(), pipeline("last"));
        for at in [hour(1), hour(2)] {
            for step in ["clean", "model orders_by_day", "load report"] {
                queue.announce(due(step, at));
            }
        }
        assert_eq!(queue.start(&pipeline, hour(3)), None);
        // the start does it
        queue.announce(due("ingest", hour(2)));
        let expected = ["clean 2", "model orders_by_day 2", "load report 1", "load report 2", "start 3"];
        assert_eq!(walked(&mut queue), expected);
    }

    #[test]
    fn three_attempts() {
        let (mut queue, mut now) = (Queue::default(), hour(1));
        queue.announce(due("clean", now));
        for pause in PAUSES {
            let job = queue.next(now).unwrap();
            queue.rests();
            assert!(queue.again(job, now));
            assert_eq!((queue.next(now), queue.next_ready(now)), (None, Some(now + pause)));
            now += pause;
        }
        let job = queue.next(now).unwrap();
        assert!(!queue.again(job, now));
    }
}
