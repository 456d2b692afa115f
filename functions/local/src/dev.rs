//! `tidemark dev`: the schedules on this machine's clock, what they set off, and the watcher, until somebody stops it. What EventBridge and
//! Lambda are on AWS is here one queue and one worker, so no step is ever walked twice at once.

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
use process::{alone, stop_on_signal};
use queue::{Job, Queue, next_start, starts};
use terminal::Terminal;
use time::Clock;
pub use time::{Signal, StepResult, Time, Virtual};
use worker::Worker;

/// Between two looks of the watcher.
const TICK: SignedDuration = SignedDuration::from_mins(5);
/// A clock that has gone further than this between two looks belongs to a machine that slept.
const ASLEEP: SignedDuration = SignedDuration::from_mins(10);

/// What has been done until it was stopped.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    pub started: usize,
    /// Scheduled times for which a later one has been started.
    pub passed_over: usize,
    pub steps: usize,
    pub failed: usize,
    pub ticks: usize,
    pub told: usize,
}

pub(crate) fn dev(common: &Common) -> anyhow::Result<Exit> {
    let world = LocalEnvironment::new()?;
    let lake = world.lake(&common.lake)?;
    let _alone = alone(&common.lake)?;
    let (to_dev, signals) = channel();
    stop_on_signal(&world, to_dev.clone())?;
    let bar = Bar::new();
    let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
    let done = Dev::new(common, &world, &lake, progress, common.json).run(&Clock, to_dev, &signals)?;
    if common.json {
        print::json(&done)?;
    } else {
        print::line(&format!(
            "\nstopped: {} starts, {} steps walked, {} of them failed, {} messages sent",
            done.started, done.steps, done.failed, done.told
        ));
    }
    Ok(Exit::Done)
}

/// Schedules, worker and watcher over one lake.
pub struct Dev<'a> {
    worker: Worker<'a>,
    terminal: Terminal,
}

impl<'a> Dev<'a> {
    /// One that is quiet says nothing on the terminal, beside the progress.
    pub fn new(
        common: &'a Common,
        world: &'a LocalEnvironment,
        lake: &'a Lake,
        progress: &'a dyn Progress,
        is_quiet: bool,
    ) -> Dev<'a> {
        Dev { worker: Worker { common, world, lake, progress }, terminal: Terminal { is_quiet } }
    }

    /// Runs until it is stopped. `to_dev` is where the worker says that it is done; `signals` is its other end.
    ///
    /// # Errors
    /// There are no pipelines, or the lake cannot be read or written at the beginning; later that is told, and tried again.
    pub fn run(&self, time: &dyn Time, to_dev: Sender<Signal>, signals: &Receiver<Signal>) -> Result<Done, Error> {
        let mut definitions = Arc::new(Definitions::read(self.worker.common)?);
        let mut done = Done::default();
        let mut queue = Queue::default();
        // up to when the schedules have been looked at
        let mut seen = time.now();
        self.catches_up(seen, &definitions, &mut queue, &mut done)?;
        self.terminal.introduce(seen, &definitions, !queue.is_empty());
        std::thread::scope(|scope| {
            let (to_worker, jobs) = channel::<(Job, Arc<Definitions>)>();
            scope.spawn(move || {
                for (job, definitions) in jobs {
                    let handled = self.worker.run_step(time, &job, &definitions);
                    if to_dev.send(Signal::StepEnded(Box::new((job, handled)))).is_err() {
                        return;
                    }
                }
            });
            let mut next_tick = seen;
            let mut open = 0;
            loop {
                let now = time.now();
                // a file counts as it is when its pipeline is due; that it is broken is told at once
                let is_due = next_start(&definitions.graph, seen).is_some_and(|at| at <= now);
                if is_due && self.reads_anew(now, &mut definitions, &mut queue, &mut done) {
                    next_tick = now;
                }
                self.starts(seen, now, &definitions, &mut queue, &mut done);
                // a clock that is set back shows again what has been
                seen = seen.max(now);
                if !queue.is_busy()
                    && let Some(mut job) = queue.next(now)
                {
                    // of all attempts
                    job.chain.get_or_insert_with(|| host::run_id_at(now));
                    if let (Event::Schedule { pipeline, scheduled_time }, true) = (&job.event, job.is_first_attempt()) {
                        self.terminal.begin(pipeline, *scheduled_time);
                    }
                    if to_worker.send((job, definitions.clone())).is_err() {
                        break;
                    }
                }
                if now >= next_tick || next_tick.duration_since(now) > TICK {
                    next_tick = now + TICK;
                    self.reads_anew(now, &mut definitions, &mut queue, &mut done);
                    done.ticks += 1;
                    if let Some(ticked) = self.watches(time, &definitions, &mut queue) {
                        done.told += ticked.sent;
                        open = ticked.open;
                    }
                    continue;
                }
                let ready = queue.next_ready(now).filter(|_| !queue.is_busy());
                let until =
                    [next_start(&definitions.graph, seen), ready].into_iter().flatten().fold(next_tick, Ord::min);
                match time.wait(until, signals, queue.is_busy()) {
                    None => {}
                    Some(Signal::Stop) => break,
                    Some(Signal::StepEnded(walked)) => {
                        let has_failed = self.settles(time, &definitions, &mut queue, *walked, &mut done);
                        // that it failed is told at once, and that it is over as soon as nothing more is to be done
                        if has_failed || (open > 0 && queue.is_empty()) {
                            next_tick = time.now();
                        }
                    }
                }
            }
            drop(to_worker);
            // the step that is being walked
            while queue.is_busy()
                && let Ok(signal) = signals.recv()
            {
                if let Signal::StepEnded(walked) = signal {
                    self.settles(time, &definitions, &mut queue, *walked, &mut done);
                }
            }
        });
        Ok(done)
    }

    /// Reads the pipeline files anew; `true` if there are more that are broken than before.
    fn reads_anew(
        &self,
        now: Timestamp,
        definitions: &mut Arc<Definitions>,
        queue: &mut Queue,
        done: &mut Done,
    ) -> bool {
        let fresh = match Definitions::read(self.worker.common) {
            Ok(fresh) => fresh.remembering(definitions),
            Err(failure) => {
                self.terminal.failed("pipelines: ", &failure);
                return false;
            }
        };
        let (has_more, is_worse) = (fresh.has_more_than(definitions), fresh.broken.len() > definitions.broken.len());
        *definitions = Arc::new(fresh);
        if has_more {
            self.mends(now, definitions, queue, done);
        }
        is_worse
    }

    /// What the schedules mean since they were last looked at. A machine that slept makes up for it as one that was off.
    fn starts(&self, seen: Timestamp, now: Timestamp, definitions: &Definitions, queue: &mut Queue, done: &mut Done) {
        if now.duration_since(seen) > ASLEEP && self.mends(now, definitions, queue, done) {
            return;
        }
        for (at, pipeline) in starts(&definitions.graph, seen, now) {
            if let Some(passed_over) = queue.start(pipeline, at) {
                done.passed_over += 1;
                self.terminal.passed_over(&pipeline.name, passed_over, at);
            }
        }
    }

    /// What was missed meanwhile; `false` where nobody can say what that is.
    fn mends(&self, now: Timestamp, definitions: &Definitions, queue: &mut Queue, done: &mut Done) -> bool {
        let made_up = self.catches_up(now, definitions, queue, done);
        if let Err(failure) = &made_up {
            self.terminal.failed("what was missed: ", failure);
        }
        made_up.is_ok()
    }

    /// What was missed while nobody was there.
    fn catches_up(
        &self,
        now: Timestamp,
        definitions: &Definitions,
        queue: &mut Queue,
        done: &mut Done,
    ) -> Result<(), Error> {
        for missed in self.worker.missed(now, definitions)? {
            self.terminal.missed(&missed);
            let Missed { pipeline, times, passed_over } = missed;
            done.passed_over += passed_over;
            let Ok(pipeline) = definitions.graph.pipeline(pipeline.as_str()) else { continue };
            for at in times {
                queue.start(pipeline, at);
            }
        }
        Ok(())
    }

    /// What follows from a step that was walked; `true` if it failed for good.
    fn settles(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
        queue: &mut Queue,
        (job, (handled, due)): (Job, StepResult),
        done: &mut Done,
    ) -> bool {
        queue.rests();
        done.steps += 1;
        done.started += usize::from(job.is_first_attempt() && matches!(job.event, Event::Schedule { .. }));
        for due in due {
            queue.announce(due);
        }
        let no_record;
        let kind = match handled {
            Ok(EventOutcome { record, .. }) if record.status == Status::Failed => {
                // a lake that takes nothing has no record of it either
                let is_kept = !record.notes.iter().any(|note| note.starts_with(NOT_KEPT));
                let error = record.error;
                no_record = error.as_ref().filter(|_| !is_kept).map(|error| error.message.clone());
                error.map(|error| error.kind)
            }
            Ok(_) => return false,
            Err(failure) => {
                self.terminal.failed_with_hint(&failure);
                no_record = Some(failure.full_message());
                Some(failure.kind)
            }
        };
        let is_given_up = kind != Some(ErrorKind::Retry) || !queue.again(job.clone(), time.now());
        if let (true, Some(kind), Some(why)) = (is_given_up, kind, no_record)
            && let Err(failure) = self.worker.give_up(time, definitions, job.event, kind, why)
        {
            self.terminal.failed("", &failure);
        }
        done.failed += usize::from(is_given_up);
        is_given_up
    }

    /// One look of the watcher.
    fn watches(&self, time: &dyn Time, definitions: &Definitions, queue: &mut Queue) -> Option<TickReport> {
        let (ticked, due) = self.worker.watch(time, definitions);
        for due in due {
            queue.announce(due);
        }
        match ticked {
            Ok(ticked) => {
                self.terminal.ticked(&ticked);
                Some(ticked)
            }
            Err(failure) => {
                self.terminal.failed("the watcher could not look: ", &failure);
                None
            }
        }
    }
}
