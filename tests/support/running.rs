//! What a step needs to run in a test, and nothing else.

use std::path::Path;

use tidemark::run::{Lane, Runner};
use tidemark_flow::{
    ComputeProfile, Context, DraftSummary, Environment, Error, ErrorKind, Executor, Folders, HEARTBEAT_AFTER, Place,
    Process, Quiet, RunRecord, Scope, Secret, Secrets, Sources, Step, TaskOutcome, TaskScope, Trigger,
};
use tidemark_lake::{Lake, Meter, Outcome, Store};
use tidemark_pipeline::{Graph, Pipeline, SecretName, StepId};

type Locate<'a> = &'a (dyn Fn(&str) -> Result<Place, Error> + Sync);
type Folder<'a> = &'a (dyn Fn(&str) -> Result<Store, Error> + Sync);
type Find<'a> = &'a (dyn Fn(&SecretName) -> Result<Secret, Error> + Sync);

/// Sources, folders and secrets as a test says; what it does not say is not there.
pub struct TestEnvironment<'a> {
    pub locate: Locate<'a>,
    pub folder: Folder<'a>,
    pub secret: Find<'a>,
}

fn nothing(what: &str) -> Error {
    Error::new(ErrorKind::Definition, format!("this test has no {what}"))
}

impl Default for TestEnvironment<'_> {
    fn default() -> Self {
        TestEnvironment {
            locate: &|path| Err(nothing(&format!("source {path}"))),
            folder: &|path| Err(nothing(&format!("folder {path}"))),
            secret: &|name| Err(nothing(&format!("secret {name}"))),
        }
    }
}

impl Sources for TestEnvironment<'_> {
    fn locate(&self, path: &str) -> Result<Place, Error> {
        (self.locate)(path)
    }
}

impl Folders for TestEnvironment<'_> {
    fn folder(&self, path: &str) -> Result<Store, Error> {
        (self.folder)(path)
    }
}

impl Secrets for TestEnvironment<'_> {
    fn secret(&self, name: &SecretName) -> Result<Secret, Error> {
        (self.secret)(name)
    }
}

/// A process whose requests `meter` counts.
pub fn process(meter: &Meter) -> Process<'_> {
    Process {
        build: "test",
        peak_memory: &|| 0,
        meter,
        compute: ComputeProfile::DEPLOYED,
        billed_from: None,
        heartbeat_after: HEARTBEAT_AFTER,
    }
}

/// A context that stands still in time and counts the requests to its lake.
pub fn context<'a>(
    lake: &'a Lake,
    clock: &'a (dyn Fn() -> jiff::Timestamp + Sync),
    run_id: &'a (dyn Fn() -> String + Sync),
    scratch: &'a Path,
) -> Context<'a> {
    Context {
        lake,
        clock,
        run_id,
        deadline: None,
        memory: 1 << 30,
        scratch,
        progress: &Quiet,
        process: process(lake.store().meter()),
    }
}

/// Runs one step as a function would.
pub fn run_step(
    context: &Context<'_>,
    environment: &dyn Environment,
    pipeline: &Pipeline,
    id: &StepId,
    trigger: &Trigger,
) -> RunRecord {
    let graph = Graph::new(Vec::new()).unwrap();
    let step = tidemark::steps::step(environment, &graph, pipeline, id).unwrap();
    step.run(context, Executor::SEQUENTIAL, trigger)
}

/// Runs one step after another, one task after another.
pub fn runner<'a>(context: &'a Context<'a>, environment: &'a dyn Environment, graph: &'a Graph) -> Runner<'a> {
    Runner { lane: Lane { context, environment }, more: None, executor: Executor::SEQUENTIAL, graph }
}

/// Runs all steps that are due, as the command would; of the pipelines named, or of all.
pub fn runs(
    context: &Context<'_>,
    environment: &dyn Environment,
    graph: &Graph,
    names: &[String],
    trigger: &Trigger,
) -> Vec<RunRecord> {
    let executor = Executor::for_all_cores();
    Runner { lane: Lane { context, environment }, more: None, executor, graph }.run_all(names, trigger).unwrap()
}

/// Step `clean` of pipeline `orders`, which does no more than look at what there is.
pub struct Looks<F>(pub F);

impl<F: Fn(&Context<'_>) + Sync> Step for Looks<F> {
    type Observed = ();
    type Plan = ();
    type Task = ();
    type Receipt = ();
    type Partial = ();
    type Session<'s>
        = ()
    where
        Self: 's;
    type Draft = ();

    fn pipeline(&self) -> &str {
        "orders"
    }

    fn id(&self) -> StepId {
        StepId::Clean
    }

    fn observe(&self, context: &Context<'_>, _: &Trigger) -> Result<Option<()>, Error> {
        (self.0)(context);
        Ok(None)
    }

    fn plan(&self, (): (), _: &Trigger) -> Result<Option<()>, Error> {
        unreachable!()
    }

    fn scope(&self, (): &()) -> Scope {
        unreachable!()
    }

    fn tasks(&self, (): &(), _: &[()]) -> Result<Vec<()>, Error> {
        unreachable!()
    }

    fn task_name(&self, (): &()) -> String {
        unreachable!()
    }

    fn session<'s>(&'s self, _: &Context<'s>, _: &TaskScope) -> Result<(), Error> {
        unreachable!()
    }

    fn run(&self, _: &Context<'_>, (): &(), (): &(), _: Option<()>) -> Result<TaskOutcome<(), ()>, Error> {
        unreachable!()
    }

    fn gather(&self, (): (), _: Vec<()>, _: &str) -> Result<Option<(DraftSummary, ())>, Error> {
        unreachable!()
    }

    fn commit(&self, _: &Context<'_>, (): (), _: &mut DraftSummary) -> Result<Outcome, Error> {
        unreachable!()
    }
}
