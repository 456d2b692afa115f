//! The connection fails at each message in turn, in each way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidemark_flow::Status;

use crate::support::postgres::{Database, Fault, Proxy, database};
use crate::support::postgres_load::interrupted::{Bench, Ended, commit_of};
use crate::support::postgres_load::orders::{
    DatabaseState, Loader, Mode, added_rows, check_records, counts, lake_at, orders, texts,
};

/// Longer than the timeout of the target.
const STALL: Fault = Fault::Stall(Duration::from_millis(1300));
const FAULTS: [Fault; 5] = [Fault::Cut, Fault::CutAfter, Fault::Reset, Fault::Half, STALL];
/// Number of messages per load that get a fault, unless all are tested.
const SAMPLED: usize = 10;

struct Case<'a> {
    bench: &'a Bench,
    number: usize,
    fault: Fault,
}

/// The sampled cases by default; all cases with `all`; with the name of a fault, that fault at all messages.
fn cases<'a>(bench: &'a Bench, wanted: &str) -> Vec<Case<'a>> {
    let (mut cases, every) = (Vec::new(), bench.messages.len() / SAMPLED);
    for number in 0..bench.messages.len() {
        for (at, fault) in FAULTS.into_iter().enumerate() {
            let is_next = number % every == 0 && at == number / every % FAULTS.len();
            let is_of_commit =
                bench.commit().contains(&number) && (bench.mode == Mode::Append || at == number % FAULTS.len());
            let is_wanted = match wanted {
                "all" => true,
                "" => is_next || is_of_commit,
                name => format!("{fault:?}") == name,
            };
            if is_wanted {
                cases.push(Case { bench, number, fault });
            }
        }
    }
    cases
}

impl Case<'_> {
    /// Whether the fault occurred.
    fn run(&self) -> Result<bool, String> {
        let Case { bench, number, fault } = *self;
        let rest = if fault == STALL { "timeout = \"1s\"" } else { "" };
        let Ended { first, occurred } = bench.run_with_fault(rest, |proxy| proxy.arm(number, fault))?;
        if fault != STALL && first.status != Status::Done {
            return Err(format!("it did not try again: {:?}", first.error));
        }
        Ok(occurred)
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "says how long it took")]
fn after_a_fault_at_any_message_the_next_load_ends_as_a_clean_one() {
    let began = Instant::now();
    let Some(benches) = benches() else { return };
    let wanted = std::env::var("TIDEMARK_CRASH").unwrap_or_default();
    let cases: Vec<Case<'_>> = benches.iter().flat_map(|bench| cases(bench, &wanted)).collect();
    let (next, hits, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        // Most cases wait most of the time.
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match case.run() {
                        Ok(hit) => drop(hits.fetch_add(usize::from(hit), Ordering::Relaxed)),
                        Err(difference) => {
                            let (name, number, fault) = (case.bench.name, case.number, case.fault);
                            let of = case.bench.messages[number];
                            wrong.lock().unwrap().push(format!("{name}, {fault:?} at {number} {of:?}: {difference}"));
                        }
                    }
                }
            });
        }
    });
    let messages: Vec<_> = benches.iter().map(|bench| (bench.name, bench.messages.len())).collect();
    let (cases, hits, seconds) = (cases.len(), hits.into_inner(), began.elapsed().as_secs());
    println!("messages {messages:?}, cases {cases}, of which occurred {hits}, {seconds} s");
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    // The last message of a session may come too late for a fault.
    assert!(hits * 100 >= cases * 90, "{hits} of {cases} faults occurred");
}

fn benches() -> Option<[Bench; 5]> {
    let earlier = lake_at(0);
    let loaded = |mode| {
        let earlier = earlier.clone();
        move |database: &Database| {
            let record = Loader::new(&database.url(), mode, "").load(&earlier);
            assert_eq!((record.status, record.rows.written), (Status::Done, 300), "{:?}", record.error);
        }
    };
    let strict = |database: &Database| {
        loaded(Mode::Upsert)(database);
        // One of the new rows, and one of the changed rows.
        let check = "ALTER TABLE orders ADD CHECK (id <> 305 AND (id <> 121 OR amount < 121.20))";
        database.query(check);
    };
    let benches = [
        Bench::new("a new table", (Mode::Upsert, ""), 0, database()?, |_| {}),
        Bench::new("an upsert", (Mode::Upsert, ""), 1, database()?, loaded(Mode::Upsert)),
        Bench::new("a swap", (Mode::Swap, ""), 1, database()?, loaded(Mode::Swap)),
        Bench::new("an append", (Mode::Append, ""), 1, database()?, loaded(Mode::Append)),
        Bench::new("refused rows", (Mode::Upsert, "max_refused = 5"), 1, database()?, strict),
    ];
    let (then, now) = (orders(0), orders(1));
    let mut appended = [texts(&then), added_rows(&then, &now)].concat();
    appended.sort();
    assert_eq!(benches[0].clean.rows, texts(&then));
    assert_eq!(benches[1].clean.rows, texts(&now));
    assert_eq!(benches[2].clean.rows, texts(&now));
    assert_eq!(benches[3].clean.rows, appended);
    assert_eq!(benches[4].clean.refused.len(), 2, "{:?}", benches[4].clean.refused);
    Some(benches)
}

/// A repeated full load after a lost reply to COMMIT is recognised as done.
#[test]
fn a_full_load_whose_reply_is_lost_is_done_once() {
    let Some(database) = database() else { return };
    let objects = lake_at(1);
    Loader::new(&database.url(), Mode::Upsert, "").load(&objects);
    database.query("DELETE FROM orders WHERE id < 7");
    let _ = DatabaseState::from_database(&database);
    let counted = database.fork();
    let proxy = Proxy::before(counted.port());
    let clean = Loader::new(&proxy.url(counted.name()), Mode::Upsert, "").load_full(&objects);
    assert_eq!((clean.status, clean.rows.written), (Status::Done, 7), "{:?}", clean.error);
    proxy.wait_closed();
    let commit = commit_of(&proxy.messages());
    for (number, fault) in [(commit, Fault::CutAfter), (commit + 1, Fault::Cut), (commit + 2, Fault::Half)] {
        let broken = database.fork();
        let proxy = Proxy::before(broken.port());
        proxy.arm(number, fault);
        let record = Loader::new(&proxy.url(broken.name()), Mode::Upsert, "").load_full(&objects);
        assert!(!proxy.is_armed());
        assert_eq!((record.status, counts(&record)), (Status::Done, counts(&clean)), "{fault:?}");
        let state = DatabaseState::from_database(&broken);
        state.equals(&DatabaseState::from_database(&counted)).unwrap();
        check_records(&[record], &state).unwrap();
    }
}
