//! A fetch that is longer than an invocation: each commits what it has and is due again, and no page is asked for twice.

use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tidemark::args::Common;
use tidemark::load;
use tidemark_flow::{Context, ErrorKind, RunRecord, Selection, Status, Trigger};
use tidemark_lake::{FileSize, Lake, Meter, Store};
use tidemark_pipeline::StepId;

use crate::support::api_server::{Api, Bound, Filter, Paging, Style, Time};
use crate::support::daily_sales::{run_id, runtime};
use crate::support::orders_api::{FIELDS, order, orders};
use crate::support::running::{self, TestEnvironment, process, run_step};

/// Every look at the clock takes a second; after so many, it is late.
const SECONDS: i64 = 12;

struct House {
    api: Api,
    lake: Lake,
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
        let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "lake", runtime()), true).unwrap();
        House { api, lake, folder }
    }

    /// One invocation of the ingest; `part` as the event that woke it says.
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
        let looked = AtomicI64::new(0);
        let meter = Meter::default();
        let clock = || begin + SignedDuration::from_secs(looked.fetch_add(1, Ordering::Relaxed) + 1);
        let context = Context {
            deadline: time.map(|time| begin + SignedDuration::from_secs(time)),
            process: process(&meter),
            ..running::context(&self.lake, &clock, &run_id, self.folder.path())
        };
        let environment = TestEnvironment::default();
        let trigger = Trigger { part, ..Trigger::at(begin, "deadline") };
        run_step(&context, &environment, graph.pipeline("orders").unwrap(), &StepId::Ingest, &trigger)
    }

    /// How many records there are that differ.
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
fn what_is_new_is_committed_as_it_comes() {
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
    // the last one only looks what has come meanwhile, and meets the newest order again
    assert_eq!(house.raw(), (144, invocations - 1));
    let asked: Vec<String> = house.api.asked().iter().map(|asked| asked.target()).collect();
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert_eq!((asked.len(), once.len()), (16, 16), "{asked:#?}");
}

#[test]
fn what_is_to_replace_all_is_committed_at_its_end() {
    let house = House::new("", "deletes = 'absent'");
    let mut part = 0;
    let last = loop {
        // to take up a page that has landed takes a second as well
        let record = house.invoke(part, Some(2 * SECONDS));
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
    // the next whole takes the place of this one
    house.api.replace(&orders(20));
    let record = house.invoke(0, None);
    assert_eq!((record.status, house.raw()), (Status::Done, (20, 1)));
}

#[test]
fn a_whole_goes_on_behind_its_closed_files() {
    let house = |paging| {
        let records: Vec<String> = (1..=40_000).map(|id| order(id, id % 1440, "1.50")).collect();
        let api = Api::new(Style { size: 1000, ..Style::for_paging(paging) }, FIELDS, &records);
        let house = House::with_api(api, "", "deletes = 'absent'");
        // a group of 8 Ki rows is a file
        House { lake: house.lake.with_file_size(FileSize { group_bytes: 1, bytes: 1 }), ..house }
    };
    let files = |house: &House| -> Vec<String> {
        let table = house.lake.existing(&"orders.raw".parse().unwrap()).unwrap();
        let mut files: Vec<_> = table.files(&house.lake).unwrap().into_iter().map(|file| file.path).collect();
        files.sort();
        files
    };
    let whole = house(Paging::Cursor);
    assert_eq!(whole.invoke(0, None).status, Status::Done);
    let parts = house(Paging::Cursor);
    let mut part = 0;
    // to read all pages again that have landed would take longer than an invocation
    let last = loop {
        let record = parts.invoke(part, Some(2 * SECONDS));
        assert_ne!(record.status, Status::Failed, "{part}: {:?}", record.error);
        if record.status != Status::Continues {
            break record;
        }
        part += 1;
    };
    assert!(part > 3, "{part}");
    assert_eq!((last.status, last.has_more, last.rows.rows_in), (Status::Done, false, 40_000));
    assert_eq!(parts.api.asked().len(), 40);
    assert_eq!(files(&whole).len(), 5);
    assert_eq!(files(&parts), files(&whole));
}

#[test]
fn an_invocation_in_which_nothing_can_be_done_says_so() {
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
fn a_window_that_was_begun_goes_on_as_it_was_begun() {
    let source = "incremental = { column = 'at', parameter = 'since', until = 'until', every = '1h', start = '2026-01-01', lookback = '5m' }";
    let house = House::new(source, "key = ['id']\nlatest_by = 'at'");
    let mut walks = 0;
    loop {
        let record = house.invoke(0, Some(SECONDS));
        // the last may find that the time since the window before has brought nothing
        let is_over = record.status == Status::NothingToDo && !record.has_more;
        assert!(record.status == Status::Done || is_over, "{record:#?}");
        walks += 1;
        assert!(walks < 60, "it does not end");
        if !record.has_more {
            break;
        }
    }
    // 143 minutes from midnight on are three windows of an hour, of seven pages and more
    assert!(walks > 4, "{walks}");
    assert_eq!(house.texts(), 143);
    // and what it has not got yet: nothing
    assert_eq!(house.invoke(0, None).status, Status::NothingToDo);
}

#[test]
fn an_empty_whole_is_asked_about_and_asked_for_again() {
    let house = House::new("", "key = ['id']\ndeletes = 'absent'");
    assert_eq!(house.invoke(0, None).status, Status::Done);
    house.api.replace(&[]);
    let error = house.invoke(0, None).error.unwrap();
    assert!(error.kind == ErrorKind::Data && error.message.contains("nothing"), "{error:?}");
    // nothing of that answer is left when the API has recovered
    house.api.replace(&orders(140));
    assert_eq!(house.invoke(0, None).status, Status::Done);
    assert_eq!(house.raw(), (140, 1));
}

#[test]
fn pages_of_an_earlier_run_are_taken_for_what_they_are() {
    let source =
        "incremental = { column = 'at', parameter = 'since', until = 'until', every = '1h', start = '2026-01-01' }
        limits = { attempts = 1 }";
    let house = House::new(source, "key = ['id']\nlatest_by = 'at'");
    // half past midnight: two pages land, and then it fails
    let down = crate::support::api_server::Fault::Answer(503, vec![], "");
    house.api.fail(
        crate::support::api_server::Rule::new(crate::support::api_server::When::Always, down).for_part("after-20"),
    );
    assert_eq!(house.invoke_at("2026-01-01T00:30:00Z", 0, None).status, Status::Failed);
    house.api.recover();
    let _ = house.api.asked();
    // at three they are the beginning of a window that ended at half past midnight, and not at one
    let mut walks = 0;
    loop {
        let record = house.invoke_at("2026-01-01T03:00:00Z", 0, None);
        assert_ne!(record.status, Status::Failed, "{:?}", record.error);
        walks += 1;
        assert!(walks < 10, "it does not end");
        if !record.has_more {
            break;
        }
    }
    assert_eq!(house.api.asked()[0].parameter("cursor").as_deref(), Some("after-20"));
    assert_eq!(house.texts(), 143);
}
