//! What takes longer than it may: starts wait, and nothing is walked twice at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark::dev::{Signal, Time};
use tidemark_flow::{Activity, Heartbeat, RunRecord, Status};
use tidemark_pipeline::StepId;

use crate::support::api_server::{Fault, Rule, When};
use crate::support::dev_machine::{Office, Told};
use crate::support::http_server::{listen, reply};
use crate::support::running::run_step;
use crate::support::virtual_clock::Script;
use crate::support::virtual_clock::at;

/// A request that waits for its answer.
type Release = tokio::sync::oneshot::Sender<()>;

/// A clock by which an answer of the API takes its time, while the clock goes on.
struct Slow {
    now: Mutex<Timestamp>,
    end: Timestamp,
    lasts: SignedDuration,
    /// Gone once all answer at once: whoever asks then is not held back.
    asked: Mutex<Option<Receiver<Release>>>,
    answering: Mutex<Option<(Timestamp, Release)>>,
}

impl Slow {
    /// With the origin of the API.
    fn new(begin: Timestamp, end: Timestamp, lasts: SignedDuration) -> (Slow, String) {
        let (to_clock, asked): (Sender<Release>, _) = channel();
        let (address, _) = listen(move |_| {
            let (release, released) = tokio::sync::oneshot::channel();
            // what nobody takes is dropped, which is an answer
            let _ = to_clock.send(release);
            async move {
                // an error where nobody holds it back
                let _ = released.await;
                reply(200, r#"{"data":[],"meta":{"next":null}}"#)
            }
        });
        let (now, asked, answering) = (Mutex::new(begin), Mutex::new(Some(asked)), Mutex::default());
        (Slow { now, end, lasts, asked, answering }, format!("http://{address}"))
    }

    fn set(&self, until: Timestamp) {
        let mut now = self.now.lock().unwrap();
        *now = until.max(*now);
    }
}

impl Time for Slow {
    fn now(&self) -> Timestamp {
        let mut now = self.now.lock().unwrap();
        *now += SignedDuration::from_millis(1);
        *now
    }

    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, is_busy: bool) -> Option<Signal> {
        if until > self.end {
            *self.answering.lock().unwrap() = None;
            *self.asked.lock().unwrap() = None;
            return Some(Signal::Stop);
        }
        if !is_busy {
            self.set(until);
            return None;
        }
        let mut answering = self.answering.lock().unwrap();
        loop {
            if let Some(Ok(release)) = self.asked.lock().unwrap().as_ref().map(Receiver::try_recv) {
                *answering = Some((self.now() + self.lasts, release));
            }
            match answering.take() {
                Some((due, release)) if due <= until => {
                    self.set(due);
                    release.send(()).unwrap();
                }
                Some(later) => {
                    *answering = Some(later);
                    self.set(until);
                    return None;
                }
                None => {}
            }
            if let Ok(signal) = signals.recv_timeout(Duration::from_millis(2)) {
                return Some(signal);
            }
        }
    }
}

/// That no step was walked twice at once.
fn none_overlaps(records: &[RunRecord]) {
    let mut by_step: BTreeMap<&Activity, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for record in records {
        by_step.entry(&record.step).or_default().push((record.started_at, record.finished_at));
    }
    for (step, mut spans) in by_step {
        spans.sort();
        assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "{step}: {spans:?}");
    }
}

fn slow_office(catch_up: &str, origin: &str) -> Office {
    let office = Office::with_orders(&format!(r#"{{ rate = "5 minutes", catch_up = "{catch_up}" }}"#));
    let file = office.path("pipelines/orders.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("${ORDERS_API}", origin);
    // a step that takes so long would have said by a mark that it is under way, had it taken so long by the machine's clock
    std::fs::write(file, format!("{text}start_within = \"30m\"\n")).unwrap();
    office
}

/// Twelve minutes of work every five minutes, for two hours.
const LASTS: SignedDuration = SignedDuration::from_mins(12);

#[test]
fn of_starts_that_pile_up_the_last_is_enough() {
    let (begin, end) = (at("2026-03-01T00:01:00Z"), at("2026-03-01T02:01:00Z"));
    let (clock, origin) = Slow::new(begin, end, LASTS);
    let office = slow_office("last", &origin);
    let done = office.runs(&clock);
    let records = office.records();
    none_overlaps(&records);
    let ingests: Vec<_> = records.iter().filter(|record| record.step == StepId::Ingest.into()).collect();
    assert!((10..=11).contains(&ingests.len()) && done.started == ingests.len(), "{done:?}");
    // the clock of this test does not wait for the last
    for record in &ingests[..ingests.len() - 1] {
        assert_eq!(record.status, Status::Done);
        assert!(record.duration_ms >= 720_000 && record.duration_ms < 721_000, "{record:?}");
        // the latest there was when it began
        let late = record.started_at.duration_since(record.scheduled_time);
        assert!(late < SignedDuration::from_mins(5), "{late} after {}", record.scheduled_time);
    }
    // each scheduled time has been started, or has been passed over for a later one
    let times = end.duration_since(begin).as_mins() as usize / 5;
    assert!(done.started + done.skipped + 1 >= times, "{done:?}");
    // nobody has been told that it did not start, and the watcher looked all the time
    assert_eq!(office.told(), []);
    assert!(done.ticks >= 24, "{done:?}");
}

#[test]
fn where_each_is_wanted_they_wait_in_their_order() {
    let (begin, end) = (at("2026-03-01T00:01:00Z"), at("2026-03-01T01:01:00Z"));
    let (clock, origin) = Slow::new(begin, end, LASTS);
    let office = slow_office("all", &origin);
    let done = office.runs(&clock);
    none_overlaps(&office.records());
    let starts = office.starts("orders");
    let expected = |nth: i64| (at("2026-03-01T00:05:00Z") + SignedDuration::from_mins(5 * nth)).to_string();
    assert!((5..=6).contains(&starts.len()), "{starts:?}");
    assert_eq!(starts, (0..starts.len() as i64).map(expected).collect::<Vec<_>>());
    assert_eq!((done.started, done.skipped), (starts.len(), 0));
}

/// A first step that takes hours says by its mark that it has been started, and its record is not missed when it comes.
#[test]
fn a_long_first_step_has_started() {
    let office = Office::with_orders(r#"{ cron = "0 */4 * * ? *", timezone = "UTC" }"#);
    office.looks(at("2026-03-01T03:30:00Z"));
    let (lake, four) = (office.lake(), at("2026-03-01T04:00:00Z"));
    let run_id = "20260301T040000001-0000000a".to_owned();
    let mark = |alive_at| Heartbeat {
        run_id: run_id.clone(),
        pipeline: "orders".into(),
        step: StepId::Ingest,
        correlation_id: "chain".into(),
        scheduled_time: four,
        started_at: four,
        alive_at,
    };
    for minute in (1..=115).step_by(5) {
        let now = four + SignedDuration::from_mins(minute);
        lake.put_running(&run_id, serde_json::to_vec(&mark(now)).unwrap()).unwrap();
        let (ticked, announced) = office.looks(now);
        assert_eq!((ticked.open, ticked.records, announced.len()), (0, 0, 0), "{now}");
    }
    let now = four + SignedDuration::from_mins(119);
    let (clock, same_run_id) = (|| now, || run_id.clone());
    office.world.with_context(&lake, &tidemark_flow::Quiet, |context| {
        let context = tidemark_flow::Context { clock: &clock, run_id: &same_run_id, ..*context };
        let graph = tidemark::load(&office.common(), tidemark_flow::Selection::Named(&[])).unwrap();
        let trigger = tidemark_flow::Trigger { always_record: true, ..tidemark_flow::Trigger::at(four, "chain") };
        let pipeline = graph.pipeline("orders").unwrap();
        run_step(&context, &office.world, pipeline, &tidemark_pipeline::StepId::Ingest, &trigger);
    });
    lake.delete_running(&run_id).unwrap();
    let (ticked, announced) = office.looks(four + SignedDuration::from_mins(120));
    assert_eq!((ticked.open, ticked.records, announced.len()), (0, 1, 0));
}

#[test]
fn what_is_transient_is_tried_three_times_and_what_is_not_once() {
    let four_hours = r#"{ cron = "0 */4 * * ? *", timezone = "UTC" }"#;
    let office = Office::with_orders(four_hours);
    office.api.fail(Rule::new(When::Always, Fault::Answer(503, Vec::new(), "{}")));
    let done = office.runs(&Script::new(at("2026-03-01T03:30:00Z"), at("2026-03-01T04:20:00Z")));
    let records = office.records();
    let minutes: Vec<i64> = records.iter().map(|record| record.started_at.as_second() / 60 % 60).collect();
    // and once more, as often, when the watcher has had it tried again
    assert_eq!(minutes, [0, 1, 3, 8, 9, 11]);
    let of = |chain: &str| records.iter().filter(|record| record.correlation_id == chain).count();
    assert!(records.iter().all(|record| of(&record.correlation_id) == 3), "{records:#?}");
    assert_eq!((done.started, done.steps, done.failed, done.sent), (1, 6, 2, 1));

    let office = Office::with_orders(four_hours);
    let file = office.path("pipelines/orders.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("orders-api-token", "nobody-has-this");
    std::fs::write(file, text).unwrap();
    let done = office.runs(&Script::new(at("2026-03-01T03:30:00Z"), at("2026-03-01T05:20:00Z")));
    assert_eq!((done.started, done.steps, done.failed, done.sent), (1, 1, 1, 1));
}

#[test]
fn a_file_counts_as_it_is_now() {
    let office = Office::with_orders(r#"{ cron = "0 */4 * * ? *", timezone = "UTC" }"#);
    let file = office.path("pipelines/orders.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let hourly = good.replace("0 */4 * * ? *", "0 * * * ? *");
    let broken = good.replace("[contract.columns]", "[contract.colums]");
    let script = Script::new(at("2026-03-01T03:30:00Z"), at("2026-03-01T13:30:00Z"));
    let put = |text: String| {
        let file = file.clone();
        move || std::fs::write(file, text).unwrap()
    };
    script.at(at("2026-03-01T04:31:00Z"), put(hourly.clone()));
    script.at(at("2026-03-01T06:31:00Z"), put(broken));
    script.at(at("2026-03-01T08:31:00Z"), put(hourly));
    script.at(at("2026-03-01T09:31:00Z"), put(good));
    let told = Mutex::new(Vec::new());
    let script = script.seen_by(|now| told.lock().unwrap().resize(office.sink.count(), now));
    let done = office.runs(&script);
    // by the hour from the next look on; while it was broken two were missed, of which the last is made up for
    let hours = ["04", "05", "06", "08", "09", "12"];
    assert_eq!(office.starts("orders"), hours.map(|hour| format!("2026-03-01T{hour}:00:00Z")));
    assert_eq!((done.started, done.skipped), (6, 1));
    // told of once, within one look
    let incident = "orders.blind.definition#1".to_owned();
    let state = |state: &str| Told { incident: incident.clone(), state: state.to_owned() };
    assert_eq!(office.told(), [state("critical"), state("over")]);
    let told: Vec<i64> = told.lock().unwrap().iter().map(|at| at.as_second() / 60 % 1440).collect();
    assert!(
        (6 * 60 + 31..=6 * 60 + 36).contains(&told[0]) && (8 * 60 + 31..=8 * 60 + 36).contains(&told[1]),
        "{told:?}"
    );
}
