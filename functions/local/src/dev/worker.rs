//! Does in this process what the functions do on AWS: runs steps and the watcher, and returns the steps they announce.

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

/// A worker on one lake.
pub(super) struct Worker<'a> {
    pub common: &'a Common,
    pub local: &'a LocalEnvironment,
    pub lake: &'a Lake,
    pub progress: &'a dyn Progress,
}

/// Collects announced steps for the queue.
#[derive(Default)]
struct CollectingBus(Mutex<Vec<StepDue>>);

impl Bus for CollectingBus {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(due);
        Ok(())
    }
}

impl CollectingBus {
    fn take(&self) -> Vec<StepDue> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Worker<'_> {
    /// Runs the step of an event.
    pub(super) fn run_step(&self, time: &dyn Time, job: &Job, definitions: &Definitions) -> StepResult {
        let announced = CollectingBus::default();
        let function = function_of(match &job.event {
            Event::StepDue(due) => &due.step,
            _ => &StepId::Ingest,
        });
        let correlation_id = job.correlation_id.as_deref().unwrap_or_default();
        let run = || {
            self.with_context(time, self.progress, |context| {
                let dispatcher = Dispatcher {
                    environment: self.local,
                    graph: &definitions.graph,
                    bus: &announced,
                    executor: Executor::for_all_cores(),
                    function,
                    steps: step,
                };
                dispatcher.handle(context, &job.event, correlation_id)
            })
        };
        // a panic of the step itself is already handled as its failure; any other panic must not stop the worker
        let outcome = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the worker panicked").hint("please report this")));
        (outcome, announced.take())
    }

    /// Runs one tick of the watcher.
    pub(super) fn watch(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
    ) -> (Result<TickReport, Error>, Vec<StepDue>) {
        let announced = CollectingBus::default();
        let report = self.with_context(time, &Quiet, |context| {
            let (snapshot, correlation_id) = (definitions.snapshot(self.common), host::run_id_at(time.now()));
            let environment = ChannelEnvironment { secrets: self.local, mailer: None, handle: self.local.handle() };
            watch::with_channels(context, environment, |channels| {
                watch::tick(context, &snapshot, &announced, channels, &correlation_id)
            })
        });
        (report, announced.take())
    }

    /// The starts that were missed up to `now`.
    pub(super) fn missed(&self, now: Timestamp, definitions: &Definitions) -> Result<Vec<Missed>, Error> {
        self.local.with_context(self.lake, &Quiet, |context| {
            let clock = || now;
            watch::missed(&Context { clock: &clock, ..*context }, &definitions.snapshot(self.common))
        })
    }

    /// Reports an event that failed without a run record, as Lambda does with its dead-letter queue.
    pub(super) fn record_dead_letter(
        &self,
        time: &dyn Time,
        definitions: &Definitions,
        event: Event,
        kind: ErrorKind,
        why: String,
    ) -> Result<(), Error> {
        let by = "tidemark dev".to_owned();
        let (event, code) = (Some(Box::new(event)), kind.to_string());
        let dead_letter = DeadLetter { event, by, attempts: None, code, why, at: Some(time.now()) };
        self.with_context(time, &Quiet, |context| {
            watch::record_dead_letters(context, &definitions.snapshot(self.common), std::slice::from_ref(&dead_letter))
        })
    }

    fn with_context<T>(&self, time: &dyn Time, progress: &dyn Progress, act: impl FnOnce(&Context<'_>) -> T) -> T {
        self.local.with_context(self.lake, progress, |context| {
            let (clock, run_id) = (|| time.now(), || host::run_id_at(time.now()));
            act(&Context { clock: &clock, run_id: &run_id, ..*context })
        })
    }
}
