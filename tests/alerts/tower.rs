//! A watcher over a lake of its own: pipelines from text, a clock that the test sets, run records as the corridor writes them, a bus that
//! keeps what is announced, webhooks and a mailbox that keep what they are told.

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

use super::Sink;
use super::kept::{Announced, Mailbox};
use super::record::Run;
use super::said::Said;
use crate::crash::house::{Backend, in_bucket, new_bucket, runtime};
use crate::crash::sales::local;
use crate::fault::{Faulty, Plan};
use crate::support::running;

/// When most of the tests begin.
pub const MORNING: &str = "2026-03-03T07:00:00Z";
/// The secret of the webhook that most pipelines name.
pub const SLACK: &str = "slack-webhook";

enum Room {
    Memory(Arc<InMemory>),
    Folder(TempDir),
    Bucket(String),
}

/// The pipelines as they stand.
#[derive(Default)]
struct Known {
    graph: Option<Graph>,
    broken: Vec<BrokenPipeline>,
}

pub struct Tower {
    room: Room,
    folder: TempDir,
    known: Known,
    now: Mutex<Timestamp>,
    sinks: BTreeMap<String, Sink>,
    /// How many messages of each sink have been asked for.
    heard: Mutex<BTreeMap<String, usize>>,
    pub mailbox: Mailbox,
    announced: Announced,
    runs: AtomicU64,
}

impl Tower {
    /// `pipelines` are names and texts of files; `${IN}` is a folder of the test.
    pub fn new(backend: Backend, pipelines: &[(&str, &str)]) -> Tower {
        let room = match backend {
            Backend::Memory => Room::Memory(Arc::new(InMemory::new())),
            Backend::Folder => Room::Folder(tempfile::tempdir().unwrap()),
            Backend::S3 => Room::Bucket(new_bucket(None)),
        };
        let tower = Tower::over(room, pipelines);
        tower.lake();
        tower
    }

    fn over(room: Room, pipelines: &[(&str, &str)]) -> Tower {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pipelines", "in"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut tower = Tower {
            room,
            folder,
            known: Known::default(),
            now: Mutex::new(MORNING.parse().unwrap()),
            sinks: BTreeMap::new(),
            heard: Mutex::default(),
            mailbox: Mailbox::default(),
            announced: Announced::default(),
            runs: AtomicU64::new(0),
        };
        for (name, text) in pipelines {
            tower.write(name, text);
        }
        tower.reads();
        tower.listens(SLACK);
        tower
    }

    /// Another one over what this one has in memory and in its mailbox.
    pub fn fork(&self, pipelines: &[(&str, &str)]) -> Tower {
        let Room::Memory(store) = &self.room else { panic!("only memory is forked") };
        let other = Tower::over(Room::Memory(Arc::new(store.fork())), pipelines);
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

    /// Writes a pipeline file anew, and reads all.
    pub fn changes(&mut self, name: &str, text: &str) {
        self.write(name, text);
        self.reads();
    }

    pub fn removes(&mut self, name: &str) {
        std::fs::remove_file(self.path(&format!("pipelines/{name}.toml"))).unwrap();
        self.reads();
    }

    fn reads(&mut self) {
        let input = self.path("in").display().to_string();
        let parameter = |name: &str| (name == "IN").then(|| input.clone());
        let (graph, broken) = load_readable_definitions(&self.path("pipelines"), &parameter, &|_| true).unwrap();
        self.known = Known { graph: Some(graph), broken };
    }

    /// Nothing of the pipelines is broken; a test of its own text wants to know.
    #[track_caller]
    pub fn is_sound(&self) {
        let broken: Vec<_> = self.known.broken.iter().map(|broken| broken.error.full_message()).collect();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// A webhook by the name of its secret.
    pub fn listens(&mut self, secret: &str) -> &Sink {
        self.sinks.entry(secret.to_owned()).or_insert_with(Sink::start)
    }

    pub fn sink(&self, secret: &str) -> &Sink {
        &self.sinks[secret]
    }

    pub fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub fn at(&self, time: &str) -> &Tower {
        *self.now.lock().unwrap() = time.parse().unwrap();
        self
    }

    pub fn after(&self, minutes: i64) -> &Tower {
        *self.now.lock().unwrap() += SignedDuration::from_mins(minutes);
        self
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        match &self.room {
            Room::Memory(store) => store.clone(),
            Room::Folder(folder) => local(folder.path()),
            Room::Bucket(name) => in_bucket(name),
        }
    }

    /// The store as the command has it: a folder is known as one.
    pub fn store(&self) -> Store {
        match &self.room {
            Room::Folder(folder) => Store::folder(folder.path(), runtime()).unwrap(),
            _ => Store::new(self.objects(), "lake", runtime()),
        }
    }

    pub fn lake(&self) -> Lake {
        Lake::open(self.store(), true).unwrap()
    }

    /// The lake under a plan.
    fn under(&self, plan: &Arc<Plan>) -> Result<Lake, Error> {
        Ok(Lake::open(Store::new(Faulty::new(self.objects(), plan), "lake", runtime()), true)?)
    }

    pub fn graph(&self) -> &Graph {
        self.known.graph.as_ref().unwrap()
    }

    pub fn view(&self) -> LakeSnapshot<'_> {
        LakeSnapshot { graph: self.graph(), broken: &self.known.broken, arguments: String::new() }
    }

    pub fn with_context<T>(&self, lake: &Lake, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let (clock, run_id) = (|| self.now(), || self.run_id(self.now()));
        act(&running::context(lake, &clock, &run_id, self.folder.path()))
    }

    /// One look of a watcher, which goes well.
    #[track_caller]
    pub fn tick(&self) -> TickReport {
        self.tick_of(&self.lake()).unwrap_or_else(|failure| panic!("{}", failure.full_message()))
    }

    /// So many looks with so many minutes before each.
    #[track_caller]
    pub fn ticks(&self, count: usize, minutes: i64) -> Vec<TickReport> {
        (0..count).map(|_| self.after(minutes).tick()).collect()
    }

    /// One that may go ill.
    pub fn tick_under(&self, plan: &Arc<Plan>) -> Result<TickReport, Error> {
        *self.mailbox.plan.lock().unwrap() = Some(plan.clone());
        self.mailbox.sent_at.lock().unwrap().clear();
        let ticked = self.under(plan).and_then(|lake| self.tick_of(&lake));
        *self.mailbox.plan.lock().unwrap() = None;
        ticked
    }

    pub fn tick_of(&self, lake: &Lake) -> Result<TickReport, Error> {
        self.tick_by(lake, &self.announced)
    }

    pub fn tick_by(&self, lake: &Lake, bus: &dyn Bus) -> Result<TickReport, Error> {
        self.with_context(lake, |context| {
            let channels = Channels::new(self, &self.mailbox, context.clock, runtime());
            tick(context, &self.view(), bus, &channels, "watch")
        })
    }

    /// One whose time is over when it has looked.
    pub fn tick_late(&self) -> TickReport {
        self.with_context(&self.lake(), |context| {
            let context = Context { deadline: Some(self.now()), ..*context };
            let channels = Channels::new(self, &self.mailbox, context.clock, runtime());
            tick(&context, &self.view(), &self.announced, &channels, "watch").unwrap()
        })
    }

    /// An event as the watcher's function is given it.
    pub fn receives(&self, event: &Value) -> Result<TickReport, Error> {
        let event = Event::read(event)?;
        self.with_context(&self.lake(), |context| {
            let channels = ChannelEnvironment { secrets: self, mailer: Some(&self.mailbox), handle: runtime() };
            handle(context, channels, &self.view(), &self.announced, &event, "watch")
        })
    }

    /// Runs what an event means, as the functions do.
    pub fn walks(&self, event: &Event) -> EventOutcome {
        self.walks_within(event, tidemark_flow::HEARTBEAT_AFTER, step)
    }

    pub fn walks_within(&self, event: &Event, mark_after: std::time::Duration, steps: StepFactory) -> EventOutcome {
        let function = match event {
            Event::StepDue(due) => due.function.as_str(),
            _ => "ingest",
        };
        self.with_context(&self.lake(), |context| {
            let context = Context { process: Process { heartbeat_after: mark_after, ..context.process }, ..*context };
            let (graph, bus, executor) = (self.graph(), &self.announced, Executor::SEQUENTIAL);
            let dispatcher = Dispatcher { environment: self, graph, bus, executor, function, steps };
            dispatcher.handle(&context, event, "chain").unwrap()
        })
    }

    /// What has been announced since this was last asked.
    pub fn announced(&self) -> Vec<StepDue> {
        std::mem::take(&mut self.announced.0.lock().unwrap())
    }

    /// The same in words: `orders/clean at 2026-03-03T08:00:00Z`.
    pub fn heard_on_bus(&self) -> Vec<String> {
        let of = |due: StepDue| format!("{}/{} at {}", due.pipeline, due.step, due.scheduled_time);
        self.announced().into_iter().map(of).collect()
    }

    /// What has come to a webhook since this was last asked.
    pub fn messages_of(&self, secret: &str) -> Vec<Said> {
        let taken = self.sinks[secret].taken();
        let mut heard = self.heard.lock().unwrap();
        let before = heard.insert(secret.to_owned(), taken.len()).unwrap_or_default();
        taken[before..].iter().map(Said::of).collect()
    }

    pub fn messages(&self) -> Vec<Said> {
        self.messages_of(SLACK)
    }

    /// Only their headlines.
    pub fn heads(&self) -> Vec<String> {
        self.messages().into_iter().map(|said| said.head).collect()
    }

    pub fn incident(&self, key: &str) -> Incident {
        let (bytes, _) = self.lake().incident(&tidemark_lake::incident_name(key)).unwrap().expect(key);
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Every incident there is, by the name of its object.
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

    /// Keeps the record of a run. Gives its id.
    pub fn ran(&self, run: Run) -> String {
        let mut record = run.0;
        if record.run_id.is_empty() {
            record.run_id = self.run_id(record.started_at);
        }
        let day = record.started_at.to_zoned(TimeZone::UTC).date();
        self.lake().put_run(day, &record.run_id, serde_json::to_vec(&record).unwrap()).unwrap();
        record.run_id
    }

    /// A mark of a run that began then and last said something then.
    pub fn marks(&self, pipeline: &str, step: &str, began: &str, alive_at: &str) -> String {
        let started_at: Timestamp = began.parse().unwrap();
        let mark = Heartbeat {
            run_id: self.run_id(started_at),
            pipeline: pipeline.into(),
            step: step.parse().unwrap(),
            correlation_id: "chain".into(),
            scheduled_time: started_at,
            started_at,
            alive_at: alive_at.parse().unwrap(),
        };
        self.lake().put_running(&mark.run_id, serde_json::to_vec(&mark).unwrap()).unwrap();
        mark.run_id
    }

    /// Puts something else where an object is.
    pub fn damages(&self, key: &str) {
        self.store().put(&key.into(), "{ half of").unwrap();
    }
}

impl Sources for Tower {
    fn locate(&self, path: &str) -> Result<Place, Error> {
        host::locate(path, &runtime(), &Meter::default())
    }
}

impl Folders for Tower {
    fn folder(&self, path: &str) -> Result<Store, Error> {
        host::folder(path, &runtime(), &Meter::default())
    }
}

impl Secrets for Tower {
    fn secret(&self, name: &SecretName) -> Result<Secret, Error> {
        match self.sinks.get(name.as_str()) {
            Some(sink) => Ok(Secret::new(sink.url())),
            None => Err(Error::new(ErrorKind::Definition, format!("no secret {name}"))),
        }
    }
}

/// A pipeline `orders` of two columns with one model, and whatever else at its beginning and in `[alerts]`.
pub fn orders(top: &str, alerts: &str) -> String {
    pipeline("orders", top, alerts)
}

/// Its clean dataset is named as it is itself.
pub fn pipeline(name: &str, top: &str, alerts: &str) -> String {
    format!(
        "{top}\n[source]\nkind = 'files'\npath = '${{IN}}/{name}*.csv'\nformat = 'csv'\n\n[contract]\ndataset = '{name}'\n\n\
         [contract.columns]\nid = {{ type = 'int64', required = true }}\namount = 'decimal(12,2)'\n\n\
         [[model]]\nname = '{name}_by_id'\nsql = 'SELECT id, COUNT(*) AS n FROM {name} GROUP BY id'\n\n\
         [alerts]\n{alerts}\n"
    )
}

/// Every day at eight.
pub const DAILY: &str = "schedule = { cron = '0 8 * * ? *', timezone = 'UTC' }";
/// Everybody there is hears of everything.
pub const ALL: &str = "slack = { secret = 'slack-webhook' }";
