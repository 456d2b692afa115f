//! What a function would do on AWS, done in this process: a step is walked, the watcher looks. What is announced meanwhile comes back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tidemark_flow::{
    Bus, Context, DeadLetter, Dispatcher, Error, ErrorKind, Event, Executor, Progress, Quiet, StepDue, function_of,
    host,
};
use tidemark_lake::Lake;
use tidemark_pipeline::StepId;
use watch::{ChannelEnvironment, Missed, TickReport};

use super::definitions::Definitions;
use super::queue::Job;
use super::time::{StepResult, Time};
use crate::args::Common;
use crate::environment::LocalEnvironment;
use crate::steps::step;

/// Works on one lake.
pub(super) struct Worker<'a> {
    pub common: &'a Common,
    pub world: &'a LocalEnvironment,
    pub lake: &'a Lake,
    pub progress: &'a dyn Progress,
}

/// Keeps what is announced, for the queue.
#[derive(Default)]
struct Announced(Mutex<Vec<StepDue>>);

impl Bus for Announced {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(due);
        Ok(())
    }
}

impl Announced {
    fn take(&self) -> Vec<StepDue> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Worker<'_> {
    /// Walks the step that an event means.
    pub(super) fn run_step(&self, time: &dyn Time, job: &Job, definitions: &Definitions) -> StepResult {
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
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the worker panicked").hint("please report this")));
        (handled, announced.take())
    }

    /// One look of the watcher.
    pub(super) fn watch(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
    ) -> (Result<TickReport, Error>, Vec<StepDue>) {
        let announced = Announced::default();
        let ticked = self.with_context(time, &Quiet, |context| {
            let (view, chain) = (definitions.view(self.common), host::run_id_at(time.now()));
            let environment = ChannelEnvironment { secrets: self.world, mailer: None, handle: self.world.handle() };
            watch::with_channels(context, environment, |channels| {
                watch::tick(context, &view, &announced, channels, &chain)
            })
        });
        (ticked, announced.take())
    }

    /// What was missed up to a moment.
    pub(super) fn missed(&self, now: Timestamp, definitions: &Definitions) -> Result<Vec<Missed>, Error> {
        self.world.with_context(self.lake, &Quiet, |context| {
            let clock = || now;
            watch::missed(&Context { clock: &clock, ..*context }, &definitions.view(self.common))
        })
    }

    /// An event that came to no record is what Lambda would give to whoever is to know.
    pub(super) fn give_up(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
        event: Event,
        kind: ErrorKind,
        why: String,
    ) -> Result<(), Error> {
        let by = "tidemark dev".to_owned();
        let (event, code) = (Some(Box::new(event)), kind.to_string());
        let given_up = DeadLetter { event, by, attempts: None, code, why, at: Some(time.now()) };
        self.with_context(time, &Quiet, |context| {
            watch::record_dead_letters(context, &definitions.view(self.common), std::slice::from_ref(&given_up))
        })
    }

    fn with_context<T>(&self, time: &dyn Time, progress: &dyn Progress, act: impl FnOnce(&Context<'_>) -> T) -> T {
        self.world.with_context(self.lake, progress, |context| {
            let (clock, run_id) = (|| time.now(), || host::run_id_at(time.now()));
            act(&Context { clock: &clock, run_id: &run_id, ..*context })
        })
    }
}
