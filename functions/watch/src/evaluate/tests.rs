use tidemark_flow::{Error, ErrorKind, Heartbeat, Status};
use tidemark_pipeline::{SourceFile, read};

use super::*;
use crate::watch_state::{key, run};

/// A pipeline `orders`, with more text at the beginning of its file.
pub(crate) fn graph(top: &str) -> Graph {
    let text = format!(
        "{top}\n[source]\nkind = 'files'\npath = 'in'\nformat = 'csv'\n\n[contract]\ndataset = 'orders'\n\n\
         [contract.columns]\nid = 'int64'\n\n[[model]]\nname = 'totals'\nsql = 'SELECT COUNT(*) AS n FROM orders'\n"
    );
    let file = SourceFile::new("pipelines/orders.toml", text.as_bytes()).unwrap();
    Graph::new(vec![read(&file, &|_| None, &|_| Err(String::new())).unwrap()]).unwrap()
}

fn at(minute: i64) -> Timestamp {
    "2026-03-03T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
}

fn keys(state: &WatchState, graph: &Graph, now: Timestamp) -> Vec<String> {
    let snapshot = LakeSnapshot { graph, broken: &[], arguments: String::new() };
    let found = findings(state, &snapshot, now);
    assert_eq!(found, findings(state, &snapshot, now));
    let keys: Vec<String> = found.iter().map(Finding::key).collect();
    let mut once = keys.clone();
    once.dedup();
    assert_eq!(keys, once, "one thing is found twice");
    keys
}

/// States that contain one problem, or will after some time.
fn states() -> Vec<(&'static str, WatchState)> {
    let of = |change: &dyn Fn(&mut WatchState)| {
        let mut state = WatchState::default();
        state.pipelines.entry("orders".into()).or_default().since = at(-60);
        state.apply_record(&run("ingest", 0, Status::Done), None, &[]);
        change(&mut state);
        state
    };
    let heartbeat = Heartbeat {
        run_id: "20260303T080100-1".into(),
        pipeline: "orders".into(),
        step: StepId::Clean,
        correlation_id: "c".into(),
        scheduled_time: at(0),
        started_at: at(1),
        alive_at: at(1),
    };
    vec![
        ("nothing", of(&|_| ())),
        ("failed", of(&|state| state.apply_record(&run("clean", 1, Status::Failed), None, &[]))),
        ("failed", of(&|state| state.step_mut(&key("clean")).record_dead_letter("why", at(0), "c", at(1)))),
        ("never_ended", of(&|state| state.apply_record(&run("clean", 1, Status::Continues), None, &[]))),
        ("never_ended", of(&|state| state.record_lost_run(&heartbeat))),
        (
            "behind",
            of(&|state| {
                state.step_mut(&key("clean")).record_lag(true, at(1));
                // It was announced again, and is still behind.
                state.step_mut(&key("clean")).announced_at = Some(at(6));
            }),
        ),
        (
            "blind.log",
            of(&|state| {
                state.step_mut(&key("clean")).record_unobservable(&Error::new(ErrorKind::Data, "damaged"), at(1))
            }),
        ),
    ]
}

/// A problem does not disappear by waiting.
#[test]
fn problems_do_not_disappear_with_time() {
    let graph = graph("");
    for (kind, state) in states() {
        let mut before: Vec<String> = Vec::new();
        for minute in 1..600 {
            let found = keys(&state, &graph, at(minute));
            assert!(before.iter().all(|key| found.contains(key)), "{before:?}, then {found:?} at {minute}");
            before = found;
        }
        let expected: Vec<String> = (kind != "nothing").then(|| format!("orders.clean.{kind}")).into_iter().collect();
        assert_eq!(before, expected);
    }
}

#[test]
fn only_the_first_problem_of_a_step_is_reported() {
    let graph = graph("");
    for (first, mut state) in states().into_iter().skip(1) {
        state.step_mut(&key("clean")).behind_since.get_or_insert(at(1));
        assert_eq!(keys(&state, &graph, at(600)), [format!("orders.clean.{first}")]);
    }
}

#[test]
fn steps_of_unknown_pipelines_are_ignored() {
    let graph = graph("");
    for (_, mut state) in states() {
        let steps = std::mem::take(&mut state.steps);
        state.steps = steps
            .into_iter()
            .map(|(key, last)| (StepKey { pipeline: "others".parse().unwrap(), ..key }, last))
            .collect();
        assert_eq!(keys(&state, &graph, at(600)), [""; 0]);
    }
}

/// For every kind of schedule, a start counts as missed a quarter of an hour after its time, until the pipeline is started.
#[test]
fn scheduled_time_is_missed_until_started() {
    let tops = [
        ("schedule = { cron = '*/20 * * * ? *', timezone = 'UTC' }", 15),
        ("schedule = { cron = '0 8-10 * * ? *', timezone = 'Europe/London' }", 15),
        ("schedule = { rate = '30 minutes' }", 15),
        ("schedule = { rate = '25 minutes' }", 40),
    ];
    for (top, within) in tops {
        let graph = graph(top);
        let pipeline = &graph.pipelines()[0];
        let schedule = pipeline.schedule.as_ref().unwrap();
        let mut state = WatchState::default();
        state.pipelines.entry("orders".into()).or_default().since = at(-1);
        let mut count = 0;
        for minute in 0..1_440 {
            let now = at(minute);
            let expected = schedule.previous(now - SignedDuration::from_mins(within)).filter(|time| *time > at(-1));
            assert_eq!(missed(&state, pipeline, now), expected, "{top} at {now}");
            if let Some(expected) = expected {
                count += 1;
                let started_for = |time: Timestamp| {
                    let mut state = state.clone();
                    state.pipelines.entry("orders".into()).or_default().started = Some(time);
                    missed(&state, pipeline, now)
                };
                assert_eq!(started_for(expected), None);
                // the platform's scheduled time may be some seconds late
                assert_eq!(started_for(expected + SignedDuration::from_secs(6)), None);
                assert_eq!(started_for(expected - SignedDuration::from_secs(1)), Some(expected));
            }
        }
        assert!(count > 300, "{count}");
    }
}
