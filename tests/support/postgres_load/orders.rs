//! A dataset of several versions in a lake, a pipeline that loads it, and the observable state of a database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use object_store::memory::InMemory;
use polars::prelude::*;
use tempfile::TempDir;
use tidemark::args::Common;
use tidemark_flow::{Context, ErrorKind, RunRecord, Selection, Status, Trigger};
use tidemark_lake::{CommitInfo, Draft, Lake, Meta, Meter, Outcome, Partition, Store, Writer};
use tidemark_pipeline::{DatasetName, Graph, StepId};

use crate::support::daily_sales::{run_id, runtime};
use crate::support::postgres::Database;
use crate::support::postgres::release::done;
use crate::support::project::{Site, tidemark};
use crate::support::running::{self, TestEnvironment, process, run_step};
use crate::support::wait::until;

const AT: &str = "2026-03-02T08:00:00Z";

/// Texts that need escaping in some format.
const NOTES: [&str; 5] = ["plain", "a\ttab", "a \\N backslash", "two\nlines", "a \u{1f30a}"];

/// A row of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    id: i64,
    cents: i64,
    pub note: Option<String>,
    day: u32,
}

impl Order {
    fn new(id: i64, day: u32) -> Order {
        let note = NOTES.get(usize::try_from(id % 6).unwrap()).map(|note| format!("{note} {id}"));
        Order { id, cents: id * 100 + 7, note, day }
    }

    /// The row as formatted in [`DatabaseState`].
    fn text(&self) -> String {
        let Order { id, cents, note, day } = self;
        let note = note.as_deref().unwrap_or("NULL");
        format!("{id:06} | {}.{:02} | {note} | 2026-01-{day:02}", cents / 100, cents % 100)
    }
}

/// Version 0: three days of 100 orders. Version 1: one day is unchanged, orders of others are changed, moved and removed, and a day is
/// added. Version 2: a day is removed, and a removed order is added again.
pub fn orders(version: i64) -> Vec<Order> {
    let mut orders: Vec<Order> = (0..300).map(|id| Order::new(id, 1 + u32::try_from(id / 100).unwrap())).collect();
    if version >= 1 {
        orders.retain(|order| order.day != 2 || order.id % 10 != 0);
        for order in &mut orders {
            match (order.day, order.id % 10) {
                (2, 1) => order.cents += 50,
                (2, 5) if order.id == 155 => order.day = 3,
                (3, 7) => order.note = order.note.as_ref().map_or_else(|| Some("now".to_owned()), |_| None),
                _ => {}
            }
        }
        orders.extend((300..330).map(|id| Order::new(id, 4)));
    }
    if version >= 2 {
        orders.retain(|order| order.day != 1);
        orders.push(Order::new(110, 2));
        orders.iter_mut().filter(|order| order.day == 4).for_each(|order| order.cents *= 2);
        orders.extend((330..340).map(|id| Order::new(id, 2)));
    }
    orders
}

/// The rows of a version `times` times, with different ids.
pub fn many(version: i64, times: i64) -> Vec<Order> {
    let orders = orders(version);
    let again = |nth| orders.iter().map(move |order| Order { id: order.id + 1000 * nth, ..order.clone() });
    (0..times).flat_map(again).collect()
}

/// Rows of `after` that are not in `before`, as text.
pub fn added_rows(before: &[Order], after: &[Order]) -> Vec<String> {
    let before: BTreeSet<&Order> = before.iter().collect();
    after.iter().filter(|order| !before.contains(order)).map(Order::text).collect()
}

pub fn texts(orders: &[Order]) -> Vec<String> {
    let mut texts: Vec<String> = orders.iter().map(Order::text).collect();
    texts.sort();
    texts
}

fn frame(orders: &[&Order]) -> DataFrame {
    df!(
        "id" => orders.iter().map(|order| order.id).collect::<Vec<_>>(),
        "cents" => orders.iter().map(|order| order.cents).collect::<Vec<_>>(),
        "note" => orders.iter().map(|order| order.note.as_deref()).collect::<Vec<_>>(),
        "day" => orders.iter().map(|order| format!("2026-01-{:02}", order.day)).collect::<Vec<_>>(),
    )
    .unwrap()
    .lazy()
    .select([
        col("id"),
        (col("cents").cast(DataType::Decimal(14, 2)) / lit(100)).cast(DataType::Decimal(12, 2)).alias("amount"),
        col("note"),
        col("day").str().to_date(StrptimeOptions::default()).alias("sold_on"),
    ])
    .collect()
    .unwrap()
}

/// Commits these orders as the next version of dataset `orders`, with new files for changed days.
pub fn commit(lake: &Lake, orders: &[Order]) {
    let dataset: DatasetName = "orders".parse().unwrap();
    let base = lake.table(&dataset).unwrap();
    let before = base.as_ref().map(|table| table.files(lake).unwrap()).unwrap_or_default();
    let schema = (**frame(&[]).schema()).clone();
    let (mut adds, mut stays) = (Vec::new(), Vec::new());
    for day in 1..=31 {
        let mut within: Vec<&Order> = orders.iter().filter(|order| order.day == day).collect();
        within.sort();
        let partition = Partition::new([("sold_on", Some(format!("2026-01-{day:02}").as_str()))]);
        let mut writer = Writer::new(lake, &dataset, &schema, partition);
        writer.write(&frame(&within)).unwrap();
        for file in writer.finish(false).unwrap() {
            match before.iter().find(|known| known.path == file.path) {
                Some(known) => stays.push(known.path.clone()),
                None => adds.push(file),
            }
        }
    }
    let version = base.as_ref().map_or(0, |table| table.version() + 1);
    let draft = Draft {
        dataset,
        schema,
        partition_by: vec!["sold_on".parse().unwrap()],
        adds,
        removes: before.into_iter().filter(|file| !stays.contains(&file.path)).collect(),
        consumed: vec![("orders.raw".into(), version)],
        meta: Meta::default(),
        info: CommitInfo { run_id: run_id(), step: "clean".into(), balance: serde_json::Value::Null },
    };
    let outcome = draft.commit(lake, base.as_ref()).unwrap();
    assert!(matches!(outcome, Outcome::Committed(made) if made == version), "{outcome:?}");
}

/// The objects of a lake in memory.
pub type Objects = Arc<InMemory>;

pub fn open(objects: &Objects) -> Lake {
    Lake::open(Store::new(objects.clone(), "memory", runtime()), true).unwrap()
}

/// A lake with the versions 0 to `last` of [`orders`].
pub fn lake_at(last: usize) -> Objects {
    static LAKES: OnceLock<[Objects; 3]> = OnceLock::new();
    let lakes = LAKES.get_or_init(|| {
        let objects = Objects::default();
        [0, 1, 2].map(|version| {
            commit(&open(&objects), &orders(version));
            Arc::new(objects.fork())
        })
    });
    Arc::new(lakes[last].fork())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Upsert,
    Swap,
    Append,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Upsert, Mode::Swap, Mode::Append];
}

/// A pipeline that reads folder `in` and loads dataset `orders`; `rest` is appended to its target.
pub fn define(mode: Mode, table: &str, rest: &str) -> String {
    let mode = match mode {
        Mode::Upsert => "mode = \"upsert\"\nkey = [\"id\"]",
        Mode::Swap => "mode = \"swap\"",
        Mode::Append => "mode = \"append\"",
    };
    format!(
        "[parameters]
WAREHOUSE = {{ about = \"the database\" }}

[source]
kind = \"files\"
path = \"in\"

[contract]
dataset = \"orders\"
partition_by = \"sold_on\"

[contract.columns]
id = {{ type = \"int64\", required = true }}
amount = \"decimal(12,2)\"
note = \"string\"
sold_on = {{ type = \"date\", required = true }}

[[target]]
kind = \"postgres\"
dataset = \"orders\"
url = \"${{WAREHOUSE}}\"
table = \"{table}\"
{mode}
{rest}
"
    )
}

/// A loader with its own definition and database URL.
pub struct Loader {
    graph: Graph,
    folder: TempDir,
}

impl Loader {
    /// Loads into table `orders`.
    pub fn new(url: &str, mode: Mode, rest: &str) -> Loader {
        Loader::for_table(url, mode, "orders", rest)
    }

    pub fn for_table(url: &str, mode: Mode, table: &str, rest: &str) -> Loader {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("orders.toml"), define(mode, table, rest)).unwrap();
        let common = Common {
            lake: "memory".into(),
            pipelines: folder.path().to_owned(),
            parameters: vec![("WAREHOUSE".into(), url.into())],
            json: true,
        };
        let graph = tidemark::load(&common, Selection::Named(&[])).unwrap();
        Loader { graph, folder }
    }

    /// Runs the load step.
    pub fn load(&self, objects: &Objects) -> RunRecord {
        self.run(objects, false)
    }

    /// Runs the load step for all rows.
    pub fn load_full(&self, objects: &Objects) -> RunRecord {
        self.run(objects, true)
    }

    fn run(&self, objects: &Objects, full: bool) -> RunRecord {
        let lake = open(objects);
        let meter = Meter::default();
        let clock = || AT.parse().unwrap();
        let context =
            Context { process: process(&meter), ..running::context(&lake, &clock, &run_id, self.folder.path()) };
        let environment = TestEnvironment::default();
        let steps = self.graph.steps();
        let mut loads = steps.into_iter().filter(|(_, step)| matches!(step, StepId::Load(_)));
        let (pipeline, step) = loads.next().unwrap();
        let trigger = Trigger { full, ..Trigger::at(AT.parse().unwrap(), "crash") };
        run_step(&context, &environment, pipeline, step, &trigger)
    }
}

/// The observable state of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseState {
    pub rows: Vec<String>,
    /// Rows of `tidemark_loads`: dataset, table, version, and numbers of inserted, updated, unchanged, deleted and refused rows.
    pub loads: Vec<String>,
    pub refused: Vec<String>,
    /// All relations outside the system schemas, temporary ones included.
    pub relations: Vec<String>,
}

const ROWS: &str = "SELECT lpad(id::text, 6, '0') || ' | ' || amount || ' | ' || coalesce(note, 'NULL') || ' | ' || sold_on FROM orders";
const LOADS: &str = "SELECT concat_ws(' ', dataset, \"table\", version, inserted, updated, unchanged, deleted, refused) FROM tidemark_loads";
const REFUSED: &str = "SELECT concat_ws(' ', dataset, \"table\", version, key, reason) FROM tidemark_refused";
const RELATIONS: &str = "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
/// Other sessions of the database, and sessions that hold a lock in it.
const BUSY: &str = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
     UNION SELECT l.pid::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
     WHERE d.datname = current_database() AND l.pid <> pg_backend_pid()";

/// Whether a session waits for a lock.
pub fn is_waiting(database: &Database) -> bool {
    let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    !database.query(waiting).is_empty()
}

impl DatabaseState {
    /// Waits until all sessions have ended.
    pub fn from_database(database: &Database) -> DatabaseState {
        until("no session, no lock", || database.query(BUSY).is_empty());
        let things = DatabaseState::column(database, RELATIONS);
        let there = |name: &str| things.contains(&format!("public.{name}"));
        let column =
            |name: &str, sql: &str| if there(name) { DatabaseState::column(database, sql) } else { Vec::new() };
        DatabaseState {
            rows: column("orders", ROWS),
            loads: column("tidemark_loads", LOADS),
            refused: column("tidemark_refused", REFUSED),
            relations: things,
        }
    }

    fn column(database: &Database, sql: &str) -> Vec<String> {
        let mut texts: Vec<String> = database.query(sql).into_iter().map(|mut row| row.remove(0).unwrap()).collect();
        texts.sort();
        texts
    }

    /// An error describes the differences.
    pub fn equals(&self, clean: &DatabaseState) -> Result<(), String> {
        let differs = |what: &str, found: &[String], wanted: &[String]| {
            let more: Vec<_> = found.iter().filter(|text| !wanted.contains(text)).take(5).collect();
            let less: Vec<_> = wanted.iter().filter(|text| !found.contains(text)).take(5).collect();
            let message =
                format!("{what}: {} and not {}; too many {more:?}; missing {less:?}", found.len(), wanted.len());
            if found == wanted { Ok(()) } else { Err(message) }
        };
        differs("rows", &self.rows, &clean.rows)?;
        differs("tidemark_loads", &self.loads, &clean.loads)?;
        differs("tidemark_refused", &self.refused, &clean.refused)?;
        differs("things", &self.relations, &clean.relations)
    }
}

/// The counts of a run record, formatted as in `tidemark_loads`.
pub fn counts(record: &RunRecord) -> String {
    let rows = &record.rows;
    rows.check().unwrap();
    [rows.written, rows.updated, rows.unchanged, rows.deleted, rows.quarantined]
        .map(|count| count.to_string())
        .join(" ")
}

/// Checks that failed runs may be repeated, and that exactly one run record has the counts of `tidemark_loads`.
pub fn check_records(records: &[RunRecord], state: &DatabaseState) -> Result<(), String> {
    for record in records {
        match &record.error {
            Some(error) if error.kind != ErrorKind::Retry || error.hint.is_none() => {
                return Err(format!("{:?}: {} → {:?}", error.kind, error.message, error.hint));
            }
            _ => {}
        }
    }
    let [line] = state.loads.as_slice() else { return Err(format!("tidemark_loads has {:?}", state.loads)) };
    let says = |record: &&RunRecord| record.status == Status::Done && line.ends_with(&format!(" {}", counts(record)));
    let matching = records.iter().filter(says).count();
    match matching {
        1 => Ok(()),
        _ => Err(format!(
            "{matching} runs say that they did {line}: {:?}",
            records.iter().map(counts).collect::<Vec<_>>()
        )),
    }
}

/// A folder for the real command, with the pipeline and its source files, one per day.
pub struct Workspace {
    site: Site,
    url: String,
}

impl Workspace {
    pub fn new(url: &str, mode: Mode) -> Workspace {
        let site = Site::new();
        site.write("infra/pipelines/orders.toml", define(mode, "orders", ""));
        Workspace { site, url: url.to_owned() }
    }

    /// A copy of this folder with another database.
    pub fn copy(&self, url: &str) -> Workspace {
        let site = Site::new();
        // Keeps the modification times, which are versions of the source.
        done(Command::new("cp").arg("-a").arg(self.site.path(".")).arg(site.path(".")));
        Workspace { site, url: url.to_owned() }
    }

    /// Folder of a dataset's log.
    pub fn log(&self, dataset: &str) -> PathBuf {
        self.site.path(&format!("lake/datasets/{dataset}/_delta_log"))
    }

    /// Writes these orders as source files; a day without orders has a file with only a header.
    pub fn put(&self, orders: &[Order]) {
        let mut files = BTreeMap::new();
        for day in 1..=4 {
            files.insert(day, "id,amount,note,sold_on\n".to_owned());
        }
        for Order { id, cents, note, day } in orders {
            let note = note.as_ref().map(|note| format!("\"{note}\"")).unwrap_or_default();
            *files.get_mut(day).unwrap() +=
                &format!("{id},{}.{:02},{note},2026-01-{day:02}\n", cents / 100, cents % 100);
        }
        for (day, text) in files {
            let name = format!("in/day-{day}.csv");
            if std::fs::read(self.site.path(&name)).ok().as_deref() != Some(text.as_bytes()) {
                self.site.write(&name, text);
            }
        }
    }

    /// `tidemark run`.
    pub fn command(&self) -> Command {
        let mut command = self.site.command(tidemark());
        command.args(["run", "--json", "--at", AT, "--set"]).arg(format!("WAREHOUSE={}", self.url));
        command
    }
}
