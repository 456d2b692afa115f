//! `tidemark dev`: runs the schedules, the steps they trigger, and the watcher, by this machine's clock, until it is stopped. One queue and
//! one worker replace EventBridge and Lambda, so no step ever runs twice at the same time.

mod definitions;
mod process;
mod queue;
mod terminal;
mod time;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_flow::{Error, ErrorKind, Event, EventOutcome, NOT_KEPT, Progress, Quiet, Status, host};
use tidemark_lake::Lake;
use watch::{Missed, TickReport};

use crate::args::Common;
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;
use definitions::Definitions;
use process::{lock_lake, stop_on_signal};
use queue::{Job, Queue, next_start, starts};
use terminal::Terminal;
use time::Clock;
pub use time::{Signal, StepResult, Time, Virtual};
use worker::Worker;

/// Interval between two ticks of the watcher.
const TICK: SignedDuration = SignedDuration::from_mins(5);
/// If the clock advances by more than this in one iteration, the machine was asleep.
const ASLEEP: SignedDuration = SignedDuration::from_mins(10);

/// Counts of what was done until it was stopped.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Scheduled starts that were run.
    pub started: usize,
    /// Scheduled times that were skipped because a later one was started.
    #[serde(rename = "passed_over")]
    pub skipped: usize,
    pub steps: usize,
    pub failed: usize,
    pub ticks: usize,
    /// Messages sent.
    #[serde(rename = "told")]
    pub sent: usize,
}

pub(crate) fn dev(common: &Common) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.lake(&common.lake)?;
    let _lock = lock_lake(&common.lake)?;
    let (to_dev, signals) = channel();
    stop_on_signal(&local, to_dev.clone())?;
    let bar = Bar::new();
    let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
    let done = Dev::new(common, &local, &lake, progress, common.json).run(&Clock, to_dev, &signals)?;
    if common.json {
        print::json(&done)?;
    } else {
        print::line(&format!(
            "\nstopped: {} starts, {} steps run, {} of them failed, {} messages sent",
            done.started, done.steps, done.failed, done.sent
        ));
    }
    Ok(Exit::Done)
}

/// Runs schedules, worker and watcher on one lake.
pub struct Dev<'a> {
    worker: Worker<'a>,
    terminal: Terminal,
}

impl<'a> Dev<'a> {
    /// With `is_quiet`, nothing but the progress is shown on the terminal.
    pub fn new(
        common: &'a Common,
        local: &'a LocalEnvironment,
        lake: &'a Lake,
        progress: &'a dyn Progress,
        is_quiet: bool,
    ) -> Dev<'a> {
        Dev { worker: Worker { common, local, lake, progress }, terminal: Terminal { is_quiet } }
    }

    /// Runs until it is stopped. The worker reports ended steps to `to_dev`; `signals` is the receiving end of that channel.
    ///
    /// # Errors
    /// There are no pipelines, or the lake cannot be accessed at the start. Later such errors are reported on the terminal and retried.
    pub fn run(&self, time: &dyn Time, to_dev: Sender<Signal>, signals: &Receiver<Signal>) -> Result<Done, Error> {
        let mut definitions = Arc::new(Definitions::read(self.worker.common)?);
        let mut done = Done::default();
        let mut queue = Queue::default();
        // up to which time the schedules have been evaluated
        let mut seen = time.now();
        self.catch_up(seen, &definitions, &mut queue, &mut done)?;
        self.terminal.introduce(seen, &definitions, !queue.is_empty());
        std::thread::scope(|scope| {
            let (to_worker, jobs) = channel::<(Job, Arc<Definitions>)>();
            scope.spawn(move || {
                for (job, definitions) in jobs {
                    let outcome = self.worker.run_step(time, &job, &definitions);
                    if to_dev.send(Signal::StepEnded(Box::new((job, outcome)))).is_err() {
                        return;
                    }
                }
            });
            let mut next_tick = seen;
            let mut open = 0;
            loop {
                let now = time.now();
                // files are read again when a pipeline is due; a newly broken file is reported at once
                let is_due = next_start(&definitions.graph, seen).is_some_and(|at| at <= now);
                if is_due && self.reload(now, &mut definitions, &mut queue, &mut done) {
                    next_tick = now;
                }
                self.start_due(seen, now, &definitions, &mut queue, &mut done);
                // if the clock is set back, times that have been evaluated are not evaluated again
                seen = seen.max(now);
                if !queue.is_busy()
                    && let Some(mut job) = queue.next(now)
                {
                    // the same id for all attempts
                    job.correlation_id.get_or_insert_with(|| host::run_id_at(now));
                    if let (Event::Schedule { pipeline, scheduled_time }, true) = (&job.event, job.is_first_attempt()) {
                        self.terminal.begin(pipeline, *scheduled_time);
                    }
                    if to_worker.send((job, definitions.clone())).is_err() {
                        break;
                    }
                }
                if now >= next_tick || next_tick.duration_since(now) > TICK {
                    next_tick = now + TICK;
                    self.reload(now, &mut definitions, &mut queue, &mut done);
                    done.ticks += 1;
                    if let Some(report) = self.watch_once(time, &definitions, &mut queue) {
                        done.sent += report.sent;
                        open = report.open;
                    }
                    continue;
                }
                let ready = queue.next_ready(now).filter(|_| !queue.is_busy());
                let until =
                    [next_start(&definitions.graph, seen), ready].into_iter().flatten().fold(next_tick, Ord::min);
                match time.wait(until, signals, queue.is_busy()) {
                    None => {}
                    Some(Signal::Stop) => break,
                    Some(Signal::StepEnded(ended)) => {
                        let has_failed = self.finish_step(time, &definitions, &mut queue, *ended, &mut done);
                        // a failure is reported at once, and its end as soon as the queue is empty
                        if has_failed || (open > 0 && queue.is_empty()) {
                            next_tick = time.now();
                        }
                    }
                }
            }
            drop(to_worker);
            // wait for the running step
            while queue.is_busy()
                && let Ok(signal) = signals.recv()
            {
                if let Signal::StepEnded(ended) = signal {
                    self.finish_step(time, &definitions, &mut queue, *ended, &mut done);
                }
            }
        });
        Ok(done)
    }

    /// Reads the pipeline files again. Returns true if more of them are broken than before.
    fn reload(&self, now: Timestamp, definitions: &mut Arc<Definitions>, queue: &mut Queue, done: &mut Done) -> bool {
        let fresh = match Definitions::read(self.worker.common) {
            Ok(fresh) => fresh.with_alerts_from(definitions),
            Err(error) => {
                self.terminal.failed("pipelines: ", &error);
                return false;
            }
        };
        let (has_more, is_worse) =
            (fresh.has_new_pipelines(definitions), fresh.broken.len() > definitions.broken.len());
        *definitions = Arc::new(fresh);
        if has_more {
            self.catch_up_or_report(now, definitions, queue, done);
        }
        is_worse
    }

    /// Queues the starts that have become due since `seen`. After sleep, missed starts are caught up as after a shutdown.
    fn start_due(
        &self,
        seen: Timestamp,
        now: Timestamp,
        definitions: &Definitions,
        queue: &mut Queue,
        done: &mut Done,
    ) {
        if now.duration_since(seen) > ASLEEP && self.catch_up_or_report(now, definitions, queue, done) {
            return;
        }
        for (at, pipeline) in starts(&definitions.graph, seen, now) {
            if let Some(skipped) = queue.start(pipeline, at) {
                done.skipped += 1;
                self.terminal.skip(&pipeline.name, skipped, at);
            }
        }
    }

    /// Queues missed starts, and reports an error on the terminal. Returns false if they could not be determined.
    fn catch_up_or_report(
        &self,
        now: Timestamp,
        definitions: &Definitions,
        queue: &mut Queue,
        done: &mut Done,
    ) -> bool {
        let caught_up = self.catch_up(now, definitions, queue, done);
        if let Err(error) = &caught_up {
            self.terminal.failed("missed starts: ", error);
        }
        caught_up.is_ok()
    }

    /// Queues the starts that were missed while this was not running.
    fn catch_up(
        &self,
        now: Timestamp,
        definitions: &Definitions,
        queue: &mut Queue,
        done: &mut Done,
    ) -> Result<(), Error> {
        for missed in self.worker.missed(now, definitions)? {
            self.terminal.missed(&missed);
            let Missed { pipeline, times, skipped } = missed;
            done.skipped += skipped;
            let Ok(pipeline) = definitions.graph.pipeline(pipeline.as_str()) else { continue };
            for at in times {
                queue.start(pipeline, at);
            }
        }
        Ok(())
    }

    /// Handles the result of a step: queues what it announced, and retries. Returns true if it failed and is not retried.
    fn finish_step(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
        queue: &mut Queue,
        (job, (outcome, due)): (Job, StepResult),
        done: &mut Done,
    ) -> bool {
        queue.finish_current();
        done.steps += 1;
        done.started += usize::from(job.is_first_attempt() && matches!(job.event, Event::Schedule { .. }));
        for due in due {
            queue.announce(due);
        }
        let no_record;
        let kind = match outcome {
            Ok(EventOutcome { record, .. }) if record.status == Status::Failed => {
                // if the lake cannot be written, the run record is missing too
                let is_kept = !record.notes.iter().any(|note| note.starts_with(NOT_KEPT));
                let error = record.error;
                no_record = error.as_ref().filter(|_| !is_kept).map(|error| error.message.clone());
                error.map(|error| error.kind)
            }
            Ok(_) => return false,
            Err(error) => {
                self.terminal.failed_with_hint(&error);
                no_record = Some(error.full_message());
                Some(error.kind)
            }
        };
        let is_final = kind != Some(ErrorKind::Retry) || !queue.retry(job.clone(), time.now());
        if let (true, Some(kind), Some(why)) = (is_final, kind, no_record)
            && let Err(error) = self.worker.record_dead_letter(time, definitions, job.event, kind, why)
        {
            self.terminal.failed("", &error);
        }
        done.failed += usize::from(is_final);
        is_final
    }

    /// Runs one tick of the watcher.
    fn watch_once(&self, time: &dyn Time, definitions: &Definitions, queue: &mut Queue) -> Option<TickReport> {
        let (report, due) = self.worker.watch(time, definitions);
        for due in due {
            queue.announce(due);
        }
        match report {
            Ok(report) => {
                self.terminal.report_tick(&report);
                Some(report)
            }
            Err(error) => {
                self.terminal.failed("the watcher failed: ", &error);
                None
            }
        }
    }
}
