use tidemark_flow::{Balance, Bytes, Error, ErrorKind, Input, Output};
use tidemark_lake::Requests;

use super::*;

/// A step of pipeline `orders`.
pub(crate) fn key(step: &str) -> StepKey {
    StepKey::from_text(&format!("orders/{step}")).unwrap()
}

/// A run of half a minute that starts `minute` minutes after eight.
pub(crate) fn run(step: &str, minute: i64, status: Status) -> RunRecord {
    let eight: Timestamp = "2026-03-03T08:00:00Z".parse().unwrap();
    let started_at = eight + SignedDuration::from_mins(minute);
    let error = Error::new(ErrorKind::Retry, format!("failed at {minute}"));
    RunRecord {
        run_id: started_at.strftime("%Y%m%dT%H%M%S").to_string(),
        pipeline: "orders".into(),
        step: step.into(),
        trigger: "test".into(),
        scheduled_time: started_at,
        days: None,
        full: false,
        correlation_id: format!("chain {minute}"),
        status,
        started_at,
        finished_at: started_at + SignedDuration::from_secs(30),
        duration_ms: 30_000,
        inputs: Vec::new(),
        outputs: Vec::new(),
        rows: Balance::default(),
        bytes: Bytes::default(),
        peak_memory_bytes: 0,
        requests: Requests::default(),
        cost_usd: 0.0,
        notes: Vec::new(),
        has_more: false,
        drift: Vec::new(),
        error: (status == Status::Failed).then(|| (&error).into()),
        scope: None,
    }
}

fn failed(minute: i64, kind: ErrorKind) -> RunRecord {
    let error = Error::new(kind, format!("{kind} at {minute}"));
    RunRecord { error: Some((&error).into()), ..run("clean", minute, Status::Failed) }
}

fn last(records: &[&RunRecord]) -> StepState {
    let mut state = WatchState::default();
    records.iter().for_each(|record| state.apply_record(record, None, &[]));
    state.steps[&key("clean")].clone()
}

/// All permutations of `count` items.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, count - 1);
        order
    };
    (0..count).flat_map(|at| shorter.iter().map(move |order| insert(order, at))).collect()
}

#[test]
fn latest_record_counts_in_any_order() {
    const WAYS: [Status; 4] = [Status::Done, Status::NothingToDo, Status::Continues, Status::Failed];
    for ways in 0..4_usize.pow(4) {
        let records: Vec<_> = (0..4).map(|nth| run("clean", nth as i64, WAYS[ways / 4_usize.pow(nth) % 4])).collect();
        let seen = |order: &[usize]| {
            let last = last(&order.iter().map(|nth| &records[*nth]).collect::<Vec<_>>());
            let failing = last.failing.map(|failing| (failing.run_id, failing.error.message));
            (last.run_id, last.last_success_started_at, failing, last.continues)
        };
        for order in orders(4) {
            assert_eq!(seen(&order), seen(&[0, 1, 2, 3]), "{order:?} of {records:#?}");
        }
    }
}

#[test]
fn last_of_two_concurrent_runs_to_end_counts() {
    let eight = run("clean", 0, Status::Done).started_at;
    let until =
        |minute, record: RunRecord| RunRecord { finished_at: eight + SignedDuration::from_mins(minute), ..record };
    let well = until(10, run("clean", 0, Status::Done));
    let (early, late) = (until(5, failed(1, ErrorKind::Data)), until(15, failed(1, ErrorKind::Data)));
    for records in [[&well, &early], [&early, &well]] {
        assert_eq!(last(&records).failing, None);
    }
    for records in [[&well, &late], [&late, &well]] {
        assert!(last(&records).failing.is_some());
    }
}

#[test]
fn permanent_failure_lasts_until_success() {
    let kinds = [ErrorKind::Retry, ErrorKind::Definition, ErrorKind::Data, ErrorKind::Refused, ErrorKind::Bug];
    for ways in 0..5_usize.pow(4) {
        let records: Vec<_> = (0..4).map(|nth| failed(nth as i64, kinds[ways / 5_usize.pow(nth) % 5])).collect();
        let is_permanent = |record: &&RunRecord| record.error.as_ref().unwrap().kind != ErrorKind::Retry;
        for until in 1..=4 {
            let failing = last(&records[..until].iter().collect::<Vec<_>>()).failing.unwrap();
            assert_eq!(failing.is_final, records[..until].iter().any(|record| is_permanent(&record)));
            // Each record has a correlation id of its own, so no event has used up its attempts.
            let latest = records[..until].iter().rev().find(is_permanent).unwrap_or(&records[until - 1]);
            assert_eq!(Some(&failing.error), latest.error.as_ref());
            assert_eq!((failing.count, failing.since), (until as u64, records[0].started_at));
        }
    }
}

#[test]
fn three_attempts_with_one_correlation_id_are_final() {
    let is_final = |records: &[RunRecord]| last(&records.iter().collect::<Vec<_>>()).failing.unwrap().is_final;
    let mut records: Vec<_> = (0..3).map(|nth| failed(nth, ErrorKind::Retry)).collect();
    assert!(!is_final(&records));
    records.iter_mut().for_each(|record| record.correlation_id = "one".into());
    assert!(!is_final(&records[..2]) && is_final(&records));
    // the next event starts with the failure already final
    records.push(failed(3, ErrorKind::Retry));
    assert!(is_final(&records));
}

#[test]
fn load_consumes_recorded_inputs_and_versions_seen_at_start() {
    let made = |minute, dataset: &str, version| {
        let output = Output { version: Some(version), ..Output::new(dataset, 1) };
        RunRecord { outputs: vec![output], ..run("clean", minute, Status::Done) }
    };
    let inputs: Vec<DatasetName> = ["orders", "shops"].map(|name| name.parse().unwrap()).to_vec();
    let consumed = |state: &WatchState| state.steps[&key("load table")].consumed.clone();
    let of = |orders, shops: Option<i64>| {
        let shops = shops.map(|version| ("shops".to_owned(), version));
        BTreeMap::from_iter([("orders".to_owned(), orders)].into_iter().chain(shops))
    };
    let mut state = WatchState::default();
    for (minute, (dataset, version)) in [("orders", 3), ("shops", 7), ("others", 9)].into_iter().enumerate() {
        state.apply_record(&made(minute as i64, dataset, version), None, &[]);
    }
    let input = Input { dataset: "orders".into(), from_version: None, to_version: 3 };
    state.apply_record(&RunRecord { inputs: vec![input], ..run("load table", 3, Status::Done) }, None, &inputs);
    assert_eq!(consumed(&state), of(3, None));
    state.apply_record(&made(4, "orders", 4), None, &[]);
    // The run began before that version was committed.
    let started_at = state.datasets["orders"].at - SignedDuration::from_secs(1);
    state.apply_record(&RunRecord { started_at, ..run("load table", 5, Status::NothingToDo) }, None, &inputs);
    assert_eq!(consumed(&state), of(3, Some(7)));
    state.apply_record(&run("load table", 6, Status::NothingToDo), None, &inputs);
    assert_eq!(consumed(&state), of(4, Some(7)));
    // Older records are ignored, but a rebuilt dataset counts, whatever its version.
    state.apply_record(&made(0, "orders", 9), None, &[]);
    assert_eq!(state.datasets["orders"].version, 4);
    state.apply_record(&made(7, "orders", 0), None, &[]);
    assert_eq!(state.datasets["orders"].version, 0);
    // The consumed versions of other steps are in the Delta logs.
    assert!(state.steps[&key("clean")].consumed.is_empty());
}

#[test]
fn state_survives_serialization() {
    let mut state = WatchState::default();
    for (minute, status) in [Status::Done, Status::Failed, Status::Continues].into_iter().enumerate() {
        state.apply_record(&run("clean", minute as i64, status), None, &[]);
        state.apply_record(&run("ingest", minute as i64, status), None, &[]);
    }
    state.step_mut(&key("clean")).record_unobservable(&Error::new(ErrorKind::Data, "damaged"), Timestamp::UNIX_EPOCH);
    let json = serde_json::to_vec(&state).unwrap();
    assert_eq!(serde_json::from_slice::<WatchState>(&json).unwrap(), state);
}

/// An earlier version stored starts and test events among the steps.
#[test]
fn keys_other_than_steps_are_ignored() {
    let mut state = WatchState::default();
    state.apply_record(&run("clean", 1, Status::Done), None, &[]);
    let mut value = serde_json::to_value(&state).unwrap();
    assert_eq!(value["steps"].as_object().unwrap().keys().collect::<Vec<_>>(), ["orders/clean"]);
    for other in ["orders/start", "orders/maintain", "Orders/clean", "orders", ""] {
        value["steps"][other] = value["steps"]["orders/clean"].clone();
    }
    assert_eq!(serde_json::from_value::<WatchState>(value).unwrap(), state);
}

#[test]
fn start_record_only_marks_the_pipeline_started() {
    let mut state = WatchState::default();
    state.apply_record(&run("start", 1, Status::NothingToDo), None, &[]);
    state.apply_record(&run("test event", 2, Status::NothingToDo), None, &[]);
    assert_eq!(state.pipelines["orders"].started, Some(run("start", 1, Status::Done).scheduled_time));
    assert!(state.steps.is_empty());
}
