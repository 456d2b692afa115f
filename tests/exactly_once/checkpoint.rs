//! A commit that sums up the log: the commit counts, and what fails after it does not.

use std::sync::Arc;

use object_store::memory::InMemory;
use polars::df;
use tidemark_lake::{CommitInfo, Draft, Lake, LakeError, Meta, Outcome, Partition, Store, Writer};
use tidemark_pipeline::DatasetName;

use crate::support::daily_sales::runtime;
use crate::support::faulty_store::{Aim, Call, Faulty, Plan};
use crate::support::sample::is_whole;

fn dataset() -> DatasetName {
    "numbers".parse().unwrap()
}

fn open(store: &Arc<InMemory>, plan: &Arc<Plan>) -> Result<Lake, LakeError> {
    Lake::open(Store::new(Faulty::new(store.clone(), plan), "memory", runtime()), true)
}

/// Appends one row.
fn append(lake: &Lake, number: i64) -> Result<Outcome, LakeError> {
    let dataset = dataset();
    let base = lake.table(&dataset)?;
    let rows = df!("number" => [number]).unwrap();
    let mut writer = Writer::new(lake, &dataset, rows.schema(), Partition::default());
    writer.write(&rows)?;
    let draft = Draft {
        adds: writer.finish(false)?,
        dataset,
        schema: (**rows.schema()).clone(),
        partition_by: Vec::new(),
        removes: Vec::new(),
        consumed: vec![("input".into(), number)],
        meta: Meta::default(),
        info: CommitInfo { run_id: format!("run-{number}"), step: "append".into(), balance: serde_json::Value::Null },
    };
    draft.commit(lake, base.as_ref())
}

fn numbers(lake: &Lake) -> (i64, Vec<i64>, Option<i64>) {
    let table = lake.existing(&dataset()).unwrap();
    let rows = table.read(lake, &table.files(lake).unwrap()).unwrap();
    let mut numbers: Vec<_> = rows.column("number").unwrap().i64().unwrap().into_no_null_iter().collect();
    numbers.sort_unstable();
    (table.version(), numbers, table.consumed(lake, "input").unwrap())
}

fn up_to(last: i64) -> (i64, Vec<i64>, Option<i64>) {
    (last, (0..=last).collect(), Some(last))
}

#[test]
fn a_checkpoint_that_fails_takes_nothing_with_it() {
    let store = Arc::new(InMemory::new());
    let lake = open(&store, &Plan::clean()).unwrap();
    let is_checkpoint = |(call, object): &(Call, String)| *call == Call::Put && object.contains("checkpoint");
    let (last, before, calls) = (0..)
        .find_map(|number| {
            let (before, plan) = (store.fork(), Plan::clean());
            let _ = append(&open(&store, &plan).unwrap(), number).unwrap();
            plan.calls().iter().any(is_checkpoint).then(|| (number, before, plan.calls()))
        })
        .unwrap();
    assert_eq!(numbers(&lake), up_to(last));
    let commit = calls.iter().position(|(call, object)| *call == Call::Put && object.ends_with(".json")).unwrap();
    for (nth, (call, object)) in calls.iter().enumerate() {
        for (number, &fault) in call.faults().iter().enumerate() {
            // without `TIDEMARK_CRASH=all` each call is failed once, in turn by each of its faults
            if !is_whole() && number != nth % call.faults().len() {
                continue;
            }
            let eligible = calls[..nth].iter().filter(|(call, _)| call.faults().contains(&fault)).count();
            let what = format!("{fault:?} at call {nth}, {call:?} {object}");
            let store = Arc::new(before.fork());
            let plan = Plan::new(Aim::Nth(eligible), fault);
            let outcome = open(&store, &plan).and_then(|lake| append(&lake, last));
            assert!(plan.has_hit(), "{what}");
            assert!(nth <= commit || matches!(outcome, Ok(Outcome::Committed(_))), "{what}: {outcome:?}");
            let lake = open(&store, &Plan::clean()).unwrap();
            match (numbers(&lake), &outcome) {
                (found, Ok(Outcome::Committed(_))) => assert_eq!(found, up_to(last), "{what}"),
                (found, Err(LakeError::Store { .. })) if found == up_to(last) => {}
                (found, Err(LakeError::Store { .. })) => {
                    assert_eq!(found, up_to(last - 1), "{what}");
                    let _ = append(&lake, last).unwrap();
                }
                (_, outcome) => panic!("{what}: {outcome:?}"),
            }
            let _ = append(&lake, last + 1).unwrap();
            assert_eq!(numbers(&lake), up_to(last + 1), "{what}");
        }
    }
}
