//! Every storage call of the watcher fails in turn, in every way; the ticks after it must end with the incidents and messages of a morning
//! without faults. One message may be repeated if the fault happened between sending and recording.

mod crowd;
mod post;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tidemark_flow::ErrorKind;
use watch::Incident;

use crate::support::daily_sales::Backend;
use crate::support::faulty_store::{Aim, Call, Fault, Plan};
use crate::support::sample::is_whole;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{DAILY, WatcherHarness, pipeline};

/// The mail recipients of the pipelines.
const MAIL: &str = "email = 'data@example.com'\nmax_quarantined = 10";

type Files = Vec<(&'static str, String)>;

fn files(alerts: &str) -> Files {
    ["orders", "shop"].map(|name| (name, pipeline(name, DAILY, alerts))).to_vec()
}

fn texts(files: &Files) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (*name, text.as_str())).collect()
}

const DAMAGED: &str = "runs/2026-03-03/20260303T083000000-0000ffff.json";

/// The time of a tick, and what happens before it.
type Round = (&'static str, fn(&WatcherHarness));

/// A morning with many problems that are fixed. Each lasts for at least two ticks, or a failed tick would hide it; and there are never so
/// many messages at once that they become a digest.
const ROUNDS: [Round; 13] = [
    ("2026-03-03T07:55:00Z", |_| ()),
    ("2026-03-03T08:05:00Z", |harness| {
        harness.put_run(run("orders", "ingest", "2026-03-03T08:00:00Z"));
        harness.put_run(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Definition, "no such column"));
    }),
    ("2026-03-03T08:10:00Z", |harness| {
        harness.put_run(run("orders", "clean", "2026-03-03T08:06:00Z").failed(ErrorKind::Retry, "throttled"));
    }),
    ("2026-03-03T08:15:00Z", |_| ()),
    ("2026-03-03T08:20:00Z", |harness| {
        harness.put_run(run("orders", "clean", "2026-03-03T08:17:00Z").rows(1000, 50));
    }),
    ("2026-03-03T08:25:00Z", |harness| {
        harness.put_run(run("shop", "ingest", "2026-03-03T08:16:00Z").nothing());
        harness.write_heartbeat("shop", "clean", "2026-03-03T08:18:00Z", "2026-03-03T08:24:00Z");
    }),
    ("2026-03-03T08:30:00Z", |_| ()),
    ("2026-03-03T08:35:00Z", |harness| harness.damage(DAMAGED)),
    ("2026-03-03T08:40:00Z", |_| ()),
    ("2026-03-03T08:45:00Z", |harness| {
        harness.put_run(run("shop", "clean", "2026-03-03T08:42:00Z"));
    }),
    ("2026-03-03T08:50:00Z", |harness| harness.store().delete(&DAMAGED.into()).unwrap()),
    ("2026-03-03T08:55:00Z", |harness| {
        harness.put_run(run("orders", "clean", "2026-03-03T08:51:00Z").rows(1000, 0));
    }),
    ("2026-03-03T09:00:00Z", |_| ()),
];

/// The state at the end of a morning.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    incidents: BTreeMap<String, Incident>,
    /// By message id: how often it was sent, and its subject.
    mails: BTreeMap<String, (usize, String)>,
}

impl Outcome {
    fn from_harness(harness: &WatcherHarness) -> Outcome {
        let mut mails = BTreeMap::new();
        for mail in harness.mailbox.mails() {
            assert!(!mail.message_id.contains("digest"), "{}", mail.subject);
            let entry = mails.entry(mail.message_id.clone()).or_insert((0, mail.subject.clone()));
            entry.0 += 1;
        }
        Outcome { incidents: harness.incidents(), mails }
    }

    /// The same with all times reset, for cases in which ticks happen at other times.
    fn without_times(mut self) -> Outcome {
        for incident in self.incidents.values_mut() {
            (incident.opened_at, incident.openings) = (jiff::Timestamp::UNIX_EPOCH, Vec::new());
            incident.finding.since = jiff::Timestamp::UNIX_EPOCH;
            incident.resolved_at = incident.resolved_at.map(|_| jiff::Timestamp::UNIX_EPOCH);
        }
        // The message id includes the opening time.
        let mails = std::mem::take(&mut self.mails);
        for (id, (times, subject)) in mails {
            let parts: Vec<&str> = id.split('.').collect();
            let id = format!("{} {}", parts[1], parts[3]);
            self.mails.entry(id).or_insert((0, subject)).0 += times;
        }
        self
    }

    /// How many mails were repeated. Returns an error if anything else differs.
    fn repeats(&self, clean: &Outcome) -> Result<usize, String> {
        if self.incidents != clean.incidents {
            for (name, incident) in &clean.incidents {
                if self.incidents.get(name) != Some(incident) {
                    return Err(format!("{:#?}\nis not\n{incident:#?}", self.incidents.get(name)));
                }
            }
            return Err(format!("incidents {:?}", self.incidents.keys()));
        }
        let mut repeats = 0;
        for (id, (times, subject)) in &clean.mails {
            match self.mails.get(id) {
                Some((found, _)) if found >= times => repeats += found - times,
                _ => return Err(format!("lost: {subject}")),
            }
        }
        match self.mails.iter().find(|(id, _)| !clean.mails.contains_key(*id)) {
            Some((_, (_, subject))) => Err(format!("nobody's: {subject}")),
            None => Ok(repeats),
        }
    }
}

/// A morning without faults, and the calls that its ticks make to the store.
struct Bench {
    backend: Backend,
    files: Files,
    /// For memory: the state before each round.
    before: Vec<WatcherHarness>,
    clean: Outcome,
    calls: Vec<Vec<(Call, String)>>,
}

impl Bench {
    fn new(backend: Backend) -> Bench {
        let files = files(MAIL);
        let harness = WatcherHarness::new(backend, &texts(&files));
        harness.assert_not_broken();
        let (mut before, mut calls) = (Vec::new(), Vec::new());
        for (time, act) in ROUNDS {
            if backend == Backend::Memory {
                before.push(harness.fork(&texts(&files)));
            }
            act(harness.at(time));
            let plan = Plan::clean();
            harness.tick_with_faults(&plan).unwrap();
            calls.push(plan.calls());
        }
        let clean = Outcome::from_harness(&harness);
        // all incidents are resolved, and all have been notified
        assert_eq!((clean.incidents.len(), clean.mails.len()), (5, 10), "{clean:#?}");
        assert!(clean.incidents.values().all(|incident| !incident.is_open()));
        assert!(clean.mails.values().all(|(times, _)| *times == 1));
        Bench { backend, files, before, clean, calls }
    }

    /// The state before a round.
    fn state_before(&self, round: usize) -> WatcherHarness {
        if let Some(harness) = self.before.get(round) {
            return harness.fork(&texts(&self.files));
        }
        let harness = WatcherHarness::new(self.backend, &texts(&self.files));
        for (time, act) in &ROUNDS[..round] {
            act(harness.at(time));
            harness.tick();
        }
        harness
    }

    /// Runs a case. Returns whether the fault happened, and whether a message was repeated.
    fn run_case(&self, case: &Case) -> Result<(bool, bool), String> {
        let harness = Arc::new(self.state_before(case.round));
        let plan = Plan::new(Aim::Nth(case.nth), case.fault);
        let other = harness.clone();
        plan.meanwhile(move || drop(other.tick()));
        let (time, act) = ROUNDS[case.round];
        act(harness.at(time));
        let report = harness.tick_with_faults(&plan);
        plan.join();
        let sent_at = harness.mailbox.sent_at.lock().unwrap().clone();
        match &report {
            Err(error) if error.kind != ErrorKind::Retry => {
                return Err(format!(
                    "a fault of the store is not said to be one: {:?} {}",
                    error.kind,
                    error.full_message()
                ));
            }
            Err(error) if matches!(case.fault, Fault::Slow | Fault::Overtaken) => return Err(error.full_message()),
            _ => {}
        }
        if case.is_again {
            harness.tick();
        }
        for (time, act) in &ROUNDS[case.round + 1..] {
            act(harness.at(time));
            harness.tick();
        }
        // the fault may have happened in the last round
        harness.after(5).tick();
        let (ending, clean) = (Outcome::from_harness(&harness), self.clean.clone());
        let repeats = match case.is_again {
            true => ending.repeats(&clean)?,
            false => ending.without_times().repeats(&clean.without_times())?,
        };
        let is_between = plan.hit().is_some_and(|(hit, object)| {
            sent_at.iter().any(|sent| *sent <= hit) && object.contains("watch/incidents/")
        });
        match repeats {
            0 => {}
            1 if is_between
                && !matches!(case.fault, Fault::Slow | Fault::Overtaken | Fault::ErrorAfter | Fault::GoneAfter) => {}
            _ => return Err(format!("{repeats} messages were repeated, at call {:?} of {sent_at:?}", plan.hit())),
        }
        Ok((plan.has_hit(), repeats > 0))
    }
}

#[derive(Debug, Clone)]
struct Case {
    bench: usize,
    round: usize,
    /// Index of the affected call, among the calls that this fault can affect.
    nth: usize,
    fault: Fault,
    /// Whether the next tick follows at once, instead of five minutes later.
    is_again: bool,
    #[expect(dead_code, reason = "read by people")]
    call: (Call, String),
}

/// The cases: in memory every second call, with its faults and both delays in turn; for a folder and S3 fewer calls. With
/// `TIDEMARK_CRASH=all` every call with every fault.
fn cases(benches: &[Bench]) -> Vec<Case> {
    let is_all = is_whole();
    let mut cases = Vec::new();
    let mut number = 0;
    for (bench, at) in benches.iter().enumerate() {
        let every = match at.backend {
            Backend::Memory => 2,
            Backend::Folder => 11,
            Backend::S3 => 61,
        };
        for (round, calls) in at.calls.iter().enumerate() {
            let mut before: BTreeMap<Fault, usize> = BTreeMap::new();
            for call in calls {
                number += 1;
                let faults = call.0.faults();
                for (turn, &fault) in faults.iter().enumerate() {
                    let nth = before.entry(fault).or_default();
                    // a folder implements conditions with a lock, which is not available below a fault plan
                    let is_possible = at.backend != Backend::Folder || fault != Fault::Overtaken;
                    let is_turn = number % every == 0 && number / every % faults.len() == turn;
                    if is_possible && (is_all || is_turn) {
                        // before the first tick nothing can be missed
                        let is_again = round == 0 || (number / every / faults.len()).is_multiple_of(2);
                        for is_again in if is_all && round > 0 { vec![true, false] } else { vec![is_again] } {
                            cases.push(Case { bench, round, nth: *nth, fault, is_again, call: call.clone() });
                        }
                    }
                    *nth += 1;
                }
                // faults between sending and recording matter most, so they are tested more densely
                if !is_all && at.backend == Backend::Memory && call.1.contains("watch/incidents/") {
                    for fault in [Fault::ErrorBefore, Fault::GoneBefore, Fault::GoneAfter] {
                        if let (true, Some(nth)) = (faults.contains(&fault), before.get(&fault)) {
                            let is_again = number % 2 == 0;
                            cases.push(Case { bench, round, nth: nth - 1, fault, is_again, call: call.clone() });
                        }
                    }
                }
            }
        }
    }
    cases
}

#[test]
#[expect(clippy::disallowed_methods, reason = "says how long it took")]
fn nothing_is_lost_after_a_fault_at_any_call() {
    let began = Instant::now();
    let benches = Backend::ALL.map(Bench::new);
    let cases = cases(&benches);
    let (next, hits, repeats) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match benches[case.bench].run_case(case) {
                        Ok((hit, repeat)) => {
                            hits.fetch_add(usize::from(hit), Ordering::Relaxed);
                            repeats.fetch_add(usize::from(repeat), Ordering::Relaxed);
                        }
                        Err(difference) => failures.lock().unwrap().push(format!("{case:?}: {difference}")),
                    }
                }
            });
        }
    });
    let calls: Vec<usize> = benches.iter().map(|bench| bench.calls.iter().map(Vec::len).sum()).collect();
    let (cases, hits, repeats) = (cases.len(), hits.into_inner(), repeats.into_inner());
    let seconds = began.elapsed().as_secs();
    println!(
        "calls {calls:?}, faults {cases}, of which befell {hits}; {repeats} led to a repeated message; {seconds} s"
    );
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {cases} cases:\n{}",
        failures.len(),
        failures[..failures.len().min(12)].join("\n")
    );
    assert!(hits * 100 >= cases * 95, "{hits} of {cases} faults befell");
    assert!(repeats > 0, "no fault fell between sending and remembering");
}
