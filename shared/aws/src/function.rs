//! One function on Lambda: what is built once at its start, and one invocation after another.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::{Context as Invocation, Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tidemark_flow::{
    BrokenPipeline, Bus, ComputeProfile, Context, Dispatcher, Error, ErrorKind, ErrorRecord, Event, EventOutcome,
    Executor, HEARTBEAT_AFTER, Mailer, Process, Quiet, Secrets, StepFactory, host, is_bucket, joined,
    load_definitions_that_can_be, settings, watch_panics,
};
use tidemark_lake::{Lake, Meter};
use tidemark_pipeline::Graph;
use tokio::runtime::{Builder, Handle};
use tracing_subscriber::EnvFilter;

use crate::buckets::Buckets;
use crate::bus::{EventBus, NoBus};
use crate::environment::FunctionEnvironment;
use crate::mail::Topic;
use crate::metrics::Metrics;

/// What the watcher does with one: it has the pipelines that can be had, what is wrong with the others, and somebody who takes mail. It
/// answers with what it has seen and done.
pub type Watch = fn(&Context<'_>, &WatchEnvironment<'_>, &Event, &str) -> Result<Value, Error>;

/// What only the watcher needs.
pub struct WatchEnvironment<'a> {
    pub graph: &'a Graph,
    pub broken: &'a [BrokenPipeline],
    pub bus: &'a dyn Bus,
    /// `None`: there is no topic, so mail goes another way.
    pub mailer: Option<&'a dyn Mailer>,
    pub secrets: &'a dyn Secrets,
    pub handle: Handle,
}

/// What a function is.
enum Role {
    /// It runs these steps.
    Run(&'static str, StepFactory),
    Watch(Watch),
}

/// Of the time an invocation has, what is kept for finishing a unit of work and putting down what there is: a third of it, within
/// these bounds. The longest unit is a partition that is merged.
const LEAST_RESERVE: Duration = Duration::from_millis(500);
const MOST_RESERVE: Duration = Duration::from_secs(60);

/// What a panic at the start, or of the runtime itself, comes out as.
pub type RuntimeError = lambda_runtime::Error;

/// Answers events, as the function of this name that runs these steps, until Lambda ends the process. What is wrong with the settings is the answer to every
/// event, so that it is seen where the platform shows errors.
///
/// # Errors
/// This is not Lambda, or its Runtime API cannot be reached.
pub fn serve(name: &'static str, steps: StepFactory) -> Result<(), RuntimeError> {
    run(name, Role::Run(name, steps))
}

/// The same of the watcher.
///
/// # Errors
/// As [`serve`].
pub fn serve_watch(watch: Watch) -> Result<(), RuntimeError> {
    run("watch", Role::Watch(watch))
}

/// The version, and the fingerprint of the program: equal for the functions and the command that are built from one commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("TIDEMARK_BUILD"), ")");

fn run(name: &'static str, does: Role) -> Result<(), RuntimeError> {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--version") {
        return Ok(writeln!(std::io::stdout(), "{name} {VERSION}")?);
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("this is a function for AWS Lambda: deploy it, run it with `cargo lambda watch`, or use the command tidemark".into());
    }
    let began = host::now();
    log();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let function = Arc::new(Function::new(name, does, runtime.handle().clone(), began));
    runtime.block_on(lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let function = function.clone();
        async move {
            // a step blocks
            let of_event = function.clone();
            let answer = tokio::task::spawn_blocking(move || of_event.answer(&event.payload, &event.context)).await;
            answer.unwrap_or_else(|panic| {
                Err(function.not_handled(&Error::new(ErrorKind::Bug, "the function panicked").because(panic)))
            })
        }
    })))
}

/// JSON lines on stderr, each with the ids of what it belongs to. A panic is a line as well, with its place.
fn log() {
    let filter = variable(settings::LOG).unwrap_or_else(|| {
        "warn,tidemark_aws=info,tidemark_flow=info,delta_kernel=off,delta_kernel_default_engine=off".into()
    });
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    lines.with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr).init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(panic = %panic, "panicked")));
    watch_panics();
}

struct Function {
    does: Role,
    metrics: Metrics,
    handle: Handle,
    setup: Result<Setup, Error>,
    lake: OnceLock<Lake>,
    began: Timestamp,
    is_warm: OnceLock<()>,
}

struct Setup {
    graph: Graph,
    /// Files that are no pipelines, or want a parameter: an event for one of them fails, and only that.
    broken: Vec<BrokenPipeline>,
    mailer: Option<Box<dyn Mailer + Send + Sync>>,
    place: String,
    buckets: Buckets,
    bus: Box<dyn Bus + Send + Sync>,
    meter: Meter,
    machine: ComputeProfile,
}

impl Setup {
    /// Everything that can be had without asking anybody.
    fn from_environment(does: &Role, handle: &Handle) -> Result<Setup, Error> {
        let meter = Meter::default();
        let pipelines = std::env::var_os(settings::PIPELINES).unwrap_or_else(|| "/opt/pipelines".into());
        let (graph, broken) = load_definitions_that_can_be(&PathBuf::from(pipelines), &variable, &|_| true)?;
        let place = required(settings::LAKE, "where the lake is, as s3://bucket/prefix")?;
        let buckets = Buckets::from_variables(handle.clone(), &meter);
        if is_bucket(&place) {
            buckets.account()?;
        }
        let bus: Box<dyn Bus + Send + Sync> = match required(settings::BUS, "the name of the event bus, or none")? {
            name if name == "none" => Box::new(NoBus),
            name => {
                let client = aws_sdk_eventbridge::Client::new(buckets.account()?.config());
                Box::new(EventBus { client, name, handle: handle.clone(), meter: meter.clone() })
            }
        };
        let topic = variable(settings::ALERT_TOPIC);
        let mailer: Option<Box<dyn Mailer + Send + Sync>> = match (does, topic) {
            (Role::Watch(_), Some(arn)) => Some(Box::new(Topic::new(&buckets.account()?, &arn, handle.clone())?)),
            _ => None,
        };
        let memory_mb = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|text| text.parse().ok());
        Ok(Setup {
            graph,
            broken,
            mailer,
            place,
            buckets,
            bus,
            meter,
            machine: ComputeProfile {
                memory_mb: memory_mb.unwrap_or(ComputeProfile::DEPLOYED.memory_mb),
                is_arm: cfg!(target_arch = "aarch64"),
            },
        })
    }
}

/// A template gives every variable, and those without a value as nothing.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str, what: &str) -> Result<String, Error> {
    variable(name).ok_or_else(|| {
        let message = format!("environment variable {name} is not set");
        Error::new(ErrorKind::Definition, message).hint(format!("give the function {name}: {what}"))
    })
}

impl Function {
    fn new(name: &str, does: Role, handle: Handle, began: Timestamp) -> Function {
        let setup = Setup::from_environment(&does, &handle);
        let metrics = Metrics::from_variables(name);
        Function { does, metrics, handle, setup, lake: OnceLock::new(), began, is_warm: OnceLock::new() }
    }

    /// Answers one event with the run record of the step it meant.
    fn answer(&self, event: &Value, context: &Invocation) -> Result<Value, Diagnostic> {
        let received = host::now();
        // the start of the process is billed with its first invocation
        let billed_from = if self.is_warm.set(()).is_ok() { self.began } else { received };
        let chain = event.pointer("/detail/chain").and_then(Value::as_str).unwrap_or(&context.request_id);
        let _span = tracing::info_span!("invocation", chain, request_id = context.request_id).entered();
        let answered = self.handle(event, chain, deadline(context, received), billed_from);
        match answered.map_err(|failure| self.not_handled(&failure))? {
            Answer::Walked(handled) => {
                self.metrics.record_run(&handled.record, host::now());
                answer(&handled)
            }
            Answer::Watched(seen) => {
                self.metrics.record_watch(&seen, received, host::now());
                Ok(seen)
            }
        }
    }

    /// What went wrong where no run record tells of it, in the log, as a metric and as the answer.
    fn not_handled(&self, failure: &Error) -> Diagnostic {
        tracing::error!(kind = %failure.kind, error = failure.full_message(), hint = failure.hint, "not handled");
        self.metrics.record_unhandled(failure, host::now());
        diagnostic(failure)
    }

    fn handle(
        &self,
        event: &Value,
        chain: &str,
        deadline: Option<Timestamp>,
        billed_from: Timestamp,
    ) -> Result<Answer, Error> {
        let setup = self.setup.as_ref().map_err(repeated)?;
        let event = Event::read(event)?;
        if let (Role::Run(..), Some(meant)) = (&self.does, event.pipeline()) {
            let is_meant = |broken: &&BrokenPipeline| broken.pipeline == meant.as_str();
            setup.broken.iter().find(is_meant).map_or(Ok(()), |broken| Err(repeated(&broken.failure)))?;
        }
        let Setup { graph, buckets, bus, meter, machine: size, .. } = setup;
        let environment = FunctionEnvironment { buckets, handle: &self.handle, meter };
        let process = Process {
            build: env!("TIDEMARK_BUILD"),
            peak_memory: &host::peak_memory,
            meter,
            compute: *size,
            billed_from: Some(billed_from),
            heartbeat_after: HEARTBEAT_AFTER,
        };
        let context = Context {
            lake: self.lake(setup)?,
            clock: &host::now,
            run_id: &host::run_id,
            deadline,
            memory: host::memory(Some(u64::from(size.memory_mb) << 20)),
            scratch: &std::env::temp_dir(),
            progress: &Quiet,
            process,
        };
        let bus = bus.as_ref();
        match self.does {
            Role::Run(function, steps) => {
                let executor = Executor::SEQUENTIAL;
                let dispatcher = Dispatcher { environment: &environment, graph, bus, executor, function, steps };
                dispatcher.handle(&context, &event, chain).map(Box::new).map(Answer::Walked)
            }
            Role::Watch(watch) => {
                let mailer = setup.mailer.as_deref().map(|mailer| mailer as &dyn Mailer);
                let (broken, handle) = (setup.broken.as_slice(), self.handle.clone());
                let watched = WatchEnvironment { graph, broken, bus, mailer, secrets: &environment, handle };
                watch(&context, &watched, &event, chain).map(Answer::Watched)
            }
        }
    }

    /// The lake, opened by the first invocation and kept for those after it.
    fn lake(&self, setup: &Setup) -> Result<&Lake, Error> {
        if let Some(lake) = self.lake.get() {
            return Ok(lake);
        }
        let place = setup.place.as_str();
        let lake = match is_bucket(place) {
            true => Lake::open(setup.buckets.folder(place)?, true)?,
            false => Lake::open_folder(Path::new(place), true, self.handle.clone(), &setup.meter)?,
        };
        Ok(self.lake.get_or_init(|| lake))
    }
}

/// What came of an event.
enum Answer {
    Walked(Box<EventOutcome>),
    Watched(Value),
}

/// Says what came of a step, in the log and as the answer.
fn answer(handled: &EventOutcome) -> Result<Value, Diagnostic> {
    let record = &handled.record;
    if let Some(error) = &record.error {
        let (pipeline, step, run_id) = (&record.pipeline, &record.step, &record.run_id);
        tracing::error!(pipeline, %step, run_id, kind = %error.kind, error = error.message, hint = error.hint, "step failed");
        return Err(record_diagnostic(error));
    }
    tracing::info!(
        pipeline = record.pipeline,
        step = %record.step,
        run_id = record.run_id,
        status = %record.status,
        rows_in = record.rows.rows_in,
        duration_ms = record.duration_ms,
        cost_usd = record.cost_usd,
        announced = handled.due.len(),
        "step walked"
    );
    serde_json::to_value(record)
        .map_err(|error| diagnostic(&Error::new(ErrorKind::Bug, "the run record cannot be written").because(error)))
}

/// When to put down what there is. A deadline that is over before anything has begun is none: stand-ins for Lambda send such.
fn deadline(context: &Invocation, received: Timestamp) -> Option<Timestamp> {
    let end = Timestamp::from_millisecond(i64::try_from(context.deadline).ok()?).ok()?;
    let given = Duration::try_from(end.duration_since(received)).ok()?;
    let reserve = (given / 3).clamp(LEAST_RESERVE, MOST_RESERVE);
    (given > reserve).then(|| end - reserve)
}

/// What was wrong at the start is wrong for every event.
fn repeated(failure: &Error) -> Error {
    let mut again = Error::new(failure.kind, failure.message.clone());
    again.hint.clone_from(&failure.hint);
    match &failure.source {
        Some(source) => again.because(joined(source.to_string(), source.source())),
        None => again,
    }
}

fn diagnostic(failure: &Error) -> Diagnostic {
    record_diagnostic(&ErrorRecord::from(failure))
}

/// The kind is the stable type by which alarms and retries are sorted; the message has every cause.
fn record_diagnostic(error: &ErrorRecord) -> Diagnostic {
    let hint = error.hint.as_ref().map(|hint| format!(" → {hint}")).unwrap_or_default();
    Diagnostic { error_type: error.kind.to_string(), error_message: format!("{}{hint}", error.message) }
}
