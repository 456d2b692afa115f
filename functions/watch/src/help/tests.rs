use tidemark_flow::{Failure, Kind, Mark, RunRecord, Status};
use tidemark_pipeline::Graph;

use super::*;
use crate::judge::graph;
use crate::memory::{key, run};

fn at(minute: i64) -> Timestamp {
    "2026-03-03T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
}

/// The minutes of half a day at which something is announced, by a look every five minutes, and what.
fn announced(memory: &mut Memory, graph: &Graph) -> Vec<(i64, String)> {
    let view = View { graph, broken: &[], arguments: String::new() };
    let mut all = Vec::new();
    for minute in (5..720).step_by(5) {
        let due = help(memory, &view, at(minute), "watch");
        assert!(due.iter().all(|due| due.looked_for && due.chain == "watch"));
        all.extend(due.into_iter().map(|due| (minute, due.step.to_string())));
    }
    all
}

fn every_half_hour(from: i64, step: &str) -> Vec<(i64, String)> {
    (from..720).step_by(30).map(|minute| (minute, step.to_owned())).collect()
}

#[test]
fn it_helps_every_half_hour() {
    let graph = graph("");
    type Change = fn(&mut Memory);
    let cases: [(Change, i64); 4] = [
        // it was behind when somebody looked at five minutes past
        (|memory| memory.last(&key("clean")).shows(true, at(5)), 10),
        (|memory| memory.take_in(&run("clean", 1, Status::Failed), None, &[]), 10),
        (|memory| memory.take_in(&run("clean", 1, Status::Continues), None, &[]), 25),
        (|memory| memory.last(&key("clean")).is_given_up("why", at(0), "c", at(2)), 10),
    ];
    for (change, first) in cases {
        let mut memory = Memory::default();
        change(&mut memory);
        assert_eq!(announced(&mut memory, &graph), every_half_hour(first, "clean"));
    }
}

#[test]
fn it_does_nothing_where_nothing_would_help() {
    let graph = graph("");
    for kind in [Kind::Definition, Kind::Data, Kind::Refused, Kind::Bug] {
        let mut memory = Memory::default();
        let failure = Failure::new(kind, "for good");
        let record = RunRecord { error: Some((&failure).into()), ..run("clean", 1, Status::Failed) };
        memory.take_in(&record, None, &[]);
        memory.last(&key("model totals")).shows(false, at(1));
        assert_eq!(announced(&mut memory, &graph), [], "{kind}");
    }
    let mut memory = Memory::default();
    memory.take_in(&run("clean", 1, Status::Failed), None, &[]);
    memory.take_in(&run("clean", 2, Status::Done), None, &[]);
    assert_eq!(announced(&mut memory, &graph), []);
}

#[test]
fn what_is_under_way_is_left_alone() {
    let graph = graph("");
    let mut memory = Memory::default();
    memory.take_in(&run("clean", 1, Status::Failed), None, &[]);
    let view = View { graph: &graph, broken: &[], arguments: String::new() };
    for minute in (5..200).step_by(5) {
        let mark = Mark {
            run_id: "20260303T080200-1".into(),
            pipeline: "orders".into(),
            step: StepId::Clean,
            chain: "c".into(),
            scheduled_time: at(0),
            started_at: at(2),
            alive_at: at(minute) - SignedDuration::from_secs(50),
        };
        memory.sees(&mark, at(minute));
        assert_eq!(help(&mut memory, &view, at(minute), "watch"), []);
    }
    assert_eq!(help(&mut memory, &view, at(205), "watch").len(), 1);
}

#[test]
fn a_start_that_was_missed_is_made_again_until_it_is_there() {
    let graph = graph("schedule = { cron = '0 8 * * ? *', timezone = 'UTC' }");
    let mut memory = Memory::default();
    memory.pipelines.entry("orders".into()).or_default().since = at(-60);
    // what is behind waits for that
    memory.last(&key("clean")).shows(true, at(14));
    assert_eq!(announced(&mut memory.clone(), &graph), every_half_hour(15, "ingest"));
    memory.take_in(&run("ingest", 0, Status::NothingToDo), None, &[]);
    assert_eq!(announced(&mut memory, &graph), every_half_hour(20, "clean"));
}
