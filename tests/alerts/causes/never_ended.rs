//! A run that started and never ended.

use std::time::{Duration, Instant};

use tidemark_flow::{Context, Executor, Heartbeat, Process, Runnable as _, Status, Trigger};
use tidemark_pipeline::StepId;

use super::{assert_quiet, only_message};
use crate::support::daily_sales::Backend;
use crate::support::running::Looks;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, orders};

fn started() -> WatcherHarness {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    harness.put_run(run("orders", "ingest", "2026-03-03T08:00:00Z"));
    harness
}

#[test]
fn silent_heartbeat_opens_an_incident() {
    let harness = started();
    let run_id = harness.write_heartbeat("orders", "clean", "2026-03-03T08:01:00Z", "2026-03-03T08:03:00Z");
    assert_eq!(harness.at("2026-03-03T08:07:59Z").tick().open, 0);
    let report = harness.at("2026-03-03T08:08:00Z").tick();
    assert_eq!((report.opened[0].incident.as_str(), report.announced), ("orders.clean.never_ended#1", 1));
    let message = only_message(&harness);
    assert_eq!(message.head, "🔴 orders: clean started and never ended");
    assert_eq!(
        message.what,
        format!(
            "run {run_id} began at 2026-03-03 08:01:00 UTC and sent its last heartbeat at 08:03:00 UTC; it was killed, or its \
             machine stopped. It published nothing."
        )
    );
    assert_eq!(
        message.next,
        "It is tried again every half hour, and with the next scheduled run at 2026-03-04 08:00 UTC."
    );
    assert_eq!(message.command, "tidemark run orders --at 2026-03-03T08:01:00Z");
    assert_eq!(message.record(), "", "it has left none");
    assert_eq!(harness.lake().watched().unwrap().running, [""; 0], "its mark is of no more use");
    assert_quiet(&harness);
    assert_eq!(harness.announced_steps(), ["orders/clean at 2026-03-03T08:01:00Z"; 4]);
    harness.put_run(run("orders", "clean", "2026-03-03T09:50:00Z").nothing());
    assert_eq!(harness.at("2026-03-03T09:55:00Z").tick().resolved.len(), 1);
    assert!(only_message(&harness).what.starts_with("The step has succeeded again; it lasted 1 h 49 min."));
    assert_quiet(&harness);
}

#[test]
fn long_run_with_heartbeats_is_left_alone() {
    let harness = started();
    let mut run_id = String::new();
    for minute in 10..59 {
        if !run_id.is_empty() {
            harness.lake().delete_running(&run_id).unwrap();
        }
        let alive = format!("2026-03-03T08:{minute}:00Z");
        run_id = harness.write_heartbeat("orders", "clean", "2026-03-03T08:01:00Z", &alive);
        assert_eq!(harness.at(&alive).tick().open, 0);
    }
    // the record's id is of the start of the run, long before the records read so far, and its heartbeat is deleted
    harness.put_run(run("orders", "model orders_by_id", "2026-03-03T08:58:00Z"));
    harness.tick();
    harness.lake().delete_running(&run_id).unwrap();
    harness.put_run(
        run("orders", "clean", "2026-03-03T08:01:00Z")
            .finished_at("2026-03-03T08:59:30Z")
            .id(&run_id)
            .failed(tidemark_flow::ErrorKind::Data, "damaged"),
    );
    assert_eq!(harness.at("2026-03-03T09:00:00Z").tick().records, 1);
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    assert_quiet(&harness);
}

#[test]
fn obsolete_heartbeats_are_deleted() {
    let harness = started();
    // heartbeats of a run that has ended since, of a run that a later one has overtaken, and a damaged one
    let ended = harness.write_heartbeat("orders", "clean", "2026-03-03T08:01:00Z", "2026-03-03T08:02:00Z");
    harness.put_run(run("orders", "clean", "2026-03-03T08:01:00Z").id(&ended));
    harness.write_heartbeat("orders", "model orders_by_id", "2026-03-03T08:01:00Z", "2026-03-03T08:02:00Z");
    harness.put_run(run("orders", "model orders_by_id", "2026-03-03T08:04:00Z"));
    harness.damage("watch/running/20260303T080000000-ffffffff.json");
    let report = harness.at("2026-03-03T08:10:00Z").tick();
    assert_eq!((report.open, report.records), (0, 3));
    assert_eq!(harness.lake().watched().unwrap().running, [""; 0]);
    assert_quiet(&harness);
}

#[test]
fn run_that_was_not_continued() {
    let harness = started();
    let part =
        harness.put_run(run("orders", "clean", "2026-03-03T08:01:00Z").finished_at("2026-03-03T08:14:00Z").continues());
    assert_eq!(harness.at("2026-03-03T08:33:59Z").tick().open, 0);
    assert_eq!(harness.at("2026-03-03T08:34:00Z").tick().opened[0].incident, "orders.clean.never_ended#1");
    let message = only_message(&harness);
    assert!(
        message.what.contains("saved its progress at 08:14:00 UTC, and has not been continued."),
        "{}",
        message.what
    );
    assert_eq!(message.record(), format!("lake/runs/2026-03-03/{part}.json"));
    assert_eq!(harness.announced_steps(), ["orders/clean at 2026-03-03T08:01:00Z"]);
    // it continues: it has not ended yet, and is not announced again
    harness.put_run(run("orders", "clean", "2026-03-03T08:35:00Z").finished_at("2026-03-03T08:48:00Z").continues());
    let report = harness.at("2026-03-03T09:05:00Z").tick();
    assert_eq!((report.announced, report.resolved.len(), report.open), (0, 0, 1));
    harness.put_run(run("orders", "clean", "2026-03-03T08:49:00Z").finished_at("2026-03-03T09:06:00Z"));
    assert_eq!(harness.at("2026-03-03T09:10:00Z").tick().resolved.len(), 1);
    assert!(only_message(&harness).is_over());
}

/// Waits until the current run has stored its heartbeat, and checks it.
#[expect(clippy::disallowed_methods, reason = "waits for a thread")]
fn waits_for_its_mark(harness: &WatcherHarness, context: &Context<'_>) {
    let began = Instant::now();
    loop {
        let running = context.lake.watched().unwrap().running;
        if let [run_id] = running.as_slice() {
            let heartbeat: Heartbeat = serde_json::from_slice(&context.lake.running(run_id).unwrap().unwrap()).unwrap();
            assert_eq!(
                (heartbeat.pipeline.as_str(), &heartbeat.step, heartbeat.correlation_id.as_str()),
                ("orders", &StepId::Clean, "c")
            );
            assert!(
                heartbeat.alive_at > heartbeat.started_at && heartbeat.started_at == harness.now(),
                "{heartbeat:?}"
            );
            assert_eq!(harness.tick().open, 0);
            // as if the machine were switched off at this point: only the stored state remains
            harness.store().put(&"kept".into(), context.lake.running(run_id).unwrap().unwrap()).unwrap();
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "no mark");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn heartbeat_of_a_real_run() {
    let harness = started();
    harness.at("2026-03-03T08:01:00Z");
    let record = harness.with_context(&harness.lake(), |context| {
        let process = Process { heartbeat_after: Duration::from_millis(5), ..context.process };
        let context = Context { process, ..*context };
        let step = Looks(|context: &Context<'_>| waits_for_its_mark(&harness, context));
        step.run(&context, Executor::SEQUENTIAL, &Trigger::at(harness.now(), "c"))
    });
    assert_eq!(record.status, Status::NothingToDo);
    // a run that ends deletes its heartbeat
    assert_eq!(harness.lake().watched().unwrap().running, [""; 0]);
    // there is no run record, since there was nothing to do; with its heartbeat left, it looks as if it had been killed
    let kept = harness.store().get(&"kept".into()).unwrap();
    harness.lake().put_running(&record.run_id, kept.to_vec()).unwrap();
    assert_eq!(harness.at("2026-03-03T08:05:00Z").tick().open, 0);
    assert_eq!(harness.at("2026-03-03T08:06:30Z").tick().opened[0].incident, "orders.clean.never_ended#1");
    assert!(
        only_message(&harness).what.starts_with(&format!("run {} began at 2026-03-03 08:01:00 UTC", record.run_id))
    );
}
