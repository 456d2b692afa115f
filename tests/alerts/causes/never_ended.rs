//! A run that started and never ended.

use std::time::{Duration, Instant};

use tidemark_flow::{Context, Executor, Heartbeat, Process, Runnable as _, Status, Trigger};
use tidemark_pipeline::StepId;

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, orders};
use super::{lasts, one};
use crate::crash::house::Backend;
use crate::support::running::Looks;

fn started() -> Tower {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    tower.ran(run("orders", "ingest", "2026-03-03T08:00:00Z"));
    tower
}

#[test]
fn a_mark_that_falls_silent() {
    let tower = started();
    let run_id = tower.marks("orders", "clean", "2026-03-03T08:01:00Z", "2026-03-03T08:03:00Z");
    assert_eq!(tower.at("2026-03-03T08:07:59Z").tick().open, 0);
    let ticked = tower.at("2026-03-03T08:08:00Z").tick();
    assert_eq!((ticked.opened[0].incident.as_str(), ticked.announced), ("orders.clean.never_ended#1", 1));
    let said = one(&tower);
    assert_eq!(said.head, "🔴 orders: clean started and never ended");
    assert_eq!(
        said.what,
        format!(
            "run {run_id} began at 2026-03-03 08:01:00 UTC and said its last at 08:03:00 UTC; \
             it was killed, or its machine went away. Nothing is half done."
        )
    );
    assert_eq!(
        said.next,
        "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
    );
    assert_eq!(said.command, "tidemark run orders --at 2026-03-03T08:01:00Z");
    assert_eq!(said.record(), "", "it has left none");
    assert_eq!(tower.lake().watched().unwrap().running, [""; 0], "its mark is of no more use");
    lasts(&tower);
    assert_eq!(tower.heard_on_bus(), ["orders/clean at 2026-03-03T08:01:00Z"; 4]);
    tower.ran(run("orders", "clean", "2026-03-03T09:50:00Z").nothing());
    assert_eq!(tower.at("2026-03-03T09:55:00Z").tick().resolved.len(), 1);
    assert!(one(&tower).what.starts_with("The step has succeeded again; it lasted 1 h 49 min."));
    lasts(&tower);
}

#[test]
fn a_run_that_lives_is_left_alone_however_long_it_takes() {
    let tower = started();
    let mut run_id = String::new();
    for minute in 10..59 {
        if !run_id.is_empty() {
            tower.lake().delete_running(&run_id).unwrap();
        }
        let alive = format!("2026-03-03T08:{minute}:00Z");
        run_id = tower.marks("orders", "clean", "2026-03-03T08:01:00Z", &alive);
        assert_eq!(tower.at(&alive).tick().open, 0);
    }
    // its record is of its beginning, long before what has been read, and its mark has gone
    tower.ran(run("orders", "model orders_by_id", "2026-03-03T08:58:00Z"));
    tower.tick();
    tower.lake().delete_running(&run_id).unwrap();
    tower.ran(
        run("orders", "clean", "2026-03-03T08:01:00Z")
            .until("2026-03-03T08:59:30Z")
            .id(&run_id)
            .failed(tidemark_flow::ErrorKind::Data, "damaged"),
    );
    assert_eq!(tower.at("2026-03-03T09:00:00Z").tick().records, 1);
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    lasts(&tower);
}

#[test]
fn marks_of_the_past_are_swept_away() {
    let tower = started();
    // one whose run has ended since, one that a later run has got ahead of, one that is damaged
    let ended = tower.marks("orders", "clean", "2026-03-03T08:01:00Z", "2026-03-03T08:02:00Z");
    tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").id(&ended));
    tower.marks("orders", "model orders_by_id", "2026-03-03T08:01:00Z", "2026-03-03T08:02:00Z");
    tower.ran(run("orders", "model orders_by_id", "2026-03-03T08:04:00Z"));
    tower.damages("watch/running/20260303T080000000-ffffffff.json");
    let ticked = tower.at("2026-03-03T08:10:00Z").tick();
    assert_eq!((ticked.open, ticked.records), (0, 3));
    assert_eq!(tower.lake().watched().unwrap().running, [""; 0]);
    lasts(&tower);
}

#[test]
fn what_was_to_be_gone_on_with_and_was_not() {
    let tower = started();
    let part = tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").until("2026-03-03T08:14:00Z").continues());
    assert_eq!(tower.at("2026-03-03T08:33:59Z").tick().open, 0);
    assert_eq!(tower.at("2026-03-03T08:34:00Z").tick().opened[0].incident, "orders.clean.never_ended#1");
    let said = one(&tower);
    assert!(
        said.what.contains("put down what it had at 08:14:00 UTC, to be gone on with; nobody has."),
        "{}",
        said.what
    );
    assert_eq!(said.record(), format!("lake/runs/2026-03-03/{part}.json"));
    assert_eq!(tower.heard_on_bus(), ["orders/clean at 2026-03-03T08:01:00Z"]);
    // it goes on: that is not the end yet, and nobody wakes it once more
    tower.ran(run("orders", "clean", "2026-03-03T08:35:00Z").until("2026-03-03T08:48:00Z").continues());
    let ticked = tower.at("2026-03-03T09:05:00Z").tick();
    assert_eq!((ticked.announced, ticked.resolved.len(), ticked.open), (0, 0, 1));
    tower.ran(run("orders", "clean", "2026-03-03T08:49:00Z").until("2026-03-03T09:06:00Z"));
    assert_eq!(tower.at("2026-03-03T09:10:00Z").tick().resolved.len(), 1);
    assert!(one(&tower).is_over());
}

/// Waits until there is a mark of the run that this is, and looks at it.
#[expect(clippy::disallowed_methods, reason = "waits for a thread")]
fn waits_for_its_mark(tower: &Tower, context: &Context<'_>) {
    let began = Instant::now();
    loop {
        let running = context.lake.watched().unwrap().running;
        if let [run_id] = running.as_slice() {
            let mark: Heartbeat = serde_json::from_slice(&context.lake.running(run_id).unwrap().unwrap()).unwrap();
            assert_eq!(
                (mark.pipeline.as_str(), &mark.step, mark.correlation_id.as_str()),
                ("orders", &StepId::Clean, "c")
            );
            assert!(mark.alive_at > mark.started_at && mark.started_at == tower.now(), "{mark:?}");
            assert_eq!(tower.tick().open, 0);
            // this machine is switched off, but for what the next watcher sees
            tower.store().put(&"kept".into(), context.lake.running(run_id).unwrap().unwrap()).unwrap();
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "no mark");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_real_mark() {
    let tower = started();
    tower.at("2026-03-03T08:01:00Z");
    let record = tower.with_context(&tower.lake(), |context| {
        let process = Process { heartbeat_after: Duration::from_millis(5), ..context.process };
        let context = Context { process, ..*context };
        let step = Looks(|context: &Context<'_>| waits_for_its_mark(&tower, context));
        step.run(&context, Executor::SEQUENTIAL, &Trigger::at(tower.now(), "c"))
    });
    assert_eq!(record.status, Status::NothingToDo);
    // whoever ends takes its mark away
    assert_eq!(tower.lake().watched().unwrap().running, [""; 0]);
    // nobody has kept a record, since there was nothing to do; as if it had been killed, its mark stays
    let kept = tower.store().get(&"kept".into()).unwrap();
    tower.lake().put_running(&record.run_id, kept.to_vec()).unwrap();
    assert_eq!(tower.at("2026-03-03T08:05:00Z").tick().open, 0);
    assert_eq!(tower.at("2026-03-03T08:06:30Z").tick().opened[0].incident, "orders.clean.never_ended#1");
    assert!(one(&tower).what.starts_with(&format!("run {} began at 2026-03-03 08:01:00 UTC", record.run_id)));
}
