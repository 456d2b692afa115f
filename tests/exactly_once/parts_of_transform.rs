//! Steps `clean` and `model` spread over several invocations give the same result as one invocation without a time limit.

mod healed;
mod records;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tidemark_flow::{Context, ErrorKind, Executor, Place, RunRecord, Status, Trigger};
use tidemark_lake::{Key, Lake, Meta, Store};
use tidemark_pipeline::{DatasetName, Graph, StepId};

use crate::support::daily_sales::sales::local;
use crate::support::daily_sales::{Backend, in_bucket, new_bucket, run_id, runtime};
use crate::support::order_files::{Shop, source};
use crate::support::running::{self, TestEnvironment};
use crate::support::task_processes::OwnProcesses;

const NOW: &str = "2026-04-01T08:00:00Z";

/// Memory in which everything fits.
const ROOMY: u64 = 1 << 30;
/// Memory in which a partition does, and not two.
const MODEST: u64 = 100_000;
/// Memory in which next to nothing does.
const TIGHT: u64 = 40_000;

/// Who runs the tasks of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    OneAfterAnother,
    SideBySide,
    OwnProcesses,
}

/// A lake that reads a shop, and how long its invocations last.
struct Reader<'s> {
    shop: &'s Shop,
    graph: Graph,
    store: Arc<dyn ObjectStore>,
    folder: TempDir,
    who: Who,
    memory: u64,
    /// Number of clock reads after which its time is up.
    looks: Option<i64>,
}

impl<'s> Reader<'s> {
    fn new(shop: &'s Shop, backend: Backend, memory: u64, looks: Option<i64>) -> Reader<'s> {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = match backend {
            Backend::Memory => Arc::new(InMemory::new()),
            Backend::Folder => local(folder.path()),
            Backend::S3 => in_bucket(&new_bucket(None)),
        };
        Reader { shop, graph: shop.graph(), store, folder, who: Who::OneAfterAnother, memory, looks }
    }

    fn store(&self) -> Store {
        Store::new(self.store.clone(), "lake", runtime())
    }

    fn lake(&self) -> Lake {
        Lake::open(self.store(), true).unwrap()
    }

    /// One invocation of one step.
    fn invoke(&self, step: &StepId, part: u32, looks: Option<i64>) -> RunRecord {
        let lake = self.lake();
        let start: Timestamp = NOW.parse().unwrap();
        let looked = AtomicI64::new(0);
        let source = || source(self.shop.folder.path());
        let is_ingest = matches!(step, StepId::Ingest);
        let (locate, folder) = (|_: &str| Ok(Place::Folder(source())), |_: &str| Ok(source()));
        let environment = TestEnvironment { locate: &locate, folder: &folder, ..TestEnvironment::default() };
        let clock = || start + SignedDuration::from_secs(looked.fetch_add(1, Ordering::Relaxed));
        let context = Context {
            deadline: looks.filter(|_| !is_ingest).map(|looks| start + SignedDuration::from_secs(looks)),
            memory: if is_ingest { ROOMY } else { self.memory },
            ..running::context(&lake, &clock, &run_id, self.shop.folder.path())
        };
        let trigger = Trigger { part, ..Trigger::at(start, "parts") };
        let (pipeline, _) = self.graph.steps().next().unwrap();
        let own = OwnProcesses {
            lake: self.folder.path().display().to_string(),
            pipelines: self.shop.path("pipelines").display().to_string(),
            parameters: Vec::new(),
            secrets: Vec::new(),
            now: start,
        };
        let executor = match self.who {
            Who::OneAfterAnother => Executor::SEQUENTIAL,
            Who::SideBySide => Executor::Local { threads: NonZeroUsize::new(4).unwrap() },
            Who::OwnProcesses => Executor::Remote(&own),
        };
        let step = tidemark::steps::step(&environment, &self.graph, pipeline, step).unwrap();
        step.run(&context, executor, &trigger)
    }

    /// Invokes a step until it is done, and once more; says in how many parts it was done.
    fn walk(&self, step: &StepId) -> (RunRecord, u32) {
        let (record, parts) = self.go_on(step, 0);
        if record.status == Status::Done {
            let again = self.invoke(step, parts - 1, self.looks);
            assert_eq!(again.status, Status::NothingToDo, "{again:#?}");
        }
        (record, parts)
    }

    fn go_on(&self, step: &StepId, from: u32) -> (RunRecord, u32) {
        for part in from..2000 {
            let record = self.invoke(step, part, self.looks);
            if record.status != Status::Continues {
                return (record, part + 1);
            }
        }
        panic!("{step} does not end");
    }

    /// Runs all steps and returns the number of parts of each.
    fn run(&self) -> Vec<u32> {
        let steps: Vec<_> = self.graph.steps().map(|(_, step)| step.clone()).collect();
        let walked = steps.iter().map(|step| {
            let (record, parts) = self.walk(step);
            assert_ne!(record.status, Status::Failed, "{record:#?}");
            parts
        });
        walked.collect()
    }

    /// Objects of unfinished checkpoints.
    fn kept(&self) -> Vec<String> {
        let all = self.store().list(None).unwrap().into_iter().map(|object| object.location.to_string());
        all.filter(|path| path.contains("/_work/")).collect()
    }

    fn forget(&self, which: &str) {
        let kept: Vec<_> = self.kept().into_iter().filter(|path| path.contains(which)).collect();
        assert!(!kept.is_empty(), "nothing of {which} is kept");
        kept.iter().for_each(|path| self.store().delete(&path.as_str().into()).unwrap());
    }

    fn standing(&self, dataset: &str) -> Standing {
        let lake = self.lake();
        let name: DatasetName = dataset.parse().unwrap();
        let table = lake.existing(&name).unwrap();
        let entry = lake.entry(&name, table.version()).unwrap().unwrap();
        let commit = lake.store().get(&Key::Commit(&name, table.version()).path()).unwrap();
        let lines = String::from_utf8(commit.to_vec()).unwrap();
        let mut added: Vec<_> = lines.lines().filter(|line| line.starts_with("{\"add\"")).map(str::to_owned).collect();
        added.sort_unstable();
        let inputs = ["orders", "orders.raw"];
        Standing {
            version: table.version(),
            files: table.files(&lake).unwrap().into_iter().map(|file| (file.path, file.bytes)).collect(),
            added,
            meta: table.meta(&lake).unwrap(),
            consumed: inputs.map(|input| table.consumed(&lake, input).unwrap()),
            balance: entry.info.unwrap().balance,
        }
    }
}

/// What a dataset's log says.
#[derive(Debug, PartialEq)]
struct Standing {
    version: i64,
    files: BTreeMap<String, u64>,
    /// Of the last commit, as they are written there: path, size, statistics.
    added: Vec<String>,
    meta: Meta,
    consumed: [Option<i64>; 2],
    balance: serde_json::Value,
}

const DATASETS: [&str; 5] = ["orders.raw", "orders", "orders.quarantine", "by_month", "by_note"];

#[track_caller]
fn assert_same(one: &Reader<'_>, parts: &Reader<'_>, what: &str) {
    for dataset in DATASETS {
        assert_eq!(parts.standing(dataset), one.standing(dataset), "{what}: {dataset}");
    }
    assert_eq!(parts.kept(), Vec::<String>::new(), "{what}: kept");
}

const BAG: &str = "partition_by = { column = 'sold_on', every = 'month' }";
const KEYED: &str = "key = ['id']\nlatest_by = 'edition'\npartition_by = { column = 'sold_on', every = 'month' }";

/// Three mornings: files, one that is replaced and one that comes new, and one that is gone.
fn mornings(shop: &Shop, mut run: impl FnMut(usize)) {
    (1..=4).for_each(|file| shop.sell(file, 60, 0));
    run(1);
    shop.sell(2, 55, 1);
    shop.sell(5, 40, 1);
    run(2);
    std::fs::remove_file(shop.path("in/3.csv")).unwrap();
    shop.sell(6, 70, 2);
    run(3);
}

#[test]
fn in_however_many_parts_the_end_is_the_same() {
    for contract in [BAG, KEYED] {
        for (backend, memory, looks) in
            [(Backend::Memory, TIGHT, 2), (Backend::Folder, ROOMY, 2), (Backend::Memory, MODEST, 5)]
        {
            let shop = Shop::new(contract);
            let one = Reader::new(&shop, backend, ROOMY, None);
            let parts = Reader::new(&shop, backend, memory, Some(looks));
            // with the same memory and no end of time, and where the end of it is far
            let tight = Reader::new(&shop, backend, memory, None);
            let patient = Reader::new(&shop, backend, memory, Some(100_000));
            mornings(&shop, |morning| {
                let what = format!("{contract}, {backend:?}, {memory}, {looks}, morning {morning}");
                assert!(one.run().iter().all(|parts| *parts == 1), "{what}");
                for reader in [&tight, &patient] {
                    assert_eq!(reader.run(), [1; 4], "{what}");
                    assert_same(&one, reader, &what);
                }
                let done = parts.run();
                assert!(done[1] > if looks == 2 { 4 } else { 1 }, "{what}: clean in {done:?}");
                assert_same(&one, &parts, &what);
                // a month is a group of its own where memory is tight, and what is computed whole is not cut
                assert!(memory != TIGHT || looks != 2 || done[2] > 1, "{what}: by_month in {done:?}");
                assert_eq!(done[3], 1, "{what}: by_note in {done:?}");
            });
        }
    }
}

/// One process, several threads of one, and a process for each task, in any order and twice: all three come to the same bytes.
#[test]
fn whoever_runs_the_tasks_the_end_is_the_same() {
    for contract in [BAG, KEYED] {
        let shop = Shop::new(contract);
        let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
        let others: Vec<_> = [(Who::SideBySide, ROOMY), (Who::SideBySide, TIGHT), (Who::OwnProcesses, ROOMY)]
            .into_iter()
            .map(|(who, memory)| Reader { who, ..Reader::new(&shop, Backend::Folder, memory, None) })
            .collect();
        mornings(&shop, |morning| {
            one.run();
            for other in &others {
                other.run();
                let what = format!("{contract}, {:?} in {}, morning {morning}", other.who, other.memory);
                assert_same(&one, other, &what);
            }
        });
    }
}

#[test]
fn a_part_ends_in_the_midst_of_a_file() {
    let shop = Shop::new(BAG);
    // several tasks of one file
    shop.sell(1, 500_000, 0);
    let (one, parts) =
        (Reader::new(&shop, Backend::Memory, ROOMY, None), Reader::new(&shop, Backend::Memory, ROOMY, Some(2)));
    for reader in [&one, &parts] {
        reader.invoke(&StepId::Ingest, 0, None);
    }
    assert_eq!(parts.invoke(&StepId::Clean, 0, Some(2)).status, Status::Continues);
    let kept = parts.kept();
    let receipts: Vec<_> = kept.iter().filter_map(|path| path.rsplit('/').next()?.strip_suffix(".json")).collect();
    assert!(receipts.contains(&"added-00000") && !receipts.contains(&"added-00003"), "{receipts:?}");
    one.run();
    let (record, _) = parts.go_on(&StepId::Clean, 1);
    assert_eq!(record.status, Status::Done, "{record:#?}");
    for dataset in ["orders", "orders.quarantine"] {
        assert_eq!(parts.standing(dataset), one.standing(dataset));
    }
}

#[test]
fn the_same_event_twice_is_harmless() {
    for contract in [BAG, KEYED] {
        let shop = Shop::new(contract);
        let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
        let parts = Reader::new(&shop, Backend::Memory, MODEST, Some(6));
        mornings(&shop, |morning| {
            one.run();
            parts.invoke(&StepId::Ingest, 0, None);
            for part in 0..2000 {
                let first = parts.invoke(&StepId::Clean, part, Some(6));
                let second = parts.invoke(&StepId::Clean, part, Some(7));
                assert!(first.error.is_none() && second.error.is_none(), "{first:#?} {second:#?}");
                match (first.status, second.status) {
                    (Status::Continues, Status::Continues) => {}
                    ended => {
                        // whichever came to the end
                        let once = [(Status::Done, Status::NothingToDo), (Status::Continues, Status::Done)];
                        assert!(once.contains(&ended), "{ended:?}");
                        break;
                    }
                }
            }
            parts.run();
            assert_same(&one, &parts, &format!("{contract}, morning {morning}"));
        });
    }
}

#[test]
fn what_is_lost_or_broken_is_made_anew() {
    let break_parts = |reader: &Reader<'_>| {
        for path in reader.kept().iter().filter(|path| path.ends_with(".json")) {
            reader.store().put(&path.as_str().into(), "{\"stage\": \"unheard of\"}").unwrap();
        }
    };
    type Loss<'l> = (&'static str, &'l dyn Fn(&Reader<'_>));
    let losses: [Loss<'_>; 3] = [
        ("all", &|reader| reader.forget("")),
        ("rows", &|reader| reader.forget("/rows-")),
        ("what they mean", &break_parts),
    ];
    for (what, lose) in losses {
        for step in [StepId::Clean, StepId::Model("by_month".parse().unwrap())] {
            if what == "rows" && step != StepId::Clean {
                continue;
            }
            let shop = Shop::new(KEYED);
            (1..=3).for_each(|file| shop.sell(file, 60, 0));
            let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
            let parts = Reader::new(&shop, Backend::Memory, MODEST, Some(2));
            one.run();
            parts.invoke(&StepId::Ingest, 0, None);
            if step != StepId::Clean {
                parts.invoke(&StepId::Clean, 0, None);
            }
            for part in 0..3 {
                assert_eq!(parts.invoke(&step, part, Some(2)).status, Status::Continues, "{what} of {step}");
            }
            lose(&parts);
            let (record, _) = parts.go_on(&step, 3);
            assert_eq!(record.status, Status::Done, "{what} of {step}: {record:#?}");
            parts.run();
            assert_same(&one, &parts, &format!("{what} of {step}"));
        }
    }
}

#[test]
fn another_run_that_gets_ahead_is_harmless() {
    let shop = Shop::new(BAG);
    (1..=3).for_each(|file| shop.sell(file, 60, 0));
    let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
    let parts = Reader::new(&shop, Backend::Memory, TIGHT, Some(3));
    one.run();
    parts.invoke(&StepId::Ingest, 0, None);
    assert_eq!(parts.invoke(&StepId::Clean, 0, Some(3)).status, Status::Continues);
    assert_eq!(parts.invoke(&StepId::Clean, 0, None).status, Status::Done);
    assert_eq!(parts.invoke(&StepId::Clean, 1, Some(3)).status, Status::NothingToDo);
    parts.forget("");
    parts.run();
    assert_same(&one, &parts, "committed");
    // more data arrives in between: the next part starts again with a new plan
    shop.sell(4, 60, 1);
    one.invoke(&StepId::Ingest, 0, None);
    parts.invoke(&StepId::Ingest, 0, None);
    assert_eq!(parts.invoke(&StepId::Clean, 0, Some(3)).status, Status::Continues);
    shop.sell(5, 60, 1);
    one.run();
    parts.invoke(&StepId::Ingest, 0, None);
    let (record, _) = parts.go_on(&StepId::Clean, 1);
    assert_eq!(record.status, Status::Done, "{record:#?}");
    parts.run();
    parts.forget("");
    assert_same(&one, &parts, "more has come");
}

#[test]
fn too_many_bad_rows_publish_nothing() {
    let shop = Shop::new(&format!("max_quarantined = 3\n{BAG}"));
    (1..=3).for_each(|file| shop.sell(file, 60, 0));
    let one = Reader::new(&shop, Backend::Memory, ROOMY, None);
    let parts = Reader::new(&shop, Backend::Memory, TIGHT, Some(2));
    let failed = [&one, &parts].map(|reader| {
        reader.invoke(&StepId::Ingest, 0, None);
        let (record, part) = reader.walk(&StepId::Clean);
        let again = reader.invoke(&StepId::Clean, part - 1, reader.looks);
        assert_eq!(again.status, if part > 1 { Status::Failed } else { record.status });
        record.error.unwrap()
    });
    assert_eq!(failed[0], failed[1]);
    assert_eq!(failed[0].kind, ErrorKind::Data);
    assert!(parts.lake().table(&"orders".parse().unwrap()).unwrap().is_none());
    assert_eq!(parts.standing("orders.quarantine"), one.standing("orders.quarantine"));
}
