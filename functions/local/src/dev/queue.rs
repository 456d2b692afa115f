//! The queue of steps to run, one after another: starts by schedules, steps announced by other steps, and retries after a pause, as on
//! Lambda.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Event, StepDue};
use tidemark_pipeline::{CatchUp, Graph, Pipeline, PipelineName, StepId};

/// Pauses between the attempts of an event: there are at most three attempts.
const PAUSES: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];
/// Maximum number of pending starts of a pipeline with `catch_up = "all"`. With more, the earliest is skipped.
const MAX_PENDING: usize = 400;

/// An event to handle, with its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub event: Event,
    /// None if the event starts a new correlation id.
    pub correlation_id: Option<String>,
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

    /// The scheduled time, if this is a start of the pipeline.
    fn start_of(&self, pipeline: &PipelineName) -> Option<Timestamp> {
        match &self.event {
            Event::Schedule { pipeline: of, scheduled_time } if of == pipeline => Some(*scheduled_time),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pending: VecDeque<Job>,
    /// The event of the running step.
    running: Option<Event>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Queues a start of a pipeline for a scheduled time, if it is not queued already. With `catch_up = "all"` every start is kept; otherwise
    /// it replaces a pending one, since one run processes everything there is. Returns the scheduled time that is skipped for it.
    pub(super) fn start(&mut self, pipeline: &Pipeline, at: Timestamp) -> Option<Timestamp> {
        let event = Event::Schedule { pipeline: pipeline.name.clone(), scheduled_time: at };
        if self.running.as_ref() == Some(&event) || self.pending.iter().any(|job| job.event == event) {
            return None;
        }
        let runs_each = pipeline.schedule.as_ref().is_some_and(|schedule| schedule.catch_up == CatchUp::All);
        let is_pending = |job: &Job| job.is_first_attempt() && job.start_of(&pipeline.name).is_some();
        let pending = self.pending.iter().filter(|job| is_pending(job)).count();
        let is_too_many = pending >= if runs_each { MAX_PENDING } else { 1 };
        let first = self.pending.iter().position(is_pending).filter(|_| is_too_many);
        let skipped = first.and_then(|first| self.pending.remove(first));
        let place = first.filter(|_| !runs_each).unwrap_or(self.pending.len());
        self.pending.insert(place, Job { event, correlation_id: None, attempts: 0, not_before: at });
        skipped.and_then(|job| job.start_of(&pipeline.name))
    }

    /// Queues an announced step, or merges it with an equal pending one, since one run processes everything there is. Loads are merged only
    /// for the same scheduled time, because each may be the report of that time.
    pub(super) fn announce(&mut self, due: StepDue) {
        let starts = self.pending.iter().any(|job| job.start_of(&due.pipeline).is_some());
        if due.step == StepId::Ingest && starts {
            return;
        }
        // retries are separate
        for job in self.pending.iter_mut().filter(|job| job.is_first_attempt()) {
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
        let (correlation_id, not_before) = (Some(due.correlation_id.clone()), Timestamp::UNIX_EPOCH);
        self.pending.push_back(Job { event: Event::StepDue(due), correlation_id, attempts: 0, not_before });
    }

    /// Takes the first job that may run now. [`Queue::finish_current`] must be called when it has ended.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Job> {
        let first = self.pending.iter().position(|job| job.not_before <= now && self.is_in_turn(job))?;
        let job = self.pending.remove(first)?;
        self.running = Some(job.event.clone());
        Some(job)
    }

    pub(super) fn finish_current(&mut self) {
        self.running = None;
    }

    /// Whether nothing else has to run before. All steps of one start of a pipeline run before its next start: otherwise the later start would
    /// process everything, and the report of the earlier one would not be made.
    fn is_in_turn(&self, job: &Job) -> bool {
        let Some((pipeline, at)) = job.pipeline().and_then(|name| Some((name, job.start_of(name)?))) else {
            return true;
        };
        let is_before = |other: &Job| match &other.event {
            Event::StepDue(due) => due.pipeline == *pipeline,
            _ => other.start_of(pipeline).is_some_and(|earlier| earlier < at),
        };
        !self.pending.iter().any(is_before)
    }

    /// When the next job may run.
    pub(super) fn next_ready(&self, now: Timestamp) -> Option<Timestamp> {
        let in_turn = self.pending.iter().filter(|job| self.is_in_turn(job));
        in_turn.map(|job| job.not_before.max(now)).min()
    }

    /// Queues another attempt after a pause. Returns false if there have been enough.
    pub(super) fn retry(&mut self, mut job: Job, now: Timestamp) -> bool {
        let Some(pause) = PAUSES.get(job.attempts) else { return false };
        // the retry writes a run record even if nothing is left to do, which shows that the failure is over
        if let Event::StepDue(due) = &mut job.event {
            due.always_record = true;
        }
        self.pending.push_back(Job { attempts: job.attempts + 1, not_before: now + *pause, ..job });
        true
    }
}

/// The starts by schedules after `from` and up to `until` inclusive, sorted by time.
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

/// The next scheduled time of any pipeline.
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
        let (pipeline, correlation_id) = ("orders".parse().unwrap(), "chain".to_owned());
        StepDue {
            pipeline,
            step,
            function,
            scheduled_time: at,
            correlation_id,
            full: false,
            days: None,
            part: 0,
            always_record: false,
        }
    }

    /// Runs all jobs; returns them in order.
    fn run_all(queue: &mut Queue) -> Vec<String> {
        let next = || {
            let job = queue.next(Timestamp::MAX)?;
            queue.finish_current();
            Some(match job.event {
                Event::StepDue(due) => format!("{} {}", due.step, due.scheduled_time.as_second() / 3_600),
                Event::Schedule { scheduled_time, .. } => format!("start {}", scheduled_time.as_second() / 3_600),
                other => format!("{other:?}"),
            })
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn only_the_last_pending_start_is_kept_unless_all_are_wanted() {
        for (catch_up, skipped, expected) in [
            ("last", vec![None, Some(hour(1)), Some(hour(2))], vec!["start 3"]),
            ("none", vec![None, Some(hour(1)), Some(hour(2))], vec!["start 3"]),
            ("all", vec![None, None, None], vec!["start 1", "start 2", "start 3"]),
        ] {
            let (mut queue, pipeline) = (Queue::default(), pipeline(catch_up));
            let passed: Vec<_> = (1..=3).map(|nth| queue.start(&pipeline, hour(nth))).collect();
            assert_eq!((passed, queue.start(&pipeline, hour(3))), (skipped, None), "{catch_up}");
            assert_eq!(run_all(&mut queue), expected, "{catch_up}");
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut queue, pipeline) = (Queue::default(), pipeline("all"));
        let max = MAX_PENDING as i64;
        assert!((0..max).all(|nth| queue.start(&pipeline, hour(nth)).is_none()));
        assert_eq!(queue.start(&pipeline, hour(max)), Some(hour(0)));
        assert_eq!(run_all(&mut queue).len(), MAX_PENDING);
    }

    #[test]
    fn one_start_ends_before_the_next_begins() {
        let (mut queue, pipeline) = (Queue::default(), pipeline("all"));
        for nth in 1..=3 {
            assert_eq!(queue.start(&pipeline, hour(nth)), None);
        }
        let first = queue.next(hour(9)).unwrap();
        queue.finish_current();
        // The start is retried later, and later starts wait for it.
        assert!(queue.retry(first, hour(9)));
        assert_eq!(queue.next(hour(9)), None);
        assert_eq!(queue.next_ready(hour(9)), Some(hour(9) + PAUSES[0]));
        let retry = queue.next(hour(10)).unwrap();
        assert_eq!((retry.start_of(&pipeline.name), retry.is_first_attempt()), (Some(hour(1)), false));
        queue.finish_current();
        queue.announce(due("clean", hour(1)));
        assert_eq!(run_all(&mut queue), ["clean 1", "start 2", "start 3"]);
    }

    #[test]
    fn duplicate_announcements_run_once_except_for_reports() {
        let (mut queue, pipeline) = (Queue::default(), pipeline("last"));
        for at in [hour(1), hour(2)] {
            for step in ["clean", "model orders_by_day", "load report"] {
                queue.announce(due(step, at));
            }
        }
        assert_eq!(queue.start(&pipeline, hour(3)), None);
        // Merged with the pending start.
        queue.announce(due("ingest", hour(2)));
        let expected = ["clean 2", "model orders_by_day 2", "load report 1", "load report 2", "start 3"];
        assert_eq!(run_all(&mut queue), expected);
    }

    #[test]
    fn a_job_has_three_attempts() {
        let (mut queue, mut now) = (Queue::default(), hour(1));
        queue.announce(due("clean", now));
        for pause in PAUSES {
            let job = queue.next(now).unwrap();
            queue.finish_current();
            assert!(queue.retry(job, now));
            assert_eq!((queue.next(now), queue.next_ready(now)), (None, Some(now + pause)));
            now += pause;
        }
        let job = queue.next(now).unwrap();
        assert!(!queue.retry(job, now));
    }
}
