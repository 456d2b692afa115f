//! The crash test of the watcher: whatever fails, and whenever, the looks after it end with the incidents and the messages of a morning
//! without fault, but for one message more where the fault fell between sending and remembering.

mod crowd;
mod post;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tidemark_flow::ErrorKind;
use watch::Incident;

use super::record::run;
use super::tower::{DAILY, Tower, pipeline};
use crate::crash::house::Backend;
use crate::fault::{Aim, Call, Fault, Plan};

/// Who is told of the pipelines of the morning, by mail.
const MAIL: &str = "email = 'data@example.com'\nmax_quarantined = 10";

type Files = Vec<(&'static str, String)>;

fn files(alerts: &str) -> Files {
    ["orders", "shop"].map(|name| (name, pipeline(name, DAILY, alerts))).to_vec()
}

fn of(files: &Files) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (*name, text.as_str())).collect()
}

const DAMAGED: &str = "runs/2026-03-03/20260303T083000000-0000ffff.json";

/// A look of the watcher, and what has come before it.
type Round = (&'static str, fn(&Tower));

/// A morning on which much goes wrong and is mended. Each lasts for two looks at least, or one that fails would hide it for good; and there
/// is never so much at once that it would be told together.
const ROUNDS: [Round; 13] = [
    ("2026-03-03T07:55:00Z", |_| ()),
    ("2026-03-03T08:05:00Z", |tower| {
        tower.ran(run("orders", "ingest", "2026-03-03T08:00:00Z"));
        tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Definition, "no such column"));
    }),
    ("2026-03-03T08:10:00Z", |tower| {
        tower.ran(run("orders", "clean", "2026-03-03T08:06:00Z").failed(ErrorKind::Retry, "throttled"));
    }),
    ("2026-03-03T08:15:00Z", |_| ()),
    ("2026-03-03T08:20:00Z", |tower| {
        tower.ran(run("orders", "clean", "2026-03-03T08:17:00Z").rows(1000, 50));
    }),
    ("2026-03-03T08:25:00Z", |tower| {
        tower.ran(run("shop", "ingest", "2026-03-03T08:16:00Z").nothing());
        tower.marks("shop", "clean", "2026-03-03T08:18:00Z", "2026-03-03T08:24:00Z");
    }),
    ("2026-03-03T08:30:00Z", |_| ()),
    ("2026-03-03T08:35:00Z", |tower| tower.damages(DAMAGED)),
    ("2026-03-03T08:40:00Z", |_| ()),
    ("2026-03-03T08:45:00Z", |tower| {
        tower.ran(run("shop", "clean", "2026-03-03T08:42:00Z"));
    }),
    ("2026-03-03T08:50:00Z", |tower| tower.store().delete(&DAMAGED.into()).unwrap()),
    ("2026-03-03T08:55:00Z", |tower| {
        tower.ran(run("orders", "clean", "2026-03-03T08:51:00Z").rows(1000, 0));
    }),
    ("2026-03-03T09:00:00Z", |_| ()),
];

/// What is left of a morning.
#[derive(Debug, Clone, PartialEq)]
struct Ending {
    incidents: BTreeMap<String, Incident>,
    /// By what tells one from another, how often it came, and what it said.
    mails: BTreeMap<String, (usize, String)>,
}

impl Ending {
    fn of(tower: &Tower) -> Ending {
        let mut mails = BTreeMap::new();
        for mail in tower.mailbox.mails() {
            assert!(!mail.message_id.contains("digest"), "{}", mail.subject);
            let entry = mails.entry(mail.message_id.clone()).or_insert((0, mail.subject.clone()));
            entry.0 += 1;
        }
        Ending { incidents: tower.incidents(), mails }
    }

    /// The same, whenever it was seen.
    fn whenever(mut self) -> Ending {
        for incident in self.incidents.values_mut() {
            (incident.opened_at, incident.openings) = (jiff::Timestamp::UNIX_EPOCH, Vec::new());
            incident.finding.since = jiff::Timestamp::UNIX_EPOCH;
            incident.resolved_at = incident.resolved_at.map(|_| jiff::Timestamp::UNIX_EPOCH);
        }
        // the time of the opening is in what tells one mail from another
        let mails = std::mem::take(&mut self.mails);
        for (id, (times, subject)) in mails {
            let parts: Vec<&str> = id.split('.').collect();
            let id = format!("{} {}", parts[1], parts[3]);
            self.mails.entry(id).or_insert((0, subject)).0 += times;
        }
        self
    }

    /// How many mails came once too often; an error says what is not as it should be.
    fn repeats(&self, clean: &Ending) -> Result<usize, String> {
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

/// A morning up to a round, and what its looks ask of the store.
struct Bench {
    backend: Backend,
    files: Files,
    /// In memory: as it stands before each round.
    before: Vec<Tower>,
    clean: Ending,
    calls: Vec<Vec<(Call, String)>>,
}

impl Bench {
    fn new(backend: Backend) -> Bench {
        let files = files(MAIL);
        let tower = Tower::new(backend, &of(&files));
        tower.is_sound();
        let (mut before, mut calls) = (Vec::new(), Vec::new());
        for (time, act) in ROUNDS {
            if backend == Backend::Memory {
                before.push(tower.fork(&of(&files)));
            }
            act(tower.at(time));
            let plan = Plan::clean();
            tower.tick_under(&plan).unwrap();
            calls.push(plan.calls());
        }
        let clean = Ending::of(&tower);
        // it is much, and it has all been told and is over
        assert_eq!((clean.incidents.len(), clean.mails.len()), (5, 10), "{clean:#?}");
        assert!(clean.incidents.values().all(|incident| !incident.is_open()));
        assert!(clean.mails.values().all(|(times, _)| *times == 1));
        Bench { backend, files, before, clean, calls }
    }

    /// As it stands before a round.
    fn up_to(&self, round: usize) -> Tower {
        if let Some(tower) = self.before.get(round) {
            return tower.fork(&of(&self.files));
        }
        let tower = Tower::new(self.backend, &of(&self.files));
        for (time, act) in &ROUNDS[..round] {
            act(tower.at(time));
            tower.tick();
        }
        tower
    }

    /// Whether the fault befell, and whether it led to a repeat.
    fn suffer(&self, case: &Case) -> Result<(bool, bool), String> {
        let tower = Arc::new(self.up_to(case.round));
        let plan = Plan::new(Aim::Nth(case.nth), case.fault);
        let other = tower.clone();
        plan.meanwhile(move || drop(other.tick()));
        let (time, act) = ROUNDS[case.round];
        act(tower.at(time));
        let ticked = tower.tick_under(&plan);
        plan.join();
        let sent_at = tower.mailbox.sent_at.lock().unwrap().clone();
        match &ticked {
            Err(failure) if failure.kind != ErrorKind::Retry => {
                return Err(format!(
                    "a fault of the store is not said to be one: {:?} {}",
                    failure.kind,
                    failure.full_message()
                ));
            }
            Err(failure) if matches!(case.fault, Fault::Slow | Fault::Overtaken) => return Err(failure.full_message()),
            _ => {}
        }
        if case.is_again {
            tower.tick();
        }
        for (time, act) in &ROUNDS[case.round + 1..] {
            act(tower.at(time));
            tower.tick();
        }
        // the last round may have been the one
        tower.after(5).tick();
        let (ending, clean) = (Ending::of(&tower), self.clean.clone());
        let repeats = match case.is_again {
            true => ending.repeats(&clean)?,
            false => ending.whenever().repeats(&clean.whenever())?,
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
    /// Of the calls that the fault can befall.
    nth: usize,
    fault: Fault,
    /// The next look is at once; otherwise it is five minutes later.
    is_again: bool,
    #[expect(dead_code, reason = "read by people")]
    call: (Call, String),
}

/// Every other call in memory once, in turn by each of its faults, and both ways to go on; of a folder one in so many, of S3 one in more.
/// Every one by every fault with `TIDEMARK_CRASH=all`.
fn cases(benches: &[Bench]) -> Vec<Case> {
    let is_all = std::env::var("TIDEMARK_CRASH").is_ok_and(|wanted| wanted == "all");
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
                    // a folder has its condition from a lock, which is not had below a plan
                    let is_possible = at.backend != Backend::Folder || fault != Fault::Overtaken;
                    let is_turn = number % every == 0 && number / every % faults.len() == turn;
                    if is_possible && (is_all || is_turn) {
                        // nothing is missed of what was before the first look
                        let is_again = round == 0 || (number / every / faults.len()).is_multiple_of(2);
                        for is_again in if is_all && round > 0 { vec![true, false] } else { vec![is_again] } {
                            cases.push(Case { bench, round, nth: *nth, fault, is_again, call: call.clone() });
                        }
                    }
                    *nth += 1;
                }
                // between sending and remembering is where it matters: that is looked at more closely
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
fn after_a_fault_at_any_call_everybody_has_been_told_of_everything() {
    let began = Instant::now();
    let benches = Backend::ALL.map(Bench::new);
    let cases = cases(&benches);
    let (next, hits, repeats) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match benches[case.bench].suffer(case) {
                        Ok((hit, repeat)) => {
                            hits.fetch_add(usize::from(hit), Ordering::Relaxed);
                            repeats.fetch_add(usize::from(repeat), Ordering::Relaxed);
                        }
                        Err(difference) => wrong.lock().unwrap().push(format!("{case:?}: {difference}")),
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
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    assert!(hits * 100 >= cases * 95, "{hits} of {cases} faults befell");
    assert!(repeats > 0, "no fault fell between sending and remembering");
}
