//! One machine with a lake, a folder of reports and a database, on which mornings come, with or without faults.

pub mod sales;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use polars::prelude::DataFrame;
use tempfile::TempDir;
use tidemark::args::Common;
use tidemark::load;
use tidemark_aws::Buckets;
use tidemark_flow::{Error, Place, RunRecord, Selection, Status, Trigger};
use tidemark_lake::{Lake, Meta, Meter, Store};
use tidemark_pipeline::Graph;
use tidemark_transform::bag;
use tokio::runtime::Handle;

use crate::support::faulty_store::{Faulty, Plan};
use crate::support::running::{self, TestEnvironment, runner};
use crate::support::s3_server::Server;
use sales::{MORNINGS, Sales, local};

/// With more threads than a machine may have processors: a call that lets another process run ahead holds one of them.
pub fn runtime() -> Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build().unwrap())
        .handle()
        .clone()
}

/// The repository's own pipelines.
pub fn pipelines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/pipelines")
}

/// Where the objects lie. Memory gives bodies as streams; a folder gives files; S3 is asked over HTTP, by one client for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Memory,
    Folder,
    S3,
}

impl Backend {
    pub const ALL: [Backend; 3] = [Backend::Memory, Backend::Folder, Backend::S3];
}

/// The lake and the reports.
enum Rooms {
    Memory([Arc<InMemory>; 2]),
    Folder,
    S3([String; 2]),
}

/// The server of all houses, and the client of all processes.
pub fn s3() -> &'static (Server, Buckets) {
    static S3: OnceLock<(Server, Buckets)> = OnceLock::new();
    S3.get_or_init(|| {
        let server = Server::atomic();
        let buckets = server.buckets(runtime(), &Meter::default());
        (server, buckets)
    })
}

/// A bucket that nobody has, with what lies in a folder.
pub fn new_bucket(content: Option<&Path>) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("bucket-{:05}", NEXT.fetch_add(1, Ordering::Relaxed));
    s3().0.bucket(&name);
    if let Some(content) = content {
        copy(content, &s3().0.folder(&name));
    }
    name
}

pub fn in_bucket(name: &str) -> Arc<dyn ObjectStore> {
    s3().1.objects(&format!("s3://{name}")).unwrap()
}

pub struct House {
    rooms: Rooms,
    folder: TempDir,
    graph: Graph,
}

impl House {
    pub fn new(backend: Backend) -> House {
        House::with(match backend {
            Backend::Memory => Rooms::Memory([Arc::new(InMemory::new()), Arc::new(InMemory::new())]),
            Backend::Folder => Rooms::Folder,
            Backend::S3 => Rooms::S3([new_bucket(None), new_bucket(None)]),
        })
    }

    fn with(rooms: Rooms) -> House {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lake", "reports"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let common = Common {
            lake: folder.path().join("lake").display().to_string(),
            pipelines: pipelines(),
            parameters: vec![
                ("SALES".into(), "sales".into()),
                ("REPORTS".into(), folder.path().join("reports").display().to_string()),
            ],
            json: true,
        };
        let graph = load(&common, Selection::Named(&["daily-sales".into()])).unwrap();
        House { rooms, folder, graph }
    }

    /// Another one in which everything stands as it does here.
    pub fn fork(&self) -> House {
        let house = House::with(match &self.rooms {
            Rooms::Memory(stores) => Rooms::Memory(stores.each_ref().map(|store| Arc::new(store.fork()))),
            Rooms::Folder => Rooms::Folder,
            Rooms::S3(names) => Rooms::S3(names.each_ref().map(|name| new_bucket(Some(&s3().0.folder(name))))),
        });
        copy(self.folder.path(), house.folder.path());
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Of the lake, and of the reports.
    pub fn bucket(&self, room: usize) -> &str {
        match &self.rooms {
            Rooms::S3(names) => &names[room],
            _ => panic!("this house has no buckets"),
        }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.rooms, Rooms::S3(_))
    }

    /// Where the lake is, as a user names it.
    pub fn lake(&self) -> String {
        match &self.rooms {
            Rooms::S3([lake, _]) => format!("s3://{lake}"),
            _ => self.path("lake").display().to_string(),
        }
    }

    fn stores(&self) -> [Arc<dyn ObjectStore>; 2] {
        match &self.rooms {
            Rooms::Memory([lake, reports]) => [lake.clone(), reports.clone()],
            Rooms::Folder => ["lake", "reports"].map(|name| local(&self.path(name))),
            Rooms::S3(names) => names.each_ref().map(|name| in_bucket(name)),
        }
    }

    /// A process of its own: opens everything, and walks every step that is due on that morning.
    pub fn run(&self, sales: &Sales, morning: usize, plan: &Arc<Plan>) -> Result<Vec<RunRecord>, Error> {
        let source = match &self.rooms {
            Rooms::Memory(_) => sales.in_memory(morning),
            Rooms::Folder => sales.in_folder(morning),
            Rooms::S3(_) => sales.in_bucket(morning),
        };
        let [lake, reports] = self.stores();
        let store = |inner, place| Store::new(Faulty::new(inner, plan), place, runtime());
        let lake = Lake::open(store(lake, "lake"), true)?;
        let locate = |_: &str| Ok(Place::Folder(store(source.clone(), "sales")));
        let folder = |_: &str| Ok(store(reports.clone(), "reports"));
        let environment = TestEnvironment { locate: &locate, folder: &folder, ..TestEnvironment::default() };
        let clock = || MORNINGS[morning].parse().unwrap();
        let context = running::context(&lake, &clock, &run_id, self.folder.path());
        let trigger = Trigger::at(MORNINGS[morning].parse().unwrap(), "crash");
        runner(&context, &environment, &self.graph).run_all(&["daily-sales".into()], &trigger)
    }

    /// Everything that can be seen from outside.
    pub fn standing(&self) -> Standing {
        let [lake, reports] = self.stores().map(|inner| Store::new(inner, "house", runtime()));
        let lake = Lake::open(lake, false).unwrap();
        let mut datasets = BTreeMap::new();
        for name in lake.datasets().unwrap() {
            let table = lake.existing(&name).unwrap();
            let rows = table.read(&lake, &table.files(&lake).unwrap()).unwrap();
            let rows = bag::sort(&rows).unwrap();
            datasets
                .insert(name.to_string(), Dataset { version: table.version(), meta: table.meta(&lake).unwrap(), rows });
        }
        let mut files = BTreeMap::new();
        for object in reports.list(None).unwrap() {
            if !object.location.as_ref().starts_with("sales.db") {
                files.insert(object.location.to_string(), reports.get(&object.location).unwrap());
            }
        }
        for record in lake.runs(usize::MAX).unwrap() {
            let _: RunRecord = serde_json::from_slice(&record).unwrap();
        }
        let database = self.path("reports/sales.db");
        let loaded = rows_of(&database, "SELECT dataset, \"table\", version FROM tidemark_loads");
        Standing { datasets, files, table: rows_of(&database, "SELECT * FROM sales_by_day ORDER BY sold_on"), loaded }
    }

    /// Every object of the lake and of the reports, with what changes when it is written again.
    pub fn objects(&self) -> Vec<String> {
        let stores = self.stores().map(|inner| Store::new(inner, "house", runtime()));
        let all = stores.iter().flat_map(|store| store.list(None).unwrap());
        all.map(|meta| format!("{} {} {:?}", meta.location, meta.size, meta.e_tag)).collect()
    }
}

/// Ids of processes that never were: no two are alike.
pub fn run_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("run-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// The cells of a query as text.
pub fn rows_of(database: &Path, sql: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let rows = statement
        .query_map([], |row| {
            (0..width).map(|at| row.get(at).map(|cell: rusqlite::types::Value| format!("{cell:?}"))).collect()
        })
        .unwrap();
    rows.map(|row| row.map(|cells: Vec<String>| cells.join(" | ")).unwrap()).collect()
}

/// What a machine has to show, in an order of its own.
pub struct Standing {
    datasets: BTreeMap<String, Dataset>,
    /// The reports, by name.
    files: BTreeMap<String, Bytes>,
    /// Table `sales_by_day`.
    table: Vec<String>,
    /// What `tidemark_loads` says.
    loaded: Vec<String>,
}

struct Dataset {
    version: i64,
    meta: Meta,
    rows: DataFrame,
}

impl Standing {
    /// What differs, in words; nothing where everything is equal, down to the versions, so that no commit was made twice.
    pub fn differences(&self, other: &Standing) -> Vec<String> {
        let mut found = Vec::new();
        let names = |standing: &Standing| standing.datasets.keys().cloned().collect::<Vec<_>>();
        if names(self) != names(other) {
            found.push(format!("datasets {:?}, not {:?}", names(self), names(other)));
        }
        for (name, mine) in &self.datasets {
            let Some(theirs) = other.datasets.get(name) else { continue };
            if !mine.rows.equals_missing(&theirs.rows) {
                found.push(format!("rows of {name}: {} and {}", mine.rows, theirs.rows));
            }
            if (mine.version, &mine.meta) != (theirs.version, &theirs.meta) {
                let (a, b) = ((mine.version, &mine.meta), (theirs.version, &theirs.meta));
                found.push(format!("version and metadata of {name}: {a:?} and {b:?}"));
            }
        }
        if self.files.keys().ne(other.files.keys()) {
            found.push(format!("reports {:?}, not {:?}", self.files.keys(), other.files.keys()));
        }
        for (name, mine) in &self.files {
            if other.files.get(name).is_some_and(|theirs| theirs != mine) {
                found.push(format!("report {name} has other bytes"));
            }
        }
        if self.table != other.table {
            found.push(format!("table {:#?}, not {:#?}", self.table, other.table));
        }
        if self.loaded != other.loaded {
            found.push(format!("loaded {:?}, not {:?}", self.loaded, other.loaded));
        }
        found
    }

    #[track_caller]
    pub fn assert_equal(&self, clean: &Standing) {
        let differences = self.differences(clean);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    pub fn rows(&self, dataset: &str) -> usize {
        self.datasets[dataset].rows.height()
    }
}

/// The errors of a run.
pub fn failures(records: &[RunRecord]) -> Vec<String> {
    let failed = records.iter().filter_map(|record| record.error.as_ref().map(|error| (record, error)));
    failed.map(|(record, error)| format!("{}: {:?}: {}", record.step, error.kind, error.message)).collect()
}

pub fn has_status(records: &[RunRecord], status: Status) -> bool {
    records.iter().all(|record| record.status == status)
}
