//! `tidemark dev`: the schedules on this machine's clock, what they set off, and the watcher, until somebody stops it. What EventBridge and
//! Lambda are on AWS is here one queue and one worker, so no step is ever walked twice at once.

mod definitions;
mod process;
mod queue;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_flow::{
    Bus, Context, Dispatcher, Event, Executor, Failure, GivenUp, Handled, Kind, NOT_KEPT, Progress, Quiet, Status,
    StepDue, function_of, host,
};
use tidemark_lake::Lake;
use tidemark_pipeline::StepId;
use watch::{ChannelEnvironment, Missed, Ticked};

use crate::args::Common;
use crate::exit::Exit;
use crate::progress::Bar;
use crate::world::World;
use crate::{print, steps};
use definitions::Definitions;
use process::{alone, stop_on_signal};
use queue::{Job, Queue, next_start, starts};
use time::Clock;
pub use time::{Signal, Time, Virtual, Walked};

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
    let world = World::new()?;
    let lake = world.lake(&common.lake)?;
    let _alone = alone(&common.lake)?;
    let (to_dev, signals) = channel();
    stop_on_signal(&world, to_dev.clone())?;
    let bar = Bar::new();
    let progress: &dyn Progress = if common.json { &Quiet } else { &bar };
    let done =
        Dev { common, world: &world, lake: &lake, progress, is_quiet: common.json }.run(&Clock, to_dev, &signals)?;
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
    pub common: &'a Common,
    pub world: &'a World,
    pub lake: &'a Lake,
    pub progress: &'a dyn Progress,
    pub is_quiet: bool,
}

/// Keeps what is announced, for the queue.
#[derive(Default)]
struct Announced(Mutex<Vec<StepDue>>);

impl Bus for Announced {
    fn announce(&self, due: &[StepDue]) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(due);
        Ok(())
    }
}

impl Announced {
    fn take(&self) -> Vec<StepDue> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Dev<'_> {
    /// Runs until it is stopped. `to_dev` is where the worker says that it is done; `signals` is its other end.
    ///
    /// # Errors
    /// There are no pipelines, or the lake cannot be read or written at the beginning; later that is told, and tried again.
    pub fn run(&self, time: &dyn Time, to_dev: Sender<Signal>, signals: &Receiver<Signal>) -> Result<Done, Failure> {
        let mut definitions = Arc::new(Definitions::read(self.common)?);
        let mut done = Done::default();
        let mut queue = Queue::default();
        // up to when the schedules have been looked at
        let mut seen = time.now();
        self.catches_up(seen, &definitions, &mut queue, &mut done)?;
        self.introduces(seen, &definitions, &queue);
        std::thread::scope(|scope| {
            let (to_worker, jobs) = channel::<(Job, Arc<Definitions>)>();
            scope.spawn(move || {
                for (job, definitions) in jobs {
                    let handled = self.walks(time, &job, &definitions);
                    if to_dev.send(Signal::Walked(Box::new((job, handled)))).is_err() {
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
                        self.tells(&format!("{}  {pipeline}", shown(*scheduled_time)));
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
                        done.told += ticked.told;
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
                    Some(Signal::Walked(walked)) => {
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
                if let Signal::Walked(walked) = signal {
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
        let fresh = match Definitions::read(self.common) {
            Ok(fresh) => fresh.remembering(definitions),
            Err(failure) => {
                self.tells(&format!("{} pipelines: {}", print::cross(), failure.chain()));
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
                self.tells(&format!(
                    "· {}  the start for {} has not begun; the one for {} takes its place",
                    pipeline.name,
                    shown(passed_over),
                    shown(at)
                ));
            }
        }
    }

    /// What was missed meanwhile; `false` where nobody can say what that is.
    fn mends(&self, now: Timestamp, definitions: &Definitions, queue: &mut Queue, done: &mut Done) -> bool {
        let made_up = self.catches_up(now, definitions, queue, done);
        if let Err(failure) = &made_up {
            self.tells(&format!("{} what was missed: {}", print::cross(), failure.chain()));
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
    ) -> Result<(), Failure> {
        let missed = self.world.with_context(self.lake, &Quiet, |context| {
            let clock = || now;
            watch::missed(&Context { clock: &clock, ..*context }, &definitions.view(self.common))
        })?;
        for Missed { pipeline, times, passed_over } in missed {
            done.passed_over += passed_over;
            let over = if passed_over > 0 { format!(", {passed_over} passed over") } else { String::new() };
            self.tells(&format!("· {pipeline}  {} to make up for{over}", counted(times.len(), "missed start")));
            let Ok(pipeline) = definitions.graph.pipeline(pipeline.as_str()) else { continue };
            for at in times {
                queue.start(pipeline, at);
            }
        }
        Ok(())
    }

    fn introduces(&self, now: Timestamp, definitions: &Definitions, queue: &Queue) {
        for pipeline in definitions.graph.pipelines() {
            let next = pipeline.schedule.as_ref().and_then(|schedule| schedule.next(now));
            let next = next.map_or("no schedule".to_owned(), |next| {
                format!("next at {}, in {}", shown(next), watch::lasted(next.duration_since(now)))
            });
            self.tells(&format!("· {}  {next}", pipeline.name));
        }
        for broken in &definitions.broken {
            self.tells(&format!("{} {}  {}", print::cross(), broken.pipeline, broken.failure.chain()));
        }
        if !self.is_quiet {
            definitions.left_out.iter().for_each(print::left_out);
        }
        let waiting = if queue.is_empty() { "" } else { "; starting with what was missed" };
        self.tells(&format!("watching every 5 minutes; Ctrl-C stops{waiting}\n"));
    }

    fn walks(&self, time: &dyn Time, job: &Job, definitions: &Definitions) -> Walked {
        let announced = Announced::default();
        let function = function_of(match &job.event {
            Event::StepDue(due) => &due.step,
            _ => &StepId::Ingest,
        });
        let chain = job.chain.as_deref().unwrap_or_default();
        let walk = || {
            self.with_context(time, self.progress, |context| {
                let dispatcher = Dispatcher {
                    environment: self.world,
                    graph: &definitions.graph,
                    bus: &announced,
                    executor: Executor::for_all_cores(),
                    function,
                    steps: step,
                };
                dispatcher.handle(context, &job.event, chain)
            })
        };
        // a step's own panic is its failure; no other stops the worker
        let handled = catch_unwind(AssertUnwindSafe(walk))
            .unwrap_or_else(|_| Err(Failure::new(Kind::Bug, "the worker panicked").hint("please report this")));
        (handled, announced.take())
    }

    /// An event that came to no record is what Lambda would give to whoever is to know.
    fn gives_up(&self, time: &dyn Time, definitions: &Definitions, event: Event, kind: Kind, why: String) {
        let by = "tidemark dev".to_owned();
        let (event, code) = (Some(Box::new(event)), kind.to_string());
        let given_up = GivenUp { event, by, attempts: None, code, why, at: Some(time.now()) };
        let noted = self.with_context(time, &Quiet, |context| {
            watch::note(context, &definitions.view(self.common), std::slice::from_ref(&given_up))
        });
        if let Err(failure) = noted {
            self.tells(&format!("{} {}", print::cross(), failure.chain()));
        }
    }

    /// What follows from a step that was walked; `true` if it failed for good.
    fn settles(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
        queue: &mut Queue,
        (job, (handled, due)): (Job, Walked),
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
            Ok(Handled { record, .. }) if record.status == Status::Failed => {
                // a lake that takes nothing has no record of it either
                let is_kept = !record.notes.iter().any(|note| note.starts_with(NOT_KEPT));
                let error = record.error;
                no_record = error.as_ref().filter(|_| !is_kept).map(|error| error.message.clone());
                error.map(|error| error.kind)
            }
            Ok(_) => return false,
            Err(failure) => {
                let hint = failure.hint.as_ref().map(|hint| format!("\n    → {hint}")).unwrap_or_default();
                self.tells(&format!("{} {}{hint}", print::cross(), failure.chain()));
                no_record = Some(failure.chain());
                Some(failure.kind)
            }
        };
        let is_given_up = kind != Some(Kind::Retry) || !queue.again(job.clone(), time.now());
        if let (true, Some(kind), Some(why)) = (is_given_up, kind, no_record) {
            self.gives_up(time, definitions, job.event, kind, why);
        }
        done.failed += usize::from(is_given_up);
        is_given_up
    }

    /// One look of the watcher.
    fn watches(&self, time: &dyn Time, definitions: &Definitions, queue: &mut Queue) -> Option<Ticked> {
        let announced = Announced::default();
        let ticked = self.with_context(time, &Quiet, |context| {
            let (view, chain) = (definitions.view(self.common), host::run_id_at(time.now()));
            let environment = ChannelEnvironment { secrets: self.world, mailer: None, handle: self.world.handle() };
            watch::with_channels(context, environment, |channels| {
                watch::tick(context, &view, &announced, channels, &chain)
            })
        });
        for due in announced.take() {
            queue.announce(due);
        }
        match ticked {
            Ok(ticked) => {
                self.reports(&ticked);
                Some(ticked)
            }
            Err(failure) => {
                self.tells(&format!("{} the watcher could not look: {}", print::cross(), failure.chain()));
                None
            }
        }
    }

    fn reports(&self, ticked: &Ticked) {
        for turn in &ticked.opened {
            self.tells(&format!("! {}  incident {}", turn.title, turn.incident));
        }
        for turn in &ticked.resolved {
            self.tells(&format!("{} over: {}  incident {}", print::tick(), turn.title, turn.incident));
        }
        if ticked.told + ticked.untold > 0 {
            let untold = if ticked.untold > 0 {
                format!(", {} could not be, and will be", ticked.untold)
            } else {
                String::new()
            };
            self.tells(&format!("  {} sent{untold}", counted(ticked.told, "message")));
        }
    }

    fn tells(&self, text: &str) {
        if !self.is_quiet {
            print::line(text);
        }
    }

    fn with_context<T>(&self, time: &dyn Time, progress: &dyn Progress, act: impl FnOnce(&Context<'_>) -> T) -> T {
        self.world.with_context(self.lake, progress, |context| {
            let (clock, run_id) = (|| time.now(), || host::run_id_at(time.now()));
            act(&Context { clock: &clock, run_id: &run_id, ..*context })
        })
    }
}

/// `1 message`, `2 messages`
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `2026-11-26 08:00 UTC`
fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
