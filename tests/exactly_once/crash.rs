//! The crash test: whatever fails, and whenever, running again ends where a run without fault ends; so do two runs, wherever the second
//! overtakes the first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tidemark_flow::{ErrorKind, Status};

use crate::support::daily_sales::sales::Sales;
use crate::support::daily_sales::{Backend, House, Standing, failures, has_status};
use crate::support::faulty_store::{Aim, Call, Fault, Plan};

/// Every call that two mornings make, failed in every way it can fail. That is what happens, on every backend, with
/// `TIDEMARK_CRASH=all`, and with the name of a fault for that fault. Without it one call in six is failed once, in turn by each of
/// its faults, in memory or in a folder, and one in thirty-six on S3.
#[test]
#[expect(clippy::disallowed_methods, reason = "says how long it took")]
fn after_a_fault_at_any_call_the_next_run_ends_as_a_clean_one() {
    let began = Instant::now();
    let wanted = std::env::var("TIDEMARK_CRASH").unwrap_or_default();
    let sales = Arc::new(Sales::new(40));
    let benches = Backend::ALL.map(|backend| Bench::new(&sales, backend));
    let cases = cases(&benches, &wanted);
    let (next, hits, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match benches[case.bench].suffer(case) {
                        Ok(hit) => hits.fetch_add(usize::from(hit), Ordering::Relaxed),
                        Err(difference) => {
                            wrong.lock().unwrap().push(format!("{case:?}: {difference}"));
                            0
                        }
                    };
                }
            });
        }
    });
    let calls = benches.each_ref().map(|bench| bench.calls.each_ref().map(Vec::len));
    let (cases, hits, seconds) = (cases.len(), hits.into_inner(), began.elapsed().as_secs());
    println!("calls {calls:?}, cases {cases}, of which befell {hits}, {seconds} s");
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    // some logs are read once less or more, by threads that are not ours
    assert!(hits * 100 >= cases * 95, "{hits} of {cases} faults befell");
}

/// Memory and a folder share the calls between them.
const LOCAL: usize = 2;
/// Without `TIDEMARK_CRASH` one call in this many is failed, in memory and in a folder.
const SAMPLED: usize = 6 * LOCAL;
/// Over HTTP a case takes ten times as long.
const SAMPLED_S3: usize = 36;

#[derive(Debug, Clone)]
struct Case {
    bench: usize,
    morning: usize,
    /// Of the calls that the fault can befall.
    nth: usize,
    fault: Fault,
    /// What the call is when nothing fails.
    #[expect(dead_code, reason = "read by people")]
    call: (Call, String),
}

fn cases(benches: &[Bench], wanted: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (bench, at) in benches.iter().enumerate() {
        for (morning, calls) in at.calls.iter().enumerate() {
            let mut before: BTreeMap<Fault, usize> = BTreeMap::new();
            for (number, call) in calls.iter().enumerate() {
                let faults = call.0.faults();
                let (every, first) = if at.backend == Backend::S3 { (SAMPLED_S3, morning) } else { (SAMPLED, bench) };
                let turn = faults[number / every % faults.len()];
                for &fault in faults {
                    let nth = before.entry(fault).or_default();
                    let is_wanted = match wanted {
                        "all" => true,
                        "" => number % every == first && fault == turn,
                        name => format!("{fault:?}") == name,
                    };
                    if is_wanted {
                        cases.push(Case { bench, morning, nth: *nth, fault, call: call.clone() });
                    }
                    *nth += 1;
                }
            }
        }
    }
    cases
}

/// A backend with what a clean run leaves on it.
struct Bench {
    sales: Arc<Sales>,
    backend: Backend,
    /// As it stands after the first morning.
    noon: House,
    clean: Standing,
    /// The calls of each morning.
    calls: [Vec<(Call, String)>; 2],
}

impl Bench {
    fn new(sales: &Arc<Sales>, backend: Backend) -> Bench {
        let run = |house: &House, morning| {
            let plan = Plan::clean();
            let records = house.run(sales, morning, &plan).unwrap();
            assert!(has_status(&records, Status::Done), "{records:#?}");
            plan.calls()
        };
        let house = House::new(backend);
        let first = run(&house, 0);
        let noon = house.fork();
        let second = run(&house, 1);
        Bench { sales: sales.clone(), backend, noon, clean: house.standing(), calls: [first, second] }
    }

    /// Whether the fault befell; an error says how the end differs from a clean one.
    fn suffer(&self, case: &Case) -> Result<bool, String> {
        let house = Arc::new(if case.morning == 0 { House::new(self.backend) } else { self.noon.fork() });
        let plan = Plan::new(Aim::Nth(case.nth), case.fault);
        let (overtaker, theirs) = channel();
        plan.meanwhile({
            let (house, sales, morning) = (house.clone(), self.sales.clone(), case.morning);
            // whoever waits for it may have failed already
            move || drop(overtaker.send(house.run(&sales, morning, &Plan::clean())))
        });
        let first = house.run(&self.sales, case.morning, &plan);
        plan.join();
        if case.fault == Fault::Overtaken && plan.has_hit() {
            for run in [&first, &theirs.recv().unwrap()] {
                let failed =
                    run.as_ref().map_or_else(|failure| vec![failure.full_message()], |records| failures(records));
                if !failed.is_empty() {
                    return Err(format!("one of two runs failed: {failed:?}"));
                }
            }
        }
        let failed = match &first {
            Ok(records) => {
                let errors = records.iter().filter_map(|record| record.error.as_ref());
                if errors.clone().any(|error| error.kind != ErrorKind::Retry) {
                    return Err(format!("a fault of the store is not said to be one: {:?}", failures(records)));
                }
                errors.count() > 0
            }
            Err(failure) if failure.kind != ErrorKind::Retry => {
                return Err(format!("{:?}: {}", failure.kind, failure.full_message()));
            }
            Err(_) => true,
        };
        // the same event is delivered again, whether it has to or not
        let again = house.run(&self.sales, case.morning, &Plan::clean()).map_err(|failure| failure.full_message())?;
        if !failures(&again).is_empty() {
            return Err(format!("the second run failed: {:?}", failures(&again)));
        }
        if !failed && !has_status(&again, Status::NothingToDo) {
            return Err("the first run said that it was done, and the second found something to do".into());
        }
        if case.morning == 0 {
            let next = house.run(&self.sales, 1, &Plan::clean()).map_err(|failure| failure.full_message())?;
            if !has_status(&next, Status::Done) {
                return Err(format!("the next morning: {next:#?}"));
            }
        }
        let differences = house.standing().differences(&self.clean);
        if differences.is_empty() { Ok(plan.has_hit()) } else { Err(differences.join("\n")) }
    }
}

/// The put of a commit takes effect and its reply is lost: it is recognised as our own, and nothing is committed twice.
#[test]
fn a_commit_whose_reply_was_lost_is_ours() {
    let sales = Sales::new(40);
    let clean = House::new(Backend::Memory);
    clean.run(&sales, 0, &Plan::clean()).unwrap();
    let datasets =
        ["sales.raw/", "sales.quarantine/", "sales/", "sales_by_day/", "sales_by_product/", "sales_by_country/"];
    for dataset in datasets {
        let log: &'static str = format!("datasets/{dataset}_delta_log/00000000000000000000.json").leak();
        let house = House::new(Backend::Memory);
        let plan = Plan::new(Aim::Object(Call::Put, log), Fault::ErrorAfter);
        let records = house.run(&sales, 0, &plan).unwrap();
        assert!(plan.has_hit() && has_status(&records, Status::Done), "{dataset}: {:?}", failures(&records));
        house.standing().assert_equal(&clean.standing());
    }
}

/// What is written beside the data is no reason to fail.
#[test]
fn a_run_record_that_cannot_be_written_fails_nothing() {
    let sales = Sales::new(40);
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter] {
        let house = House::new(Backend::Memory);
        let plan = Plan::new(Aim::Object(Call::Put, "runs/"), fault);
        let records = house.run(&sales, 0, &plan).unwrap();
        assert!(plan.has_hit() && has_status(&records, Status::Done), "{:?}", failures(&records));
        assert_eq!(records.iter().filter(|record| !record.notes.is_empty()).count(), 1);
    }
}
