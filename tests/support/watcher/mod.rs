//! A test harness for the watcher over a lake of its own: pipelines from text, a clock set by the test, run records as steps write them, a
//! bus that records announcements, and webhooks and a mailbox that record messages.

pub mod run_record;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde_json::Value;
use tempfile::TempDir;
use tidemark::steps::step;
use tidemark_flow::{
    BrokenPipeline, Bus, Context, Dispatcher, Error, ErrorKind, Event, EventOutcome, Executor, Folders, Heartbeat,
    Place, Process, Secret, Secrets, Sources, StepDue, StepFactory, host, load_readable_definitions,
};
use tidemark_lake::{Lake, Meter, Store};
use tidemark_pipeline::{Graph, SecretName};
use watch::{ChannelEnvironment, Channels, Incident, LakeSnapshot, TickReport, handle, tick};

use crate::support::daily_sales::sales::local;
use crate::support::daily_sales::{Backend, in_bucket, new_bucket, runtime};
use crate::support::faulty_store::{Faulty, Plan};
use crate::support::receivers::Sink;
use crate::support::receivers::SlackMessage;
use crate::support::receivers::{Mailbox, RecordingBus};
use crate::support::running;
use run_record::Run;

/// The time at which most tests begin.
pub const MORNING: &str = "2026-03-03T07:00:00Z";
/// The name of the webhook secret that most pipelines use.
pub const SLACK: &str = "slack-webhook";

enum Storage {
    Memory(Arc<InMemory>),
    Folder(TempDir),
    Bucket(String),
}

/// The loaded pipeline definitions.
#[derive(Default)]
struct Definitions {
    graph: Option<Graph>,
    broken: Vec<BrokenPipeline>,
}

pub struct WatcherHarness {
    storage: Storage,
    folder: TempDir,
    definitions: Definitions,
    now: Mutex<Timestamp>,
    sinks: BTreeMap<String, Sink>,
    /// How many messages of each sink have been returned.
    read_messages: Mutex<BTreeMap<String, usize>>,
    pub mailbox: Mailbox,
    announced: RecordingBus,
    runs: AtomicU64,
}

impl WatcherHarness {
    /// `pipelines` are names and texts of pipeline files; `${IN}` stands for a folder of the test.
    pub fn new(backend: Backend, pipelines: &[(&str, &str)]) -> WatcherHarness {
        let room = match backend {
            Backend::Memory => Storage::Memory(Arc::new(InMemory::new())),
            Backend::Folder => Storage::Folder(tempfile::tempdir().unwrap()),
            Backend::S3 => Storage::Bucket(new_bucket(None)),
        };
        let harness = WatcherHarness::with_storage(room, pipelines);
        harness.lake();
        harness
    }

    fn with_storage(room: Storage, pipelines: &[(&str, &str)]) -> WatcherHarness {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pipelines", "in"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut harness = WatcherHarness {
            storage: room,
            folder,
            definitions: Definitions::default(),
            now: Mutex::new(MORNING.parse().unwrap()),
            sinks: BTreeMap::new(),
            read_messages: Mutex::default(),
            mailbox: Mailbox::default(),
            announced: RecordingBus::default(),
            runs: AtomicU64::new(0),
        };
        for (name, text) in pipelines {
            harness.write(name, text);
        }
        harness.reload();
        harness.start_webhook(SLACK);
        harness
    }

    /// A copy of the lake in memory, and of the mailbox.
    pub fn fork(&self, pipelines: &[(&str, &str)]) -> WatcherHarness {
        let Storage::Memory(store) = &self.storage else { panic!("only memory is forked") };
        let other = WatcherHarness::with_storage(Storage::Memory(Arc::new(store.fork())), pipelines);
        *other.now.lock().unwrap() = self.now();
        other.runs.store(self.runs.load(Ordering::SeqCst), Ordering::SeqCst);
        *other.mailbox.mails.lock().unwrap() = self.mailbox.mails();
        other
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(&format!("pipelines/{name}.toml")), text).unwrap();
    }

    /// Replaces a pipeline file, and reloads all.
    pub fn change(&mut self, name: &str, text: &str) {
        self.write(name, text);
        self.reload();
    }

    pub fn remove(&mut self, name: &str) {
        std::fs::remove_file(self.path(&format!("pipelines/{name}.toml"))).unwrap();
        self.reload();
    }

    fn reload(&mut self) {
        let input = self.path("in").display().to_string();
        let parameter = |name: &str| (name == "IN").then(|| input.clone());
        let (graph, broken) = load_readable_definitions(&self.path("pipelines"), &parameter, &|_| true).unwrap();
        self.definitions = Definitions { graph: Some(graph), broken };
    }

    /// Checks that no pipeline is broken, for tests with pipeline texts of their own.
    #[track_caller]
    pub fn assert_not_broken(&self) {
        let broken: Vec<_> = self.definitions.broken.iter().map(|broken| broken.error.full_message()).collect();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// Starts a webhook whose URL is the secret of this name.
    pub fn start_webhook(&mut self, secret: &str) -> &Sink {
        self.sinks.entry(secret.to_owned()).or_insert_with(Sink::start)
    }

    pub fn sink(&self, secret: &str) -> &Sink {
        &self.sinks[secret]
    }

    pub fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub fn at(&self, time: &str) -> &WatcherHarness {
        *self.now.lock().unwrap() = time.parse().unwrap();
        self
    }

    pub fn after(&self, minutes: i64) -> &WatcherHarness {
        *self.now.lock().unwrap() += SignedDuration::from_mins(minutes);
        self
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        match &self.storage {
            Storage::Memory(store) => store.clone(),
            Storage::Folder(folder) => local(folder.path()),
            Storage::Bucket(name) => in_bucket(name),
        }
    }

    /// The store as the command opens it; a folder is opened as a folder.
    pub fn store(&self) -> Store {
        match &self.storage {
            Storage::Folder(folder) => Store::folder(folder.path(), runtime()).unwrap(),
            _ => Store::new(self.objects(), "lake", runtime()),
        }
    }

    pub fn lake(&self) -> Lake {
        Lake::open(self.store(), true).unwrap()
    }

    /// The lake with injected faults.
    fn faulty_lake(&self, plan: &Arc<Plan>) -> Result<Lake, Error> {
        Ok(Lake::open(Store::new(Faulty::new(self.objects(), plan), "lake", runtime()), true)?)
    }

    pub fn graph(&self) -> &Graph {
        self.definitions.graph.as_ref().unwrap()
    }

    pub fn snapshot(&self) -> LakeSnapshot<'_> {
        LakeSnapshot { graph: self.graph(), broken: &self.definitions.broken, arguments: String::new() }
    }

    pub fn with_context<T>(&self, lake: &Lake, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let (clock, run_id) = (|| self.now(), || self.run_id(self.now()));
        act(&running::context(lake, &clock, &run_id, self.folder.path()))
    }

    /// Runs a tick that must succeed.
    #[track_caller]
    pub fn tick(&self) -> TickReport {
        self.tick_on(&self.lake()).unwrap_or_else(|error| panic!("{}", error.full_message()))
    }

    /// Runs `count` ticks, each `minutes` after the one before.
    #[track_caller]
    pub fn ticks(&self, count: usize, minutes: i64) -> Vec<TickReport> {
        (0..count).map(|_| self.after(minutes).tick()).collect()
    }

    /// Runs a tick with injected faults; it may fail.
    pub fn tick_with_faults(&self, plan: &Arc<Plan>) -> Result<TickReport, Error> {
        *self.mailbox.plan.lock().unwrap() = Some(plan.clone());
        self.mailbox.sent_at.lock().unwrap().clear();
        let report = self.faulty_lake(plan).and_then(|lake| self.tick_on(&lake));
        *self.mailbox.plan.lock().unwrap() = None;
        report
    }

    pub fn tick_on(&self, lake: &Lake) -> Result<TickReport, Error> {
        self.tick_with_bus(lake, &self.announced)
    }

    pub fn tick_with_bus(&self, lake: &Lake, bus: &dyn Bus) -> Result<TickReport, Error> {
        self.with_context(lake, |context| {
            let channels = Channels::new(self, &self.mailbox, context.clock, runtime());
            tick(context, &self.snapshot(), bus, &channels, "watch")
        })
    }

    /// Runs a tick whose deadline has passed before it sends.
    pub fn tick_late(&self) -> TickReport {
        self.with_context(&self.lake(), |context| {
            let context = Context { deadline: Some(self.now()), ..*context };
            let channels = Channels::new(self, &self.mailbox, context.clock, runtime());
            tick(&context, &self.snapshot(), &self.announced, &channels, "watch").unwrap()
        })
    }

    /// Handles an event as the watcher's function receives it.
    pub fn receive(&self, event: &Value) -> Result<TickReport, Error> {
        let event = Event::read(event)?;
        self.with_context(&self.lake(), |context| {
            let channels = ChannelEnvironment { secrets: self, mailer: Some(&self.mailbox), handle: runtime() };
            handle(context, channels, &self.snapshot(), &self.announced, &event, "watch")
        })
    }

    /// Runs the step that an event selects, as the functions do.
    pub fn run(&self, event: &Event) -> EventOutcome {
        self.run_with(event, tidemark_flow::HEARTBEAT_AFTER, step)
    }

    pub fn run_with(&self, event: &Event, heartbeat_after: std::time::Duration, steps: StepFactory) -> EventOutcome {
        let function = match event {
            Event::StepDue(due) => due.function.as_str(),
            _ => "ingest",
        };
        self.with_context(&self.lake(), |context| {
            let context = Context { process: Process { heartbeat_after, ..context.process }, ..*context };
            let (graph, bus, executor) = (self.graph(), &self.announced, Executor::SEQUENTIAL);
            let dispatcher = Dispatcher { environment: self, graph, bus, executor, function, steps };
            dispatcher.handle(&context, event, "chain").unwrap()
        })
    }

    /// Returns the announcements since the last call.
    pub fn announced(&self) -> Vec<StepDue> {
        std::mem::take(&mut self.announced.0.lock().unwrap())
    }

    /// The same as text: `orders/clean at 2026-03-03T08:00:00Z`.
    pub fn announced_steps(&self) -> Vec<String> {
        let of = |due: StepDue| format!("{}/{} at {}", due.pipeline, due.step, due.scheduled_time);
        self.announced().into_iter().map(of).collect()
    }

    /// Returns the messages to a webhook since the last call.
    pub fn messages_to(&self, secret: &str) -> Vec<SlackMessage> {
        let taken = self.sinks[secret].taken();
        let mut heard = self.read_messages.lock().unwrap();
        let before = heard.insert(secret.to_owned(), taken.len()).unwrap_or_default();
        taken[before..].iter().map(SlackMessage::parse).collect()
    }

    pub fn messages(&self) -> Vec<SlackMessage> {
        self.messages_to(SLACK)
    }

    /// The headlines of the new messages.
    pub fn headlines(&self) -> Vec<String> {
        self.messages().into_iter().map(|message| message.head).collect()
    }

    pub fn incident(&self, key: &str) -> Incident {
        let (bytes, _) = self.lake().incident(&tidemark_lake::incident_name(key)).unwrap().expect(key);
        serde_json::from_slice(&bytes).unwrap()
    }

    /// All incidents, by object name.
    pub fn incidents(&self) -> BTreeMap<String, Incident> {
        let lake = self.lake();
        let names = lake.watched().unwrap().incidents.into_iter().map(|(name, _)| name);
        names
            .map(|name| (name.clone(), serde_json::from_slice(&lake.incident(&name).unwrap().unwrap().0).unwrap()))
            .collect()
    }

    pub fn open(&self) -> Vec<String> {
        self.incidents().into_values().filter(Incident::is_open).map(|incident| incident.id()).collect()
    }

    pub fn run_id(&self, at: Timestamp) -> String {
        let nth = self.runs.fetch_add(1, Ordering::SeqCst);
        format!("{}-{nth:08x}", at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%3f"))
    }

    /// Stores a run record. Returns the run id.
    pub fn put_run(&self, run: Run) -> String {
        let mut record = run.0;
        if record.run_id.is_empty() {
            record.run_id = self.run_id(record.started_at);
        }
        let day = record.started_at.to_zoned(TimeZone::UTC).date();
        self.lake().put_run(day, &record.run_id, serde_json::to_vec(&record).unwrap()).unwrap();
        record.run_id
    }

    /// Stores the heartbeat of a run. Returns the run id.
    pub fn write_heartbeat(&self, pipeline: &str, step: &str, began: &str, alive_at: &str) -> String {
        let started_at: Timestamp = began.parse().unwrap();
        let heartbeat = Heartbeat {
            run_id: self.run_id(started_at),
            pipeline: pipeline.into(),
            step: step.parse().unwrap(),
            correlation_id: "chain".into(),
            scheduled_time: started_at,
            started_at,
            alive_at: alive_at.parse().unwrap(),
        };
        self.lake().put_running(&heartbeat.run_id, serde_json::to_vec(&heartbeat).unwrap()).unwrap();
        heartbeat.run_id
    }

    /// Overwrites an object with damaged content.
    pub fn damage(&self, key: &str) {
        self.store().put(&key.into(), "{ half of").unwrap();
    }
}

impl Sources for WatcherHarness {
    fn locate(&self, path: &str) -> Result<Place, Error> {
        host::locate(path, &runtime(), &Meter::default())
    }
}

impl Folders for WatcherHarness {
    fn folder(&self, path: &str) -> Result<Store, Error> {
        host::folder(path, &runtime(), &Meter::default())
    }
}

impl Secrets for WatcherHarness {
    fn secret(&self, name: &SecretName) -> Result<Secret, Error> {
        match self.sinks.get(name.as_str()) {
            Some(sink) => Ok(Secret::new(sink.url())),
            None => Err(Error::new(ErrorKind::Definition, format!("no secret {name}"))),
        }
    }
}

/// A pipeline `orders` with two columns and one model; `top` is put at the beginning of the file, `alerts` into `[alerts]`.
pub fn orders(top: &str, alerts: &str) -> String {
    pipeline("orders", top, alerts)
}

/// The same with another name, which is also the name of its clean dataset.
pub fn pipeline(name: &str, top: &str, alerts: &str) -> String {
    format!(
        "{top}\n[source]\nkind = 'files'\npath = '${{IN}}/{name}*.csv'\nformat = 'csv'\n\n[contract]\ndataset = '{name}'\n\n\
         [contract.columns]\nid = {{ type = 'int64', required = true }}\namount = 'decimal(12,2)'\n\n\
         [[model]]\nname = '{name}_by_id'\nsql = 'SELECT id, COUNT(*) AS n FROM {name} GROUP BY id'\n\n\
         [alerts]\n{alerts}\n"
    )
}

/// A schedule: every day at eight.
pub const DAILY: &str = "schedule = { cron = '0 8 * * ? *', timezone = 'UTC' }";
/// All messages go to one Slack webhook.
pub const ALL: &str = "slack = { secret = 'slack-webhook' }";
