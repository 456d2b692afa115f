//! A fetch that takes longer than one invocation: each invocation commits what it has fetched and announces the next one; no page is
//! requested twice.

use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tidemark::args::Common;
use tidemark::load;
use tidemark_flow::{Context, ErrorKind, RunRecord, Selection, Status, Trigger};
use tidemark_lake::{FileSize, Lake, LakeError, Meter, Store};
use tidemark_pipeline::StepId;

use crate::support::api_server::{Api, Bound, Filter, Paging, Style, Time};
use crate::support::daily_sales::{run_id, runtime};
use crate::support::faulty_store::{Aim, Call, Fault, Faulty, Plan};
use crate::support::orders_api::{FIELDS, order, orders};
use crate::support::running::{self, TestEnvironment, process, run_step};
use crate::support::sample::is_whole;

/// Deadline of an invocation. Each reading of the clock advances it by one second.
const SECONDS: i64 = 12;

struct House {
    api: Api,
    store: Arc<InMemory>,
    lake: Lake,
    size: Option<FileSize>,
    folder: tempfile::TempDir,
}

impl House {
    fn new(source: &str, contract: &str) -> House {
        let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
        let style = Style { filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
        House::with_api(Api::new(style, FIELDS, &orders(143)), source, contract)
    }

    fn with_api(api: Api, source: &str, contract: &str) -> House {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[source]\nkind = 'http'\nurl = '{}/v1/orders'\nrecords = '/data'\npagination = {{ kind = 'cursor', next = '/meta/next' }}\n{source}\n[contract]\n{contract}\ncolumns = {{ id = 'int64', at = 'datetime' }}",
            api.origin()
        );
        std::fs::write(folder.path().join("orders.toml"), text).unwrap();
        let store = Arc::new(InMemory::new());
        let lake = Lake::open(Store::new(store.clone(), "lake", runtime()), true).unwrap();
        House { api, store, lake, size: None, folder }
    }

    /// An invocation whose storage calls `plan` counts, and fails where it says so.
    fn invoke_with(&mut self, plan: &Arc<Plan>, part: u32, time: Option<i64>) -> Result<RunRecord, LakeError> {
        let store = Store::new(Faulty::new(self.store.clone(), plan), "lake", runtime());
        let lake = Lake::open(store, true)?;
        self.lake = match self.size {
            Some(size) => lake.with_file_size(size),
            None => lake,
        };
        Ok(self.invoke(part, time))
    }

    /// One invocation of `ingest`. `part` is the number in the event; `time` the seconds until the deadline.
    fn invoke(&self, part: u32, time: Option<i64>) -> RunRecord {
        self.invoke_at("2026-01-02T08:00:00Z", part, time)
    }

    fn invoke_at(&self, at: &str, part: u32, time: Option<i64>) -> RunRecord {
        let common = Common {
            lake: "memory".into(),
            pipelines: self.folder.path().to_owned(),
            parameters: Vec::new(),
            json: true,
        };
        let graph = load(&common, Selection::Named(&[])).unwrap();
        let begin: Timestamp = at.parse().unwrap();
        let readings = AtomicI64::new(0);
        let meter = Meter::default();
        let clock = || begin + SignedDuration::from_secs(readings.fetch_add(1, Ordering::Relaxed) + 1);
        let context = Context {
            deadline: time.map(|time| begin + SignedDuration::from_secs(time)),
            process: process(&meter),
            ..running::context(&self.lake, &clock, &run_id, self.folder.path())
        };
        let environment = TestEnvironment::default();
        let trigger = Trigger { part, ..Trigger::at(begin, "deadline") };
        run_step(&context, &environment, graph.pipeline("orders").unwrap(), &StepId::Ingest, &trigger)
    }

    /// Number of distinct records in the raw dataset.
    fn texts(&self) -> usize {
        let table = self.lake.existing(&"orders.raw".parse().unwrap()).unwrap();
        let rows = table.read(&self.lake, &table.files(&self.lake).unwrap()).unwrap();
        let texts = rows.column("_text").unwrap().str().unwrap().clone();
        texts.iter().flatten().collect::<std::collections::BTreeSet<_>>().len()
    }

    fn raw(&self) -> (u64, i64) {
        let table = self.lake.existing(&"orders.raw".parse().unwrap()).unwrap();
        (table.rows(&self.lake).unwrap(), table.version())
    }
}

#[test]
fn an_incremental_fetch_commits_in_every_invocation() {
    let house = House::new("incremental = { column = 'at', parameter = 'since' }", "key = ['id']\nlatest_by = 'at'");
    let mut invocations = 0;
    loop {
        let record = house.invoke(0, Some(SECONDS));
        assert_eq!(record.status, Status::Done, "{:?}", record.error);
        assert!(record.rows.rows_in > 0);
        invocations += 1;
        if !record.has_more {
            break;
        }
    }
    assert!(invocations > 2, "{invocations}");
    // The last invocation looks for records that were added meanwhile, and reads the newest record again.
    assert_eq!(house.raw(), (144, invocations - 1));
    let asked: Vec<String> = house.api.asked().iter().map(|asked| asked.target()).collect();
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert_eq!((asked.len(), once.len()), (16, 16), "{asked:#?}");
}

#[test]
fn a_complete_list_is_committed_only_when_all_pages_are_read() {
    let house = House::new("", "deletes = 'absent'");
    let mut part = 0;
    let last = loop {
        let record = house.invoke(part, Some(SECONDS));
        if record.status != Status::Continues {
            break record;
        }
        part += 1;
        assert!(house.lake.table(&"orders.raw".parse().unwrap()).unwrap().is_none());
    };
    assert!(part > 1, "{part}");
    assert_eq!((last.status, house.raw()), (Status::Done, (143, 0)));
    assert!(!last.has_more, "it would never end");
    assert_eq!(house.api.asked().len(), 15);
    // The next complete list replaces this one.
    house.api.replace(&orders(20));
    let record = house.invoke(0, None);
    assert_eq!((record.status, house.raw()), (Status::Done, (20, 1)));
}

/// A full read of `pages` pages of 1000 records, into data files of this size.
fn full_read(pages: usize, size: Option<FileSize>) -> House {
    let records: Vec<String> = (1..=1000 * pages).map(|id| order(id, id % 1440, "1.50")).collect();
    let api = Api::new(Style { size: 1000, ..Style::for_paging(Paging::Cursor) }, FIELDS, &records);
    let house = House::with_api(api, "", "deletes = 'absent'");
    match size {
        Some(bytes) => House { lake: house.lake.with_file_size(bytes), size, ..house },
        None => house,
    }
}

fn raw_files(house: &House) -> Vec<String> {
    let table = house.lake.existing(&"orders.raw".parse().unwrap()).unwrap();
    let mut files: Vec<_> = table.files(&house.lake).unwrap().into_iter().map(|file| file.path).collect();
    files.sort();
    files
}

/// Invokes the ingest until it is done, and returns the records of all invocations.
fn invoke_until_done(house: &House, seconds: i64) -> Vec<RunRecord> {
    let mut records = Vec::new();
    loop {
        let record = house.invoke(records.len() as u32, Some(seconds));
        assert_ne!(record.status, Status::Failed, "{}: {:?}", records.len(), record.error);
        let is_done = record.status != Status::Continues;
        records.push(record);
        if is_done {
            return records;
        }
    }
}

/// Each row group of 8 Ki rows is a file.
const SMALL_FILES: Option<FileSize> = Some(FileSize { group_bytes: 1, bytes: 1 });

#[test]
fn a_full_read_of_several_files_resumes_after_those_that_are_closed() {
    let (whole, parts) = (full_read(40, SMALL_FILES), full_read(40, SMALL_FILES));
    assert_eq!(whole.invoke(0, None).status, Status::Done);
    let records = invoke_until_done(&parts, SECONDS);
    assert!(records.len() > 4, "{}", records.len());
    let last = records.last().unwrap();
    assert_eq!((last.status, last.has_more, last.rows.rows_in), (Status::Done, false, 40_000));
    assert_eq!(parts.api.asked().len(), 40);
    assert_eq!(raw_files(&whole).len(), 5);
    assert_eq!(raw_files(&parts), raw_files(&whole));
}

#[test]
fn a_full_read_reads_no_page_twice_even_if_no_file_is_closed() {
    let (whole, mut parts) = (full_read(40, None), full_read(40, None));
    assert_eq!(whole.invoke(0, None).status, Status::Done);
    let (mut gets, mut part) = (Vec::new(), 0);
    loop {
        let plan = Plan::clean();
        let record = parts.invoke_with(&plan, part, Some(SECONDS)).unwrap();
        if record.status != Status::Continues {
            assert_eq!((record.status, record.rows.rows_in), (Status::Done, 40_000), "{:?}", record.error);
            break;
        }
        gets.push(plan.calls().iter().filter(|(call, _)| *call == Call::Get).count());
        part += 1;
    }
    assert_eq!(parts.api.asked().len(), 40);
    assert_eq!(raw_files(&whole).len(), 1);
    assert_eq!(raw_files(&parts), raw_files(&whole));
    // the receipt, the rows so far, and the next page, which has not landed: late in the read as many requests as early in it
    assert!(gets.len() > 4 && gets[1] > gets[0], "{gets:?}");
    assert!(gets[1..].iter().all(|count| *count == gets[1]), "{gets:?}");
    let left = parts.lake.store().list(None).unwrap();
    assert!(left.iter().all(|object| !object.location.as_ref().contains("_work")), "{left:?}");
}

/// Invokes the ingest until it is done. A failed invocation is repeated; one that continues is followed by the next part.
fn invoke_to_the_end(house: &mut House, mut part: u32) -> Result<(), String> {
    for _ in 0..20 {
        let record = house.invoke_with(&Plan::clean(), part, Some(SECONDS)).map_err(|error| error.to_string())?;
        match record.status {
            Status::Continues => part += 1,
            Status::Failed => return Err(format!("{:?}", record.error)),
            Status::Done | Status::NothingToDo => return Ok(()),
        }
    }
    Err("it does not end".into())
}

#[test]
fn a_full_read_in_parts_survives_a_fault_at_any_storage_call() {
    let clean = full_read(9, SMALL_FILES);
    assert_eq!(clean.invoke(0, None).status, Status::Done);
    let all = is_whole();
    let (mut cases, mut part, mut is_over) = (0, 0, false);
    while !is_over {
        let before = |house: &mut House| {
            (0..part).for_each(|early| {
                assert_eq!(house.invoke_with(&Plan::clean(), early, Some(SECONDS)).unwrap().status, Status::Continues);
            });
        };
        let plan = Plan::clean();
        let mut house = full_read(9, SMALL_FILES);
        before(&mut house);
        is_over = house.invoke_with(&plan, part, Some(SECONDS)).unwrap().status == Status::Done;
        let calls = plan.calls();
        for (nth, (call, object)) in calls.iter().enumerate() {
            let faults = call.faults().iter().filter(|fault| !matches!(fault, Fault::Overtaken | Fault::Slow));
            let faults: Vec<Fault> = faults.copied().collect();
            for (number, &fault) in faults.iter().enumerate() {
                if !all && number != nth % faults.len() {
                    continue;
                }
                let eligible = calls[..nth].iter().filter(|(call, _)| call.faults().contains(&fault)).count();
                let what = format!("part {part}, {fault:?} at call {nth}, {call:?} {object}");
                let mut house = full_read(9, SMALL_FILES);
                before(&mut house);
                let record = house.invoke_with(&Plan::new(Aim::Nth(eligible), fault), part, Some(SECONDS));
                let (kind, continues) = match record {
                    Ok(record) => (record.error.map(|error| error.kind), record.status == Status::Continues),
                    Err(error) => (Some(tidemark_flow::Error::from(error).kind), false),
                };
                assert!(kind.is_none_or(|kind| kind == ErrorKind::Retry), "{what}: {kind:?}");
                let next = part + u32::from(continues);
                invoke_to_the_end(&mut house, next).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(raw_files(&house), raw_files(&clean), "{what}");
                cases += 1;
            }
        }
        part += 1;
    }
    assert!(part > 2 && cases > 20, "{part} parts, {cases} cases");
}

#[test]
fn an_invocation_without_time_for_a_request_fails_with_retry() {
    let house =
        House::new("incremental = { column = 'at', parameter = 'since' }\nlimits = { attempts = 9 }", "key = ['id']");
    let busy = crate::support::api_server::Fault::Answer(429, vec![("retry-after", "600".into())], "");
    house.api.fail(crate::support::api_server::Rule::new(crate::support::api_server::When::Always, busy));
    let record = house.invoke(0, Some(SECONDS));
    let error = record.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Retry);
    assert!(error.message.contains("600 s"), "{}", error.message);
    assert_eq!(house.api.asked().len(), 1);
}

#[test]
fn a_window_continues_with_the_bounds_it_was_started_with() {
    let source = "incremental = { column = 'at', parameter = 'since', until = 'until', every = '1h', start = '2026-01-01', lookback = '5m' }";
    let house = House::new(source, "key = ['id']\nlatest_by = 'at'");
    let mut invocations = 0;
    loop {
        let record = house.invoke(0, Some(SECONDS));
        // The last invocation may find no records after the last window.
        let is_over = record.status == Status::NothingToDo && !record.has_more;
        assert!(record.status == Status::Done || is_over, "{record:#?}");
        invocations += 1;
        assert!(invocations < 60, "it does not end");
        if !record.has_more {
            break;
        }
    }
    // 143 minutes from midnight are three windows of one hour, each of up to seven pages.
    assert!(invocations > 4, "{invocations}");
    assert_eq!(house.texts(), 143);
    // A run without a deadline finds nothing to do.
    assert_eq!(house.invoke(0, None).status, Status::NothingToDo);
}

#[test]
fn an_empty_complete_list_is_refused_and_fetched_again() {
    let house = House::new("", "key = ['id']\ndeletes = 'absent'");
    assert_eq!(house.invoke(0, None).status, Status::Done);
    house.api.replace(&[]);
    let error = house.invoke(0, None).error.unwrap();
    assert!(error.kind == ErrorKind::Data && error.message.contains("returned no records"), "{error:?}");
    // Pages that landed with the empty answer are not used again.
    house.api.replace(&orders(140));
    assert_eq!(house.invoke(0, None).status, Status::Done);
    assert_eq!(house.raw(), (140, 1));
}

#[test]
fn landed_pages_keep_the_window_of_the_run_that_landed_them() {
    let source =
        "incremental = { column = 'at', parameter = 'since', until = 'until', every = '1h', start = '2026-01-01' }
        limits = { attempts = 1 }";
    let house = House::new(source, "key = ['id']\nlatest_by = 'at'");
    // At 00:30 two pages land, then the run fails.
    let down = crate::support::api_server::Fault::Answer(503, vec![], "");
    house.api.fail(
        crate::support::api_server::Rule::new(crate::support::api_server::When::Always, down).for_part("after-20"),
    );
    assert_eq!(house.invoke_at("2026-01-01T00:30:00Z", 0, None).status, Status::Failed);
    house.api.recover();
    let _ = house.api.asked();
    // At 03:00 these pages belong to a window that ended at 00:30, not at 01:00.
    let mut invocations = 0;
    loop {
        let record = house.invoke_at("2026-01-01T03:00:00Z", 0, None);
        assert_ne!(record.status, Status::Failed, "{:?}", record.error);
        invocations += 1;
        assert!(invocations < 10, "it does not end");
        if !record.has_more {
            break;
        }
    }
    assert_eq!(house.api.asked()[0].parameter("cursor").as_deref(), Some("after-20"));
    assert_eq!(house.texts(), 143);
}
