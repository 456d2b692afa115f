//! A function on Lambda: its setup at the start of the process, and the handling of its invocations.

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
    load_readable_definitions, settings, watch_panics,
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

/// Handles one event in the watcher and returns its report. Gets the readable pipelines, the errors of the others, and a mailer.
pub type Watch = fn(&Context<'_>, &WatchEnvironment<'_>, &Event, &str) -> Result<Value, Error>;

/// Additional inputs of the watcher.
pub struct WatchEnvironment<'a> {
    pub graph: &'a Graph,
    pub broken: &'a [BrokenPipeline],
    pub bus: &'a dyn Bus,
    /// `None` if no SNS topic is set; mail then goes by SMTP.
    pub mailer: Option<&'a dyn Mailer>,
    pub secrets: &'a dyn Secrets,
    pub handle: Handle,
}

/// The task of a function.
enum Role {
    /// Runs steps, under this name.
    Run(&'static str, StepFactory),
    Watch(Watch),
}

/// Bounds of the reserve: a third of the time of an invocation is kept for finishing the current unit of work and saving progress. The
/// longest unit is the merge of one partition.
const LEAST_RESERVE: Duration = Duration::from_millis(500);
const MOST_RESERVE: Duration = Duration::from_secs(60);

/// The error type of the Lambda runtime; a panic at the start also ends up as one.
pub type RuntimeError = lambda_runtime::Error;

/// Handles events as the function of this name, with these steps, until Lambda ends the process. If the settings are wrong, every event is
/// answered with that error, so that it shows where the platform shows errors.
///
/// # Errors
/// The process does not run on Lambda, or the Runtime API cannot be reached.
pub fn serve(name: &'static str, steps: StepFactory) -> Result<(), RuntimeError> {
    run(name, Role::Run(name, steps))
}

/// Like [`serve`], for the watcher.
///
/// # Errors
/// As [`serve`].
pub fn serve_watch(watch: Watch) -> Result<(), RuntimeError> {
    run("watch", Role::Watch(watch))
}

/// The version and the program's fingerprint, which is the same for the functions and the command built from one commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("TIDEMARK_BUILD"), ")");

fn run(name: &'static str, role: Role) -> Result<(), RuntimeError> {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--version") {
        return Ok(writeln!(std::io::stdout(), "{name} {VERSION}")?);
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("this is a function for AWS Lambda: deploy it, run it with `cargo lambda watch`, or use the command tidemark".into());
    }
    let began = host::now();
    log();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let function = Arc::new(Function::new(name, role, runtime.handle().clone(), began));
    runtime.block_on(lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let function = function.clone();
        async move {
            // a step blocks its thread
            let function_of_event = function.clone();
            let answer =
                tokio::task::spawn_blocking(move || function_of_event.answer(&event.payload, &event.context)).await;
            answer.unwrap_or_else(|panic| {
                Err(function.not_handled(&Error::new(ErrorKind::Bug, "the function panicked").because(panic)))
            })
        }
    })))
}

/// Sets up logging: JSON lines on stderr, each with the ids of its invocation. A panic is logged with its location.
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
    role: Role,
    metrics: Metrics,
    handle: Handle,
    setup: Result<Setup, Error>,
    lake: OnceLock<Lake>,
    began: Timestamp,
    is_warm: OnceLock<()>,
}

struct Setup {
    graph: Graph,
    /// Pipelines whose definition is broken or lacks a parameter. Events for one of them fail; all others work.
    broken: Vec<BrokenPipeline>,
    mailer: Option<Box<dyn Mailer + Send + Sync>>,
    place: String,
    buckets: Buckets,
    bus: Box<dyn Bus + Send + Sync>,
    meter: Meter,
    compute: ComputeProfile,
}

impl Setup {
    /// Builds everything that needs no request.
    fn from_environment(role: &Role, handle: &Handle) -> Result<Setup, Error> {
        let meter = Meter::default();
        let pipelines = std::env::var_os(settings::PIPELINES).unwrap_or_else(|| "/opt/pipelines".into());
        let (graph, broken) = load_readable_definitions(&PathBuf::from(pipelines), &variable, &|_| true)?;
        let place = required(settings::LAKE, "the location of the lake, as s3://bucket/prefix")?;
        let buckets = Buckets::from_variables(handle.clone(), &meter);
        if is_bucket(&place) {
            buckets.account()?;
        }
        let bus: Box<dyn Bus + Send + Sync> = match required(settings::BUS, "the name of the event bus, or `none`")? {
            name if name == "none" => Box::new(NoBus),
            name => {
                let client = aws_sdk_eventbridge::Client::new(buckets.account()?.config());
                Box::new(EventBus { client, name, handle: handle.clone(), meter: meter.clone() })
            }
        };
        let topic = variable(settings::ALERT_TOPIC);
        let mailer: Option<Box<dyn Mailer + Send + Sync>> = match (role, topic) {
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
            compute: ComputeProfile {
                memory_mb: memory_mb.unwrap_or(ComputeProfile::DEPLOYED.memory_mb),
                is_arm: cfg!(target_arch = "aarch64"),
            },
        })
    }
}

/// Reads an environment variable. The template sets every variable, so an empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str, what: &str) -> Result<String, Error> {
    variable(name).ok_or_else(|| {
        let message = format!("environment variable {name} is not set");
        Error::new(ErrorKind::Definition, message).hint(format!("set it in the function's configuration: {what}"))
    })
}

impl Function {
    fn new(name: &str, role: Role, handle: Handle, began: Timestamp) -> Function {
        let setup = Setup::from_environment(&role, &handle);
        let metrics = Metrics::from_variables(name);
        Function { role, metrics, handle, setup, lake: OnceLock::new(), began, is_warm: OnceLock::new() }
    }

    /// Handles one event and returns the run record of the selected step, or the watcher's report.
    fn answer(&self, event: &Value, context: &Invocation) -> Result<Value, Diagnostic> {
        let received = host::now();
        // the first invocation also pays for the start of the process
        let billed_from = if self.is_warm.set(()).is_ok() { self.began } else { received };
        let correlation_id = event.pointer("/detail/chain").and_then(Value::as_str).unwrap_or(&context.request_id);
        let _span =
            tracing::info_span!("invocation", chain = correlation_id, request_id = context.request_id).entered();
        let answered = self.handle(event, correlation_id, deadline(context, received), billed_from);
        match answered.map_err(|error| self.not_handled(&error))? {
            Answer::Step(outcome) => {
                self.metrics.record_run(&outcome.record, host::now());
                answer(&outcome)
            }
            Answer::Watch(seen) => {
                self.metrics.record_watch(&seen, received, host::now());
                Ok(seen)
            }
        }
    }

    /// Reports an error that no run record contains: in the log, as a metric and as the response.
    fn not_handled(&self, error: &Error) -> Diagnostic {
        tracing::error!(kind = %error.kind, error = error.full_message(), hint = error.hint, "not handled");
        self.metrics.record_unhandled(error, host::now());
        diagnostic(error)
    }

    fn handle(
        &self,
        event: &Value,
        correlation_id: &str,
        deadline: Option<Timestamp>,
        billed_from: Timestamp,
    ) -> Result<Answer, Error> {
        let setup = self.setup.as_ref().map_err(repeated)?;
        let event = Event::read(event)?;
        if let (Role::Run(..), Some(pipeline)) = (&self.role, event.pipeline()) {
            let is_named = |broken: &&BrokenPipeline| broken.pipeline == pipeline.as_str();
            setup.broken.iter().find(is_named).map_or(Ok(()), |broken| Err(repeated(&broken.error)))?;
        }
        let Setup { graph, buckets, bus, meter, compute: size, .. } = setup;
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
        match self.role {
            Role::Run(function, steps) => {
                let executor = Executor::SEQUENTIAL;
                let dispatcher = Dispatcher { environment: &environment, graph, bus, executor, function, steps };
                dispatcher.handle(&context, &event, correlation_id).map(Box::new).map(Answer::Step)
            }
            Role::Watch(watch) => {
                let mailer = setup.mailer.as_deref().map(|mailer| mailer as &dyn Mailer);
                let (broken, handle) = (setup.broken.as_slice(), self.handle.clone());
                let watched = WatchEnvironment { graph, broken, bus, mailer, secrets: &environment, handle };
                watch(&context, &watched, &event, correlation_id).map(Answer::Watch)
            }
        }
    }

    /// The lake, opened by the first invocation and kept for later ones.
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

/// The result of an event.
enum Answer {
    Step(Box<EventOutcome>),
    Watch(Value),
}

/// Logs the result of a step and builds the response.
fn answer(outcome: &EventOutcome) -> Result<Value, Diagnostic> {
    let record = &outcome.record;
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
        announced = outcome.due.len(),
        "step ended"
    );
    serde_json::to_value(record)
        .map_err(|error| diagnostic(&Error::new(ErrorKind::Bug, "the run record cannot be written").because(error)))
}

/// When to stop and save progress. Returns `None` if too little time is left, as with deadlines in the past that Lambda emulators send.
fn deadline(context: &Invocation, received: Timestamp) -> Option<Timestamp> {
    let end = Timestamp::from_millisecond(i64::try_from(context.deadline).ok()?).ok()?;
    let given = Duration::try_from(end.duration_since(received)).ok()?;
    let reserve = (given / 3).clamp(LEAST_RESERVE, MOST_RESERVE);
    (given > reserve).then(|| end - reserve)
}

/// Copies the error of the setup, which is the answer to every event.
fn repeated(error: &Error) -> Error {
    let mut again = Error::new(error.kind, error.message.clone());
    again.hint.clone_from(&error.hint);
    match &error.source {
        Some(source) => again.because(joined(source.to_string(), source.source())),
        None => again,
    }
}

fn diagnostic(error: &Error) -> Diagnostic {
    record_diagnostic(&ErrorRecord::from(error))
}

/// The response for an error. Alarms and retries use the kind as a stable type; the message contains all causes.
fn record_diagnostic(error: &ErrorRecord) -> Diagnostic {
    let hint = error.hint.as_ref().map(|hint| format!(" → {hint}")).unwrap_or_default();
    Diagnostic { error_type: error.kind.to_string(), error_message: format!("{}{hint}", error.message) }
}
