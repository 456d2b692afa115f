//! An ingest spread over several invocations makes the same commit as one that fits in one.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::support::running::{self, TestEnvironment, run_step};
use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use object_store::path::Path;
use polars::prelude::*;
use serde_json::Value;
use tidemark::steps::step;
use tidemark_flow::{
    Context, Environment, Error, Executor, Place, RemoteTasks, RunRecord, Status, TaskMessage, TaskReply, Trigger,
};
use tidemark_lake::{FileSize, Key, Lake, Meter, Store};
use tidemark_pipeline::{Graph, Pipeline, SourceFile, StepId, read};
use tokio::runtime::Handle;

const DEFINITION: &[u8] = b"[source]\nkind = \"files\"\npath = \"in\"\n[contract.columns]\nid = \"int64\"\n";
const NOON: &str = "2024-01-02T12:00:00Z";
/// A group of 8 Ki rows is a file.
const SMALL: FileSize = FileSize { group_bytes: 1, bytes: 1 };

fn orders() -> Pipeline {
    let file = SourceFile::new("orders.toml", DEFINITION).unwrap();
    read(&file, &|_| None, &|_| Err(String::new())).unwrap().pipeline
}

/// Several frames of CSV, which end nowhere near a file's end, and records that are none.
fn csv(rows: usize) -> String {
    let mut text = "id,note,\"long\nname\"\n".to_owned();
    for id in 0..rows {
        match id % 1000 {
            7 => text += &format!("{id},too,many,fields\n"),
            8 => text += &format!("\n{id},\"of \"\"two\"\"\nlines\",{}\n", "y".repeat(id % 300)),
            _ => text += &format!("{id},note {},{}\n", id * 7 % 13, "x".repeat(200 + id % 170)),
        }
    }
    text
}

fn ndjson(rows: usize) -> String {
    (0..rows).map(|id| format!("{{\"id\": {id}, \"text\": \"{}\"}}\n", "z".repeat(350))).collect()
}

fn parquet(rows: usize) -> Vec<u8> {
    let ids: Vec<i64> = (0..rows as i64).collect();
    let prices: Vec<f64> = ids.iter().map(|id| *id as f64 / 7.0).collect();
    let mut bytes = Vec::new();
    let mut frame = df!("id" => ids.iter().map(i64::to_string).collect::<Vec<_>>(), "price" => prices).unwrap();
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(20_000)).finish(&mut frame).unwrap();
    bytes
}

fn fill(source: &Store) {
    let put = |name: &str, content: Vec<u8>| source.put(&Path::from(name), content).unwrap();
    put("a.csv", csv(50_000).into_bytes());
    put("b.csv", b"id\n1\n2\n".to_vec());
    put("c.ndjson", ndjson(30_000).into_bytes());
    put("d.csv", b"".to_vec());
    put("e.parquet", parquet(50_000));
}

/// One source, and lakes that read it.
struct World {
    source: Store,
    lake: Lake,
}

/// Where tasks go that are done elsewhere: as text, the last first, and each twice.
struct Elsewhere<'a> {
    context: &'a Context<'a>,
    environment: &'a dyn Environment,
}

impl RemoteTasks for Elsewhere<'_> {
    fn run(&self, tasks: &[TaskMessage]) -> Result<Vec<TaskReply>, Error> {
        let (graph, pipeline) = (Graph::new(Vec::new()).unwrap(), orders());
        let reply = |task: &TaskMessage| {
            let message: TaskMessage = serde_json::from_str(&serde_json::to_string(task).unwrap()).unwrap();
            let step = step(self.environment, &graph, &pipeline, &message.step).unwrap();
            serde_json::to_string(&step.run_task(self.context, &message).unwrap()).unwrap()
        };
        let mut replies: Vec<String> = tasks.iter().rev().map(reply).collect();
        replies.reverse();
        assert_eq!(tasks.iter().map(reply).collect::<Vec<_>>(), replies);
        Ok(replies.iter().map(|reply| serde_json::from_str(reply).unwrap()).collect())
    }
}

impl World {
    fn elsewhere(&self) -> RunRecord {
        let locate = |_: &str| -> Result<Place, Error> { Ok(Place::Folder(self.source.clone())) };
        let environment = TestEnvironment { locate: &locate, ..TestEnvironment::default() };
        let (clock, new_run_id, scratch) = (|| NOON.parse().unwrap(), || "run".into(), std::env::temp_dir());
        let context = running::context(&self.lake, &clock, &new_run_id, &scratch);
        let (graph, pipeline) = (Graph::new(Vec::new()).unwrap(), orders());
        let step = step(&environment, &graph, &pipeline, &StepId::Ingest).unwrap();
        let elsewhere = Elsewhere { context: &context, environment: &environment };
        step.run(&context, Executor::Remote(&elsewhere), &Trigger::at(NOON.parse().unwrap(), "parts"))
    }

    fn walk(&self, trigger: &Trigger, late_at: Option<i64>) -> RunRecord {
        let calls = AtomicI64::new(0);
        let noon: Timestamp = NOON.parse().unwrap();
        // every look at the clock takes a second; the first is the run's beginning
        let clock = || noon + SignedDuration::from_secs(calls.fetch_add(1, Ordering::Relaxed));
        let locate = |_: &str| -> Result<Place, Error> { Ok(Place::Folder(self.source.clone())) };
        let scratch = std::env::temp_dir();
        let environment = TestEnvironment { locate: &locate, ..TestEnvironment::default() };
        let new_run_id = || "run".into();
        let context = Context {
            deadline: late_at.map(|looks| noon + SignedDuration::from_secs(looks)),
            ..running::context(&self.lake, &clock, &new_run_id, &scratch)
        };
        run_step(&context, &environment, &orders(), &StepId::Ingest, trigger)
    }

    fn part(&self, part: u32, late_at: Option<i64>) -> RunRecord {
        self.walk(&Trigger { part, ..Trigger::at(NOON.parse().unwrap(), "parts") }, late_at)
    }

    /// Invokes the step for as long as it says that it is not done.
    fn chain(&self, late_at: i64) -> (u32, RunRecord) {
        for part in 0..100 {
            let record = self.part(part, Some(late_at));
            if record.status != Status::Continues {
                return (part, record);
            }
        }
        panic!("no end");
    }

    /// The first commit, without what no two commits have in common.
    fn commit(&self) -> Vec<Value> {
        let raw = orders().contract.unwrap().dataset.raw();
        let text = self.lake.store().get(&Key::Commit(&raw, 0).path()).unwrap();
        let lines = str::from_utf8(&text).unwrap().lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            for (what, own) in
                [("commitInfo", "timestamp"), ("commitInfo", "txnId"), ("commitInfo", "inCommitTimestamp")]
                    .into_iter()
                    .chain([("metaData", "id"), ("metaData", "createdTime")])
            {
                if let Some(fields) = action.get_mut(what).and_then(Value::as_object_mut) {
                    fields.remove(own);
                }
            }
            action
        });
        lines.collect()
    }

    fn kept(&self) -> Vec<String> {
        let objects = self.lake.store().list(None).unwrap();
        objects.iter().map(|object| object.location.to_string()).filter(|name| name.contains("/_work/")).collect()
    }
}

fn in_memory(handle: &Handle) -> Lake {
    Lake::open(Store::new(Arc::new(InMemory::new()), "memory", handle.clone()), true).unwrap()
}

fn in_folder(folder: &FilePath, handle: &Handle) -> Lake {
    Lake::open_folder(folder, true, handle.clone(), &Meter::default()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn parts_come_to_the_same_commit_as_one_run() {
    let runtime = runtime();
    let handle = runtime.handle().clone();
    let folder = tempfile::tempdir().unwrap();
    let sources = [
        Store::new(Arc::new(InMemory::new()), "in", handle.clone()),
        Store::open_or_create_folder(&folder.path().join("in"), handle.clone()).unwrap(),
    ];
    for (nth, source) in sources.into_iter().enumerate() {
        fill(&source);
        let world = |lake: Lake| World { source: source.clone(), lake: lake.with_file_size(SMALL) };
        let whole = world(in_memory(&handle));
        let record = whole.part(0, None);
        assert_eq!((record.status, record.rows.rows_in), (Status::Done, 130_002), "{record:?}");
        assert_eq!(record.rows.quarantined, 50);
        let expected = whole.commit();
        let adds = expected.iter().filter(|action| action.get("add").is_some()).count();
        assert_eq!(adds, 7 + 1 + 4 + 1 + 7);
        for late_at in [2, 3, 4, 5] {
            let lake = match late_at % 2 {
                0 => in_memory(&handle),
                _ => in_folder(&folder.path().join(format!("lake-{nth}-{late_at}")), &handle),
            };
            let world = world(lake);
            let (parts, done) = world.chain(late_at);
            assert_eq!(done.status, Status::Done, "{done:?}");
            assert!(parts > 1, "{late_at}: {parts} parts");
            assert_eq!(world.commit(), expected);
            assert_eq!((&done.rows, &done.notes), (&record.rows, &record.notes));
            assert_eq!(done.bytes, record.bytes);
            assert_eq!(world.kept(), Vec::<String>::new());
        }
    }
}

#[test]
fn tasks_done_elsewhere_come_to_the_same_commit() {
    let runtime = runtime();
    let handle = runtime.handle();
    let source = Store::new(Arc::new(InMemory::new()), "in", handle.clone());
    fill(&source);
    let world = || World { source: source.clone(), lake: in_memory(handle).with_file_size(SMALL) };
    let (here, elsewhere) = (world(), world());
    let (one, other) = (here.part(0, None), elsewhere.elsewhere());
    assert_eq!((one.status, other.status), (Status::Done, Status::Done), "{:?}", other.error);
    assert_eq!((one.rows, one.notes, one.bytes), (other.rows, other.notes, other.bytes));
    assert_eq!(elsewhere.commit(), here.commit());
}

#[test]
fn a_part_that_comes_twice_or_out_of_order_does_no_harm() {
    let runtime = runtime();
    let handle = runtime.handle();
    let source = Store::new(Arc::new(InMemory::new()), "in", handle.clone());
    fill(&source);
    let world = || World { source: source.clone(), lake: in_memory(handle).with_file_size(SMALL) };
    let whole = world();
    whole.part(0, None);
    let again = world();
    let mut part = 0;
    let done = loop {
        let record = again.part(part, Some(2));
        if record.status != Status::Continues {
            break record;
        }
        // what came before comes again, and what nobody has sent comes too
        for other in [part, 0, 9] {
            assert_eq!(again.part(other, Some(2)).status, Status::Continues);
        }
        assert!(!again.kept().is_empty());
        part += 1;
    };
    assert_eq!(done.status, Status::Done, "{done:?}");
    assert_eq!(again.commit(), whole.commit());
    assert_eq!(again.kept(), Vec::<String>::new());
    for part in [0, 1, part, part + 1] {
        assert_eq!(again.part(part, Some(2)).status, Status::NothingToDo);
    }
    assert_eq!(again.kept(), Vec::<String>::new());
}

#[test]
fn what_was_put_down_and_makes_no_sense_is_begun_anew() {
    let runtime = runtime();
    let handle = runtime.handle();
    let source = Store::new(Arc::new(InMemory::new()), "in", handle.clone());
    fill(&source);
    let world = || World { source: source.clone(), lake: in_memory(handle).with_file_size(SMALL) };
    let whole = world();
    whole.part(0, None);
    for nonsense in ["", "{}", "{\"finished\": [], \"begun\": null, \"schema\": \"?\"}"] {
        let other = world();
        assert_eq!(other.part(0, Some(2)).status, Status::Continues);
        let kept = other.kept();
        assert_eq!(kept.len(), 1, "{kept:?}");
        other.lake.store().put(&Path::from(kept[0].as_str()), nonsense).unwrap();
        assert_eq!(other.part(1, None).status, Status::Done);
        assert_eq!(other.commit(), whole.commit());
    }
}

#[test]
fn a_deadline_in_which_nothing_can_be_done_ends_the_chain() {
    let runtime = runtime();
    let handle = runtime.handle();
    let source = Store::new(Arc::new(InMemory::new()), "in", handle.clone());
    source.put(&Path::from("a.csv"), csv(30_000)).unwrap();
    // no file is full before the end
    let world = World { source, lake: in_memory(handle) };
    let (parts, record) = world.chain(1);
    assert_eq!((parts, record.status), (0, Status::Failed));
    let error = record.error.unwrap();
    assert!(error.message.contains("makes no progress"), "{error:?}");
}
