use tidemark_flow::{Error, ErrorKind, Heartbeat, RunRecord, Status};
use tidemark_pipeline::Graph;

use super::*;
use crate::evaluate::graph;
use crate::watch_state::{key, run};

fn at(minute: i64) -> Timestamp {
    "2026-03-03T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
}

/// Times, in minutes, and names of announced steps, over half a day with a tick every five minutes.
fn announced(state: &mut WatchState, graph: &Graph) -> Vec<(i64, String)> {
    let snapshot = LakeSnapshot { graph, broken: &[], arguments: String::new() };
    let mut all = Vec::new();
    for minute in (5..720).step_by(5) {
        let due = remediate(state, &snapshot, at(minute), "watch");
        assert!(due.iter().all(|due| due.always_record && due.correlation_id == "watch"));
        all.extend(due.into_iter().map(|due| (minute, due.step.to_string())));
    }
    all
}

fn every_half_hour(from: i64, step: &str) -> Vec<(i64, String)> {
    (from..720).step_by(30).map(|minute| (minute, step.to_owned())).collect()
}

#[test]
fn steps_are_announced_again_every_half_hour() {
    let graph = graph("");
    type Change = fn(&mut WatchState);
    let cases: [(Change, i64); 4] = [
        // Found to be behind at 08:05.
        (|state| state.step_mut(&key("clean")).record_lag(true, at(5)), 10),
        (|state| state.apply_record(&run("clean", 1, Status::Failed), None, &[]), 10),
        (|state| state.apply_record(&run("clean", 1, Status::Continues), None, &[]), 25),
        (|state| state.step_mut(&key("clean")).record_dead_letter("why", at(0), "c", at(2)), 10),
    ];
    for (change, first) in cases {
        let mut state = WatchState::default();
        change(&mut state);
        assert_eq!(announced(&mut state, &graph), every_half_hour(first, "clean"));
    }
}

#[test]
fn permanent_errors_are_not_retried() {
    let graph = graph("");
    for kind in [ErrorKind::Definition, ErrorKind::Data, ErrorKind::Refused, ErrorKind::Bug] {
        let mut state = WatchState::default();
        let error = Error::new(kind, "for good");
        let record = RunRecord { error: Some((&error).into()), ..run("clean", 1, Status::Failed) };
        state.apply_record(&record, None, &[]);
        state.step_mut(&key("model totals")).record_lag(false, at(1));
        assert_eq!(announced(&mut state, &graph), [], "{kind}");
    }
    let mut state = WatchState::default();
    state.apply_record(&run("clean", 1, Status::Failed), None, &[]);
    state.apply_record(&run("clean", 2, Status::Done), None, &[]);
    assert_eq!(announced(&mut state, &graph), []);
}

#[test]
fn running_steps_are_not_announced() {
    let graph = graph("");
    let mut state = WatchState::default();
    state.apply_record(&run("clean", 1, Status::Failed), None, &[]);
    let snapshot = LakeSnapshot { graph: &graph, broken: &[], arguments: String::new() };
    for minute in (5..200).step_by(5) {
        let heartbeat = Heartbeat {
            run_id: "20260303T080200-1".into(),
            pipeline: "orders".into(),
            step: StepId::Clean,
            correlation_id: "c".into(),
            scheduled_time: at(0),
            started_at: at(2),
            alive_at: at(minute) - SignedDuration::from_secs(50),
        };
        state.record_heartbeat(&heartbeat, at(minute));
        assert_eq!(remediate(&mut state, &snapshot, at(minute), "watch"), []);
    }
    assert_eq!(remediate(&mut state, &snapshot, at(205), "watch").len(), 1);
}

#[test]
fn missed_start_is_announced_until_it_happens() {
    let graph = graph("schedule = { cron = '0 8 * * ? *', timezone = 'UTC' }");
    let mut state = WatchState::default();
    state.pipelines.entry("orders".into()).or_default().since = at(-60);
    // steps that are behind wait for the start
    state.step_mut(&key("clean")).record_lag(true, at(14));
    assert_eq!(announced(&mut state.clone(), &graph), every_half_hour(15, "ingest"));
    state.apply_record(&run("ingest", 0, Status::NothingToDo), None, &[]);
    assert_eq!(announced(&mut state, &graph), every_half_hour(20, "clean"));
}
