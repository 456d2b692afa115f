//! A machine that was off, or slept, or died on the way.

use jiff::SignedDuration;
use tidemark_flow::{Bus, Dispatcher, Error, Event, Executor, Selection, StepDue, Trigger};

use crate::support::dev_machine::Office;
use crate::support::project::{root, sales};
use crate::support::running::runs;
use crate::support::virtual_clock::Script;
use crate::support::virtual_clock::at;

fn every_four_hours(catch_up: &str) -> String {
    format!(r#"{{ cron = "0 */4 * * ? *", timezone = "UTC", catch_up = "{catch_up}" }}"#)
}

fn order(id: usize, when: &str) -> String {
    format!(
        r#"{{"id":{id},"created_at":"{when}","updated_at":"{when}","customer":{{"id":7,"country":"GB"}},"amount":"{id}.50","currency":"GBP","status":"paid"}}"#
    )
}

#[test]
fn three_days_off() {
    let made_up: Vec<String> = {
        let first = at("2026-03-01T12:00:00Z");
        (0..18).map(|nth| (first + SignedDuration::from_hours(4 * nth)).to_string()).collect()
    };
    for (catch_up, expected, passed_over) in
        [("last", &made_up[17..], 17), ("all", &made_up[..], 0), ("none", &made_up[18..], 18)]
    {
        let office = Office::with_orders(&every_four_hours(catch_up));
        office.api.append(&[order(1, "2026-03-01T03:00:00Z")]);
        office.runs(&Script::new(at("2026-03-01T00:30:00Z"), at("2026-03-01T09:00:00Z")));
        office.api.append(&[order(2, "2026-03-02T03:00:00Z")]);
        let done = office.runs(&Script::new(at("2026-03-04T09:30:00Z"), at("2026-03-04T13:00:00Z")));
        let all: Vec<&str> = ["2026-03-01T04:00:00Z", "2026-03-01T08:00:00Z"]
            .into_iter()
            .chain(expected.iter().map(String::as_str))
            .chain(["2026-03-04T12:00:00Z"])
            .collect();
        assert_eq!(office.starts("orders"), all, "{catch_up}");
        assert_eq!((done.started, done.skipped, done.sent), (expected.len() + 1, passed_over, 0), "{catch_up}");
        assert_eq!(office.count("orders"), 2, "{catch_up}");
    }
}

#[test]
fn a_machine_that_sleeps_is_as_one_that_was_off() {
    for (catch_up, missing, passed_over) in [("all", [].as_slice(), 0), ("last", &[4, 5], 2), ("none", &[4, 5, 6], 3)] {
        let hourly = every_four_hours(catch_up).replace("0 */4", "0 *");
        let office = Office::with_orders(&hourly);
        let script = Script::new(at("2026-03-01T00:30:00Z"), at("2026-03-01T09:30:00Z"));
        script.leap(at("2026-03-01T03:11:00Z"), at("2026-03-01T06:11:00Z"));
        let done = office.runs(&script);
        let hours = (1..=9).filter(|hour| !missing.contains(hour));
        assert_eq!(office.starts("orders"), hours.map(|hour| format!("2026-03-01T0{hour}:00:00Z")).collect::<Vec<_>>());
        assert_eq!((done.skipped, done.sent), (passed_over, 0), "{catch_up}");
    }
}

#[test]
fn every_missed_day_has_its_report() {
    let office = Office::new();
    let from = root().join("infra/pipelines");
    for file in crate::support::project::walk(&from) {
        let name = file.strip_prefix(&from).unwrap().to_str().unwrap();
        if name.starts_with("daily-sales") {
            office.write(&format!("pipelines/{name}"), &std::fs::read_to_string(&file).unwrap());
        }
    }
    let sold = |day: &str| {
        office.write(&format!("sales/{day}.csv"), &sales(day, &[("1", "A", 3, "2.50"), ("2", "B", 1, &day[8..])]))
    };
    sold("2026-03-01");
    let done = office.runs(&Script::new(at("2026-03-02T07:30:00Z"), at("2026-03-02T08:30:00Z")));
    assert_eq!(done.started, 1);
    ["2026-03-02", "2026-03-03", "2026-03-04"].into_iter().for_each(sold);
    let done = office.runs(&Script::new(at("2026-03-05T09:30:00Z"), at("2026-03-05T10:30:00Z")));
    assert_eq!((done.started, done.failed), (3, 0));
    let reports = |folder: &str| {
        let files = crate::support::project::walk(&office.path(folder));
        let named = files.into_iter().filter_map(|file| {
            let name = file.file_name()?.to_str()?.to_owned();
            name.starts_with("daily-sales-").then(|| (name, std::fs::read(&file).unwrap()))
        });
        named.collect::<std::collections::BTreeMap<_, _>>()
    };
    let by_dev = reports("out");
    for day in 1..=4 {
        assert!(by_dev.contains_key(&format!("daily-sales-2026-03-0{day}.xlsx")), "{:?}", by_dev.keys());
    }
    // as somebody would have made them by hand, one morning after the other
    let mut common = office.common();
    common.parameters.retain(|(name, _)| name != "REPORTS");
    common.parameters.push(("REPORTS".into(), office.path("by-hand").display().to_string()));
    let graph = tidemark::load(&common, Selection::Named(&[])).unwrap();
    let lake = office.world.empty_lake().unwrap();
    for day in 2..=5 {
        office.world.with_context(&lake, &tidemark_flow::Quiet, |context| {
            let trigger = Trigger::at(at(&format!("2026-03-0{day}T08:00:00Z")), "by-hand");
            runs(context, &office.world, &graph, &[], &trigger);
        });
    }
    let by_hand = reports("by-hand");
    assert_eq!(by_dev.keys().collect::<Vec<_>>(), by_hand.keys().collect::<Vec<_>>());
    let summaries = |reports: &std::collections::BTreeMap<String, Vec<u8>>| {
        reports
            .iter()
            .filter(|(name, _)| name.ends_with("summary.csv"))
            .map(|(_, bytes)| bytes.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(summaries(&by_dev), summaries(&by_hand));
}

#[test]
fn nothing_runs_before_its_time() {
    let office = Office::with_orders(&every_four_hours("all"));
    let done = office.runs(&Script::new(at("2026-03-01T00:30:00Z"), at("2026-03-01T03:59:00Z")));
    assert_eq!((done.started, done.steps, done.sent), (0, 0, 0));
    assert!(office.records().is_empty());
}

/// Whoever walked the first step died before he could say so.
#[test]
fn a_start_that_was_killed_half_way_is_done() {
    struct Dies;
    impl Bus for Dies {
        fn announce(&self, _: &[StepDue]) -> Result<(), Error> {
            Ok(())
        }
    }
    let office = Office::with_orders(&every_four_hours("last"));
    office.api.append(&[order(1, "2026-03-01T03:00:00Z")]);
    office.runs(&Script::new(at("2026-03-01T03:30:00Z"), at("2026-03-01T03:40:00Z")));
    let graph = tidemark::load(&office.common(), Selection::Named(&[])).unwrap();
    let (lake, four) = (office.lake(), at("2026-03-01T04:00:00Z"));
    office.world.with_context(&lake, &tidemark_flow::Quiet, |context| {
        let (clock, run_id) = (|| four, || tidemark_flow::host::run_id_at(four));
        let context = tidemark_flow::Context { clock: &clock, run_id: &run_id, ..*context };
        let event = Event::Schedule { pipeline: "orders".parse().unwrap(), scheduled_time: four };
        let dispatcher = Dispatcher {
            environment: &office.world,
            graph: &graph,
            bus: &Dies,
            executor: Executor::SEQUENTIAL,
            function: "ingest",
            steps: ingest::step,
        };
        dispatcher.handle(&context, &event, "killed").unwrap();
    });
    assert_eq!(office.records().len(), 1);
    let done = office.runs(&Script::new(at("2026-03-01T04:02:00Z"), at("2026-03-01T04:13:00Z")));
    assert_eq!((done.started, done.failed, done.sent), (0, 0, 0));
    assert_eq!(office.count("orders"), 1);
    let steps: Vec<String> = office.records().into_iter().map(|record| record.step.to_string()).collect();
    let of_chain = ["ingest", "clean", "model orders_by_day", "load sqlite-orders", "load sqlite-orders_by_day"];
    assert!(of_chain.iter().all(|step| steps.iter().any(|walked| walked == step)), "{steps:?}");
}
