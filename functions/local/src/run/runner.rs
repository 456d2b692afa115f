//! Runs the steps of a graph: independent steps run concurrently, each with its own request counts.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tidemark_flow::{Context, Environment, Error, ErrorKind, Executor, Progress, RunRecord, Status, Trigger};
use tidemark_pipeline::{Graph, Pipeline, StepId};

use super::order::Order;
use crate::steps::step;

/// Context and environment in which steps run one after another.
#[derive(Clone, Copy)]
pub struct Lane<'a> {
    pub context: &'a Context<'a>,
    pub environment: &'a dyn Environment,
}

/// Opens another lane for the duration of a call, with its own lake and environment, so that its requests are counted separately.
pub type OpenLane<'a> = &'a (dyn Fn(&mut dyn FnMut(Lane<'_>)) -> Result<(), Error> + Sync);

/// Runs the steps of a graph.
pub struct Runner<'a> {
    pub lane: Lane<'a>,
    /// How to open more lanes, and the maximum number of all lanes. None: steps run one after another.
    pub more: Option<(OpenLane<'a>, NonZeroUsize)>,
    pub executor: Executor<'a>,
    pub graph: &'a Graph,
}

impl Runner<'_> {
    /// Runs the steps of the named pipelines, or of all. After a failed step, the later steps of its pipeline are left to the next run. The
    /// records are in the order of the graph.
    pub fn run_all(&self, names: &[String], trigger: &Trigger) -> Result<Vec<RunRecord>, Error> {
        let is_named = |pipeline: &Pipeline| names.iter().any(|wanted| wanted == pipeline.name.as_str());
        self.run_chosen(&|pipeline, _| names.is_empty() || is_named(pipeline), trigger)
    }

    /// Runs the steps chosen by a predicate.
    pub(crate) fn run_chosen(
        &self,
        is_chosen: &dyn Fn(&Pipeline, &StepId) -> bool,
        trigger: &Trigger,
    ) -> Result<Vec<RunRecord>, Error> {
        let order = Order::new(self.graph.steps().filter(|(pipeline, step)| is_chosen(pipeline, step)).collect());
        let lanes = self.more.map_or(1, |(_, lanes)| lanes.get()).min(order.len()).max(1);
        let records = (0..order.len()).map(|_| Vec::new()).collect();
        let state = State { order, records, shown: 0, busy: 0, error: None };
        let shared = Shared { runner: self, trigger, lanes, state: Mutex::new(state), changed: Condvar::new() };
        std::thread::scope(|scope| {
            if let Some((open, _)) = self.more {
                for _ in 1..lanes {
                    let shared = &shared;
                    scope.spawn(move || {
                        // a lane is opened when there is something to run in it
                        let Some(first) = shared.take() else { return };
                        let mut first = Some(first);
                        let opened = open(&mut |lane| shared.run(lane, first.take()));
                        match (opened, first) {
                            (Ok(()), _) => {}
                            // the other lanes run the step
                            (Err(_), Some(nth)) => shared.put_back(nth),
                            (Err(error), None) => shared.fail(error),
                        }
                    });
                }
            }
            shared.run(self.lane, None);
        });
        let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(error) => Err(error),
            None => Ok(state.records.into_iter().flatten().collect()),
        }
    }
}

struct Shared<'r, 'a> {
    runner: &'r Runner<'a>,
    trigger: &'r Trigger,
    lanes: usize,
    state: Mutex<State<'r>>,
    /// Notified when a step is over.
    changed: Condvar,
}

struct State<'g> {
    order: Order<'g>,
    /// The records of each step.
    records: Vec<Vec<RunRecord>>,
    /// How many of the first steps have had their records shown.
    shown: usize,
    /// How many steps are running.
    busy: usize,
    /// An error after which no more steps are run.
    error: Option<Error>,
}

impl<'r> Shared<'r, '_> {
    fn state(&self) -> MutexGuard<'_, State<'r>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next step that may run. Returns None if none is left.
    fn take(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.error.is_some() {
                return None;
            }
            if let Some(nth) = state.order.take() {
                state.busy += 1;
                return Some(nth);
            }
            if state.order.is_idle() {
                self.show(&mut state);
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, error: Error) {
        self.state().error.get_or_insert(error);
        self.changed.notify_all();
    }

    fn put_back(&self, nth: usize) {
        let mut state = self.state();
        state.busy -= 1;
        state.order.put_back(nth);
        self.changed.notify_all();
    }

    /// Runs one step after another in a lane, starting with `first` if one is taken already.
    fn run(&self, lane: Lane<'_>, first: Option<usize>) {
        let mut next = first.or_else(|| self.take());
        while let Some(nth) = next {
            // a panic outside the step itself would leave the other lanes waiting for this one
            match catch_unwind(AssertUnwindSafe(|| self.run_step(lane, nth))) {
                Ok(Ok(has_failed)) => self.end(nth, has_failed),
                Ok(Err(error)) => self.fail(error),
                Err(panic) => {
                    self.fail(Error::new(ErrorKind::Bug, "the command panicked between two steps"));
                    resume_unwind(panic);
                }
            }
            next = self.take();
        }
    }

    /// Runs a step repeatedly until it has no more to do. Returns whether it failed.
    fn run_step(&self, lane: Lane<'_>, nth: usize) -> Result<bool, Error> {
        let (pipeline, id) = self.state().order.step(nth);
        let progress = StepProgress { shared: self, nth };
        let memory = lane.context.memory / self.lanes as u64;
        let context = Context { memory, progress: &progress, ..*lane.context };
        let mut trigger = self.trigger.clone();
        loop {
            let step = step(lane.environment, self.runner.graph, pipeline, id)?;
            let record = step.run(&context, self.runner.executor, &trigger);
            if !record.has_more {
                return Ok(record.status == Status::Failed);
            }
            // only the first run is full; the following ones continue it
            trigger.full = false;
        }
    }

    fn end(&self, nth: usize, has_failed: bool) {
        let mut state = self.state();
        state.busy -= 1;
        state.order.end(nth, has_failed);
        self.show(&mut state);
        self.changed.notify_all();
    }

    /// Shows the available records, in the order of the graph.
    fn show(&self, state: &mut State<'_>) {
        while state.shown < state.order.finished_count() {
            let records = &state.records[state.shown];
            records.iter().for_each(|record| self.runner.lane.context.progress.end(record));
            state.shown += 1;
        }
    }
}

/// The progress of one of several concurrent steps. Its record is kept, and shown in the order of the graph.
struct StepProgress<'s, 'r, 'a> {
    shared: &'s Shared<'r, 'a>,
    nth: usize,
}

impl Progress for StepProgress<'_, '_, '_> {
    fn begin(&self, pipeline: &str, step: &str) {
        // one bar is shared by all running steps
        if self.shared.state().busy == 1 {
            self.shared.runner.lane.context.progress.begin(pipeline, step);
        }
    }

    fn expect(&self, bytes: u64) {
        self.shared.runner.lane.context.progress.expect(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.shared.runner.lane.context.progress.advance(bytes);
    }

    fn end(&self, record: &RunRecord) {
        self.shared.state().records[self.nth].push(record.clone());
    }
}
