//! `tidemark dev`: the schedules on this machine's clock, what they set off, and the watcher, until somebody stops it. What EventBridge and
//! Lambda are on AWS is here one queue and one worker, so no step is ever walked twice at once.

mod queue;
mod time;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use serde::Serialize;
use tidemark_flow::{
    Broken, Bus, Event, Failure, Handled, Kind, Ports, Progress, Quiet, Status, StepDue, function_of, handle,
    is_bucket, load_definitions_that_can_be, machine,
};
use tidemark_lake::Lake;
use tidemark_pipeline::Graph;
use watch::{Channels, Missed, Ticked, View};

use crate::cli::{Common, DEFAULT_PIPELINES};
use crate::definitions::{LeftOut, meant, value};
use crate::exit::Exit;
use crate::progress::Bar;
use crate::world::World;
use crate::{print, steps};
use queue::{Job, Queue};
use time::Clock;
pub use time::{Signal, Time, Virtual};

/// Between two looks of the watcher.
const TICK: SignedDuration = SignedDuration::from_mins(5);

/// What has been done until it was stopped.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    pub started: usize,
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
    stop_on_signal(&world, to_dev.clone());
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

/// A lake in a folder has one `tidemark dev`; the lock goes with the process.
fn alone(place: &str) -> Result<Option<std::fs::File>, Failure> {
    if is_bucket(place) {
        return Ok(None);
    }
    let path = Path::new(place).join("watch").join("dev.lock");
    let failed = |error| Failure::new(Kind::Refused, format!("{} cannot be locked", path.display())).because(error);
    std::fs::create_dir_all(path.with_file_name("")).map_err(failed)?;
    let file = std::fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failure::new(Kind::Refused, format!("another tidemark dev is at work on {place}"))
                .hint("stop it first, or name another lake with --lake"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The first signal lets the step that is being walked end; the second does not, which leaves nothing half done either.
fn stop_on_signal(world: &World, to: Sender<Signal>) {
    let waits = async move {
        for nth in 0.. {
            let asked = async {
                let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
                tokio::select! {
                    asked = tokio::signal::ctrl_c() => asked,
                    _ = terminated.recv() => Ok(()),
                }
            };
            // without signals it can only be killed
            if asked.await.is_err() {
                return;
            }
            if nth > 0 || to.send(Signal::Stop).is_err() {
                std::process::exit(130);
            }
        }
    };
    world.handle().spawn(waits);
}

/// Schedules, worker and watcher over one lake.
pub struct Dev<'a> {
    pub common: &'a Common,
    pub world: &'a World,
    pub lake: &'a Lake,
    pub progress: &'a dyn Progress,
    pub is_quiet: bool,
}

/// The pipelines as they are now.
struct Definitions {
    graph: Graph,
    broken: Vec<Broken>,
    left_out: Vec<LeftOut>,
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
        let mut definitions = Arc::new(self.definitions()?);
        let mut done = Done::default();
        let mut queue = Queue::default();
        self.catches_up(time, &definitions, &mut queue)?;
        self.introduces(time, &definitions, &queue);
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
            let mut began = time.now();
            let mut next_tick = began;
            let mut is_busy = false;
            let mut open = 0;
            loop {
                let now = time.now();
                done.started += queue.starts(&definitions.graph, began, now);
                began = now;
                if !is_busy && let Some(job) = queue.next(now) {
                    is_busy = to_worker.send((job, definitions.clone())).is_ok();
                }
                if now >= next_tick {
                    next_tick = now + TICK;
                    match self.definitions() {
                        Ok(fresh) => definitions = Arc::new(fresh),
                        Err(failure) => self.tells(&format!("{} pipelines: {}", print::cross(), failure.chain())),
                    }
                    done.ticks += 1;
                    if let Some(ticked) = self.watches(time, &definitions, &mut queue) {
                        done.told += ticked.told;
                        open = ticked.open;
                    }
                    continue;
                }
                let fires = queue.next_start(&definitions.graph, now);
                let until =
                    [fires, queue.next_ready(now).filter(|_| !is_busy)].into_iter().flatten().fold(next_tick, Ord::min);
                match time.wait(until, signals, is_busy) {
                    None => {}
                    Some(Signal::Stop) => break,
                    Some(Signal::Walked(walked)) => {
                        is_busy = false;
                        let (job, handled) = *walked;
                        done.steps += 1;
                        let has_failed = self.settles(time, &mut queue, job, handled);
                        done.failed += usize::from(has_failed);
                        // that it failed is told at once, and that it is over as soon as nothing more is to be done
                        if has_failed || (open > 0 && queue.next_ready(time.now()).is_none()) {
                            next_tick = time.now();
                        }
                    }
                }
            }
            drop(to_worker);
        });
        Ok(done)
    }

    /// What was missed while nobody was there.
    fn catches_up(&self, time: &dyn Time, definitions: &Definitions, queue: &mut Queue) -> Result<(), Failure> {
        let missed = self.with_ports(time, &Quiet, |ports| watch::missed(ports, &definitions.view(self.common)))?;
        for Missed { pipeline, times, passed_over } in missed {
            let over = if passed_over > 0 { format!(", {passed_over} passed over") } else { String::new() };
            self.tells(&format!("· {pipeline}  {} missed starts are made up for{over}", times.len()));
            for at in times {
                queue.push(Event::Schedule { pipeline: pipeline.clone(), scheduled_time: at }, at);
            }
        }
        Ok(())
    }

    fn introduces(&self, time: &dyn Time, definitions: &Definitions, queue: &Queue) {
        let now = time.now();
        for pipeline in definitions.graph.pipelines() {
            let next = pipeline.schedule.as_ref().and_then(|schedule| schedule.next(now));
            let next = next.map_or("no schedule".to_owned(), |next| {
                format!(
                    "next at {}, in {}",
                    next.strftime("%Y-%m-%d %H:%M UTC"),
                    watch::lasted(next.duration_since(now))
                )
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

    /// The pipelines whose parameters have values, read anew: a file that was changed counts from now on.
    fn definitions(&self) -> Result<Definitions, Failure> {
        let (names, left_out) = meant(self.common, &[]);
        let is_meant = |name: &str| names.is_empty() || !left_out.iter().any(|left| left.pipeline == name);
        let (graph, broken) =
            load_definitions_that_can_be(&self.common.pipelines, &|name| value(self.common, name), &is_meant)?;
        Ok(Definitions { graph, broken, left_out })
    }

    fn walks(&self, time: &dyn Time, job: &Job, definitions: &Definitions) -> (Result<Handled, Failure>, Vec<StepDue>) {
        let announced = Announced::default();
        let function = match &job.event {
            Event::StepDue(due) => function_of(&due.step),
            _ => "ingest",
        };
        let chain = job.chain.clone().unwrap_or_else(|| machine::run_id_at(time.now()));
        let handled = self.with_ports(time, self.progress, |ports| {
            handle(ports, &definitions.graph, &announced, steps::walk, function, &job.event, &chain)
        });
        (handled, announced.take())
    }

    /// What follows from a step that was walked; `true` if it failed for good.
    fn settles(
        &self,
        time: &dyn Time,
        queue: &mut Queue,
        job: Job,
        (handled, due): (Result<Handled, Failure>, Vec<StepDue>),
    ) -> bool {
        for due in due {
            queue.announce(due);
        }
        let kind = match handled {
            Ok(Handled { record, .. }) if record.status == Status::Failed => record.error.map(|error| error.kind),
            Ok(_) => return false,
            Err(failure) => {
                let hint = failure.hint.as_ref().map(|hint| format!("\n    → {hint}")).unwrap_or_default();
                self.tells(&format!("{} {}{hint}", print::cross(), failure.chain()));
                Some(failure.kind)
            }
        };
        let is_given_up = kind != Some(Kind::Retry) || !queue.again(job, time.now());
        is_given_up
    }

    /// One look of the watcher.
    fn watches(&self, time: &dyn Time, definitions: &Definitions, queue: &mut Queue) -> Option<Ticked> {
        let announced = Announced::default();
        let ticked = self.with_ports(time, &Quiet, |ports| {
            let mailer =
                watch::channel::Smtp::from_variables(|name| std::env::var(name).ok(), ports.secret, ports.clock);
            let channels = Channels::new(ports.secret, &mailer, ports.clock, self.world.handle());
            watch::tick(ports, &definitions.view(self.common), &announced, &channels, &machine::run_id_at(time.now()))
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
            self.tells(&format!("  {} messages sent{untold}", ticked.told));
        }
    }

    fn tells(&self, text: &str) {
        if !self.is_quiet {
            print::line(text);
        }
    }

    fn with_ports<T>(&self, time: &dyn Time, progress: &dyn Progress, act: impl FnOnce(&Ports<'_>) -> T) -> T {
        self.world.with_ports(self.lake, progress, |ports| {
            let (clock, run_id) = (|| time.now(), || machine::run_id_at(time.now()));
            act(&Ports { clock: &clock, run_id: &run_id, scratch: ports.scratch.clone(), ..*ports })
        })
    }
}

impl Definitions {
    fn view(&self, common: &Common) -> View<'_> {
        View { graph: &self.graph, broken: &self.broken, arguments: arguments(common) }
    }
}

/// What has to be said to another command for it to mean the same pipelines.
fn arguments(common: &Common) -> String {
    let pipelines = common.pipelines.display().to_string();
    let folder = (pipelines != DEFAULT_PIPELINES).then(|| format!(" --pipelines {}", watch::quoted(&pipelines)));
    let set =
        common.parameters.iter().map(|(name, value)| format!(" --set {}", watch::quoted(&format!("{name}={value}"))));
    folder.into_iter().chain(set).collect()
}
