//! Every storage call and every request of a run fails in turn; the next run leaves the same rows as runs without a fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use tempfile::TempDir;
use tidemark::args::Common;
use tidemark::load;
use tidemark_flow::{Context, Error, ErrorKind, RunRecord, Secret, Selection, Status, Trigger};
use tidemark_lake::{Lake, Meter, Store};
use tidemark_pipeline::Graph;
use tidemark_transform::bag;

use crate::support::api_server::{Api, Bound, Fault as Trouble, Filter, Paging, Rule, Style, Time, When};
use crate::support::daily_sales::{failures, has_status, run_id, runtime};
use crate::support::faulty_store::{Aim, Call, Fault, Faulty, Plan};
use crate::support::orders_api::{FIELDS, define, order, orders};
use crate::support::running::{self, TestEnvironment, process, runner};
use crate::support::sample::is_whole;

const MORNINGS: [&str; 2] = ["2026-01-02T08:00:00Z", "2026-01-03T08:00:00Z"];
const SOURCE: &str = "auth = { bearer = { secret = 'the-key' } }
records = '/data'
pagination = { kind = 'cursor', next = '/meta/next' }
incremental = { column = 'at', parameter = 'since', lookback = '5m' }
limits = { attempts = 1 }";

/// An API, and a lake in memory with the pipeline that reads the API.
struct House {
    api: Api,
    lake: Arc<InMemory>,
    graph: Graph,
    folder: TempDir,
}

impl House {
    fn new() -> House {
        let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
        let style = Style { filter: Some(filter), ..Style::for_paging(Paging::Cursor) };
        let api = Api::new(style, FIELDS, &[]);
        let folder = tempfile::tempdir().unwrap();
        let text = define(&format!("{}/v1/orders", api.origin()), SOURCE);
        std::fs::write(folder.path().join("orders.toml"), text).unwrap();
        let common =
            Common { lake: "memory".into(), pipelines: folder.path().to_owned(), parameters: Vec::new(), json: true };
        let graph = load(&common, Selection::Named(&[])).unwrap();
        House { api, lake: Arc::new(InMemory::new()), graph, folder }
    }

    /// Sets the records that the API serves on a morning.
    fn serve_records(&self, morning: usize) {
        let mut records = orders(43);
        records[5] = order(6, 6, "six");
        if morning == 1 {
            records[6] = order(7, 45, "7.77");
            records.extend([order(44, 41, "44"), order(45, 60, "45")]);
        }
        self.api.replace(&records);
    }

    /// One run of all steps, with a meter and context of its own.
    fn run(&self, morning: usize, plan: &Arc<Plan>) -> Result<Vec<RunRecord>, Error> {
        self.serve_records(morning);
        let store = Store::new(Faulty::new(self.lake.clone(), plan), "lake", runtime());
        let lake = Lake::open(store, true)?;
        let meter = Meter::default();
        let environment = TestEnvironment { secret: &|_| Ok(Secret::new("hush")), ..TestEnvironment::default() };
        let clock = || MORNINGS[morning].parse().unwrap();
        let context =
            Context { process: process(&meter), ..running::context(&lake, &clock, &run_id, self.folder.path()) };
        runner(&context, &environment, &self.graph)
            .run_all(&[], &Trigger::at(MORNINGS[morning].parse().unwrap(), "crash"))
    }

    /// Rows of every dataset, sorted and formatted. Of raw datasets only the columns that do not depend on the attempt.
    fn dataset_rows(&self) -> BTreeMap<String, String> {
        let lake = Lake::open(Store::new(self.lake.clone(), "lake", runtime()), false).unwrap();
        let rows = |name: &tidemark_pipeline::DatasetName| {
            let table = lake.existing(name).unwrap();
            let rows = table.read(&lake, &table.files(&lake).unwrap()).unwrap();
            let rows = if name.is_raw() { rows.select(["_text", "_fault", "_row"]).unwrap() } else { rows };
            let rows = bag::sort(&rows).unwrap();
            let columns = rows
                .columns()
                .iter()
                .map(|column| format!("{:?}", column.as_materialized_series().iter().collect::<Vec<_>>()));
            columns.collect::<Vec<_>>().join("\n")
        };
        lake.datasets().unwrap().iter().map(|name| (name.to_string(), rows(name))).collect()
    }

    /// Repeats the run of `morning` without a fault, then runs the later mornings. An error says which rows differ from `expected`.
    fn check_recovery(&self, morning: usize, failed: bool, expected: &BTreeMap<String, String>) -> Result<(), String> {
        let again = self.run(morning, &Plan::clean()).map_err(|failure| failure.full_message())?;
        if !failures(&again).is_empty() {
            return Err(format!("the second run failed: {:?}", failures(&again)));
        }
        if !failed && !has_status(&again, Status::NothingToDo) {
            return Err("the first run said that it was done, and the second found something to do".into());
        }
        for next in morning + 1..MORNINGS.len() {
            self.run(next, &Plan::clean()).map_err(|failure| failure.full_message())?;
        }
        let rows = self.dataset_rows();
        let differs = |name: &String| format!("{name}:\n{:?}\nnot\n{:?}", rows.get(name), expected.get(name));
        let wrong: Vec<_> =
            expected.keys().filter(|name| rows.get(*name) != expected.get(*name)).map(differs).collect();
        if wrong.is_empty() && rows.len() == expected.len() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// Whether the run failed. A failure of a kind other than `retry` is an error.
fn has_failed(run: Result<Vec<RunRecord>, Error>) -> Result<bool, String> {
    match run {
        Ok(records) => {
            let kinds = records.iter().filter_map(|record| record.error.as_ref()).map(|error| error.kind);
            match kinds.clone().all(|kind| kind == ErrorKind::Retry) {
                true => Ok(kinds.count() > 0),
                false => Err(format!("no failure to run again after: {:?}", failures(&records))),
            }
        }
        Err(failure) if failure.kind == ErrorKind::Retry => Ok(true),
        Err(failure) => Err(format!("{:?}: {}", failure.kind, failure.full_message())),
    }
}

/// Result of both mornings without a fault.
struct CleanRuns {
    /// Rows of every dataset after the last morning.
    rows: BTreeMap<String, String>,
    /// Per morning: the storage calls, and the number of API requests.
    calls: Vec<Vec<(Call, String)>>,
    requests: Vec<usize>,
}

fn run_without_fault() -> CleanRuns {
    let house = House::new();
    let (mut calls, mut requests) = (Vec::new(), Vec::new());
    for morning in 0..MORNINGS.len() {
        let plan = Plan::clean();
        let records = house.run(morning, &plan).unwrap();
        assert!(has_status(&records, Status::Done), "{records:#?}");
        calls.push(plan.calls());
        requests.push(house.api.asked().len());
    }
    CleanRuns { rows: house.dataset_rows(), calls, requests }
}

#[test]
fn after_a_fault_at_any_call_the_next_run_ends_as_a_clean_one() {
    let CleanRuns { rows, calls, .. } = run_without_fault();
    let all = is_whole();
    let (mut cases, mut hits, mut wrong) = (0, 0, Vec::new());
    for (morning, calls) in calls.iter().enumerate() {
        let mut seen: BTreeMap<Fault, usize> = BTreeMap::new();
        for (number, call) in calls.iter().enumerate() {
            let faults: Vec<Fault> = call
                .0
                .faults()
                .iter()
                .copied()
                .filter(|fault| !matches!(fault, Fault::Overtaken | Fault::Slow))
                .collect();
            for &fault in call.0.faults() {
                let nth = seen.entry(fault).or_default();
                if faults.contains(&fault) && (all || fault == faults[number % faults.len()]) {
                    let house = House::new();
                    for earlier in 0..morning {
                        house.run(earlier, &Plan::clean()).unwrap();
                    }
                    let plan = Plan::new(Aim::Nth(*nth), fault);
                    let ended = has_failed(house.run(morning, &plan))
                        .and_then(|failed| house.check_recovery(morning, failed, &rows));
                    cases += 1;
                    hits += usize::from(plan.has_hit());
                    wrong.extend(ended.err().map(|error| format!("morning {morning}, {call:?}, {fault:?}: {error}")));
                }
                *nth += 1;
            }
        }
    }
    println!("cases {cases}, of which befell {hits}");
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(hits * 100 >= cases * 95, "{hits} of {cases} faults befell");
}

#[test]
fn after_any_request_that_fails_the_next_run_ends_as_a_clean_one() {
    let CleanRuns { rows, requests, .. } = run_without_fault();
    assert!(requests[0] >= 5 && requests[1] >= 1, "{requests:?}");
    for (morning, requests) in requests.into_iter().enumerate() {
        for nth in 1..=requests {
            for trouble in [Trouble::Drop, Trouble::Cut, Trouble::Answer(503, vec![], "")] {
                let house = House::new();
                for earlier in 0..morning {
                    house.run(earlier, &Plan::clean()).unwrap();
                }
                let befell = house.api.fail(Rule::new(When::Nth(nth), trouble.clone()));
                let failed = has_failed(house.run(morning, &Plan::clean())).unwrap();
                assert!(failed && befell.times() == 1, "{trouble:?} at request {nth}");
                house
                    .check_recovery(morning, failed, &rows)
                    .unwrap_or_else(|error| panic!("{trouble:?} at {nth}: {error}"));
            }
        }
    }
}
