//! A machine on which `tidemark dev` runs: the pipeline `orders` of the repository, its API, a lake, a webhook.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use serde_json::Value;
use tempfile::TempDir;
use tidemark::args::Common;
use tidemark::dev::{Dev, Done, Time};
use tidemark::environment::LocalEnvironment;
use tidemark_flow::{Bus, Context, Error, Quiet, RunRecord, Secret, Selection, StepDue};
use tidemark_lake::{Lake, Store};
use watch::{Channels, LakeSnapshot, TickReport};

use crate::support::api_server::{Api, Bound, Fields, Filter, Paging, Style, Time as Form};
use crate::support::project::root;
use crate::support::receivers::Sink;

pub struct Office {
    pub folder: TempDir,
    pub api: Api,
    pub sink: Sink,
    pub world: LocalEnvironment,
    pub gate: Arc<Gate>,
}

/// One message, as it came in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// `orders.ingest.failed#1`
    pub incident: String,
    /// `critical`, `over`
    pub state: String,
}

impl Office {
    /// With the pipelines that are written later.
    pub fn new() -> Office {
        let filter = Filter { time: Form::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
        let style = Style { size: 100, filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
        let fields = Fields { id: "/id", time: "/updated_at" };
        let (api, sink) = (Api::new(style, fields, &[]), Sink::start());
        let secret = |text: String| Secret::new(text);
        let world = LocalEnvironment::new().unwrap();
        let world = world.with_secret("slack-webhook".parse().unwrap(), secret(sink.url()));
        let world = world.with_secret("orders-api-token".parse().unwrap(), secret("of-a-test".into()));
        let gate = Arc::new(Gate { inner: Arc::new(InMemory::new()), is_shut: AtomicBool::new(false) });
        let office = Office { folder: tempfile::tempdir().unwrap(), api, sink, world, gate };
        std::fs::create_dir_all(office.path("pipelines/orders")).unwrap();
        office
    }

    /// The pipeline of the repository. The API calls its parameter otherwise, and nobody waits for it in real time.
    pub fn with_orders(schedule: &str) -> Office {
        let office = Office::new();
        let file = |name: &str| std::fs::read_to_string(root().join("infra/pipelines").join(name)).unwrap();
        let own = "{ cron = \"0 */4 * * ? *\", timezone = \"UTC\" }";
        let text = file("orders.toml");
        assert!(text.contains(own));
        let text = text.replace(own, schedule).replace("\"updated_since\"", "\"since\"");
        let text = text.replace("records = \"/data\"", "records = \"/data\"\nlimits = { attempts = 1 }");
        office.write("pipelines/orders.toml", &format!("{text}\n[alerts]\nslack = {{ secret = \"slack-webhook\" }}\n"));
        office.write("pipelines/orders/orders_by_day.sql", &file("orders/orders_by_day.sql"));
        office
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn common(&self) -> Common {
        Common {
            lake: "lake".into(),
            pipelines: self.path("pipelines"),
            parameters: vec![
                ("ORDERS_API".into(), self.api.origin()),
                ("REPORTS".into(), self.path("out").display().to_string()),
                ("WAREHOUSE".into(), String::new()),
                ("SALES".into(), self.path("sales").display().to_string()),
            ],
            json: true,
        }
    }

    /// The lake as a process opens it.
    pub fn lake(&self) -> Lake {
        Lake::open(Store::new(self.gate.clone(), "lake", self.world.handle()), true).unwrap()
    }

    /// A process, from its start until the clock stops it.
    pub fn runs(&self, time: &dyn Time) -> Done {
        let (common, lake) = (self.common(), self.lake());
        let (to_dev, signals) = channel();
        let dev = Dev::new(&common, &self.world, &lake, &Quiet, true);
        dev.run(time, to_dev, &signals).unwrap()
    }

    /// One look of the watcher, and what it announced.
    pub fn looks(&self, now: Timestamp) -> (TickReport, Vec<StepDue>) {
        struct Keeps(Mutex<Vec<StepDue>>);
        impl Bus for Keeps {
            fn announce(&self, due: &[StepDue]) -> std::result::Result<(), Error> {
                self.0.lock().unwrap().extend_from_slice(due);
                Ok(())
            }
        }
        let graph = tidemark::load(&self.common(), Selection::Named(&[])).unwrap();
        let (lake, bus) = (self.lake(), Keeps(Mutex::default()));
        let clock = || now;
        let ticked = self.world.with_context(&lake, &Quiet, |context| {
            let context = Context { clock: &clock, ..*context };
            let mailer = watch::channel::Smtp::from_variables(|_| None, &self.world, context.clock);
            let channels = Channels::new(&self.world, &mailer, context.clock, self.world.handle());
            let view = LakeSnapshot { graph: &graph, broken: &[], arguments: String::new() };
            watch::tick(&context, &view, &bus, &channels, "look").unwrap()
        });
        (ticked, bus.0.into_inner().unwrap())
    }

    /// Every run record, the oldest first.
    pub fn records(&self) -> Vec<RunRecord> {
        let all = self.lake().runs(usize::MAX).unwrap();
        all.iter().rev().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
    }

    /// The scheduled times for which a pipeline has been started, as often as it was.
    pub fn starts(&self, pipeline: &str) -> Vec<String> {
        let records = self.records();
        let of_schedule = |record: &&RunRecord| record.pipeline == pipeline && record.trigger.starts_with("schedule ");
        records.iter().filter(of_schedule).map(|record| record.scheduled_time.to_string()).collect()
    }

    /// Rows of a table of the database.
    pub fn count(&self, table: &str) -> i64 {
        let database = rusqlite::Connection::open(self.path("out/orders.db")).unwrap();
        database.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    /// What the webhook took, in order.
    pub fn told(&self) -> Vec<Told> {
        self.sink.taken().iter().map(Told::from_message).collect()
    }
}

impl Told {
    /// Of a message about one incident.
    fn from_message(message: &Value) -> Told {
        let blocks = message["attachments"][0]["blocks"].as_array().unwrap_or_else(|| panic!("{message:#}"));
        let origin = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap_or_else(|| panic!("{message:#}"));
        let mut parts = origin.split("  ·  ");
        let mut next = || parts.next().unwrap_or_else(|| panic!("{origin}")).to_owned();
        Told { state: next(), incident: next() }
    }
}

/// A store of which what the watcher keeps can be shut off.
#[derive(Debug)]
pub struct Gate {
    inner: Arc<dyn ObjectStore>,
    is_shut: AtomicBool,
}

impl Gate {
    pub fn shut(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::SeqCst);
    }

    fn pass(&self, path: Option<&Path>) -> Result<()> {
        let is_meant = path.is_some_and(|path| path.as_ref().starts_with("watch"));
        if is_meant && self.is_shut.load(Ordering::SeqCst) {
            return Err(object_store::Error::Generic { store: "gate", source: "out of order".into() });
        }
        Ok(())
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.pass(Some(location))?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass(Some(location))?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.pass(prefix) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(async move { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
