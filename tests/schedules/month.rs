//! A month of `orders` with a failure a day, each of another kind than the day before; a week of it, unless all is wanted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tidemark_flow::{Selection, Status, Trigger};

use crate::support::api_server::{Fault, Rule, When};
use crate::support::dev_machine::{Office, Told};
use crate::support::receivers::Trouble;
use crate::support::running::runs;
use crate::support::virtual_clock::Script;
use crate::support::virtual_clock::at;

/// Each kind of failure comes once; `TIDEMARK_MONTH=all`: all of March.
fn days() -> usize {
    if std::env::var_os("TIDEMARK_MONTH").is_some_and(|wanted| wanted == "all") { 31 } else { Kind::ALL.len() }
}

const FOUR_HOURS: SignedDuration = SignedDuration::from_hours(4);
/// Orders of four hours.
const ORDERS: usize = 20;

/// What goes wrong on a day, in turn; the start at eight o'clock meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The API is down at one start, and up before the watcher tries again.
    ApiDown,
    /// It is down for four starts.
    ApiDownLong,
    /// Too many orders have no amount; the shop mends them before the next start.
    TooManyBroken,
    /// What should be the folder of the database is a file.
    NoFolder,
    /// The watcher cannot read what it keeps; in the middle of it the API goes down.
    WatcherBlind,
    /// The API goes down, and the webhook is down for an hour.
    WebhookDown,
    /// It is gone at the second attempt.
    Blip,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::ApiDown,
        Kind::ApiDownLong,
        Kind::TooManyBroken,
        Kind::NoFolder,
        Kind::WatcherBlind,
        Kind::WebhookDown,
        Kind::Blip,
    ];

    fn for_day(day: usize) -> Kind {
        Kind::ALL[day % Kind::ALL.len()]
    }

    /// The incidents it opens.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Kind::ApiDown | Kind::ApiDownLong | Kind::WatcherBlind | Kind::WebhookDown => &["orders.ingest.failed"],
            Kind::TooManyBroken => &["orders.clean.over_budget"],
            Kind::NoFolder => &["orders.load_sqlite-orders.failed", "orders.load_sqlite-orders_by_day.failed"],
            Kind::Blip => &[],
        }
    }
}

/// An order as the API gives it. `amount` is none where it is a word.
fn order(id: usize, created: Timestamp, updated: Timestamp, amount: Option<usize>, status: &str) -> String {
    let amount = amount.map_or("twelve".to_owned(), |pence| format!("{}.{:02}", pence / 100, pence % 100));
    let country = ["GB", "DE", "FR"][id % 3];
    format!(
        r#"{{"id":{id},"created_at":"{created}","updated_at":"{updated}","customer":{{"id":{},"country":"{country}"}},"amount":"{amount}","currency":"GBP","status":"{status}"}}"#,
        12_000 + id % 70
    )
}

/// What comes in the four hours before a start: new orders, and one of a day ago that is shipped. `broken`: of the new, those without an
/// amount.
fn news(slot: usize, until: Timestamp, broken: usize) -> Vec<String> {
    let mut records = Vec::new();
    for nth in 0..ORDERS {
        let (id, made) = (100_000 + slot * ORDERS + nth, until - 3.hours() + (nth as i64 * 5).minutes());
        let amount = (nth >= broken).then_some(500 + id * 37 % 20_000);
        records.push(order(id, made, made, amount, ["paid", "open", "cancelled", "paid"][id % 4]));
    }
    if slot >= 6 {
        let id = 100_000 + (slot - 6) * ORDERS + 7;
        let made = until - 27.hours() + 35.minutes();
        records.push(order(id, made, until - 20.minutes(), Some(500 + id * 37 % 20_000), "shipped"));
    }
    records
}

/// Those of a slot that had no amount, mended.
fn mended(slot: usize, until: Timestamp, broken: usize) -> Vec<String> {
    let of = |nth: usize| {
        let (id, made) = (100_000 + slot * ORDERS + nth, until - 3.hours() + (nth as i64 * 5).minutes());
        order(id, made, until + 1.hour(), Some(500 + id * 37 % 20_000), "paid")
    };
    (0..broken).map(of).collect()
}

/// Puts the month on the script.
fn write<'a>(script: &Script<'a>, office: &'a Office, begin: Timestamp, days: usize, has_failures: bool) {
    const BROKEN: usize = 2;
    for slot in 0..days * 6 {
        let until = begin + FOUR_HOURS * slot as i32;
        let is_bad = has_failures && slot % 6 == 2 && Kind::for_day(slot / 6) == Kind::TooManyBroken;
        script.at(until - 10.minutes(), move || office.api.append(&news(slot, until, if is_bad { BROKEN } else { 0 })));
    }
    // mended or never broken, the month ends with the same orders
    for day in (0..days).filter(|day| Kind::for_day(*day) == Kind::TooManyBroken) {
        let slot = day * 6 + 2;
        let until = begin + FOUR_HOURS * slot as i32;
        script.at(until + 1.hour(), move || office.api.append(&mended(slot, until, BROKEN)));
    }
    let down = || drop(office.api.fail(Rule::new(When::Always, Fault::Answer(503, Vec::new(), "{}"))));
    let up = || office.api.recover();
    for day in (0..days).filter(|_| has_failures) {
        let midnight = begin + SignedDuration::from_hours(24 * day as i64);
        let time = |hour: i64, minute: i64| midnight + hour.hours() + minute.minutes();
        match Kind::for_day(day) {
            Kind::ApiDown => {
                script.at(time(7, 59), down);
                script.at(time(8, 20), up);
            }
            Kind::ApiDownLong => {
                script.at(time(3, 55), down);
                script.at(time(17, 10), up);
            }
            Kind::TooManyBroken => {}
            Kind::NoFolder => {
                script.at(time(7, 59), || {
                    std::fs::rename(office.path("out"), office.path("away")).unwrap();
                    std::fs::write(office.path("out"), "in the way").unwrap();
                });
                script.at(time(10, 0), || {
                    std::fs::remove_file(office.path("out")).unwrap();
                    std::fs::rename(office.path("away"), office.path("out")).unwrap();
                });
            }
            Kind::WatcherBlind => {
                script.at(time(7, 0), || office.gate.shut(true));
                script.at(time(7, 59), down);
                script.at(time(10, 2), || office.gate.shut(false));
                script.at(time(11, 0), up);
            }
            Kind::WebhookDown => {
                script.at(time(7, 59), down);
                script.at(time(8, 0), || office.sink.always(Some(Trouble::Says(500, "rollup_error"))));
                script.at(time(9, 2), || office.sink.always(None));
                script.at(time(11, 0), up);
            }
            Kind::Blip => {
                script.at(midnight + 8.hours() - 30.seconds(), down);
                script.at(midnight + 8.hours() + 30.seconds(), up);
            }
        }
    }
}

/// The rows of all tables of the database, and of the datasets they are of.
fn holds(office: &Office) -> BTreeMap<String, Vec<String>> {
    let mut held = BTreeMap::new();
    let database = rusqlite::Connection::open(office.path("out/orders.db")).unwrap();
    for table in ["orders", "orders_by_day"] {
        let mut statement = database.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..width).map(|at| row.get(at).map(|cell: rusqlite::types::Value| format!("{cell:?}"))).collect()
        };
        let rows =
            statement.query_map([], row).unwrap().map(|row| row.map(|row: Vec<String>| row.join(" | ")).unwrap());
        held.insert(table.to_owned(), rows.collect());
        let lake = office.lake();
        let dataset = lake.existing(&table.parse().unwrap()).unwrap();
        let rows = dataset.read(&lake, &dataset.files(&lake).unwrap()).unwrap();
        let rows = tidemark_transform::bag::sort(&rows).unwrap();
        let rows = (0..rows.height()).map(|at| format!("{:?}", rows.get(at).unwrap())).collect();
        held.insert(format!("dataset {table}"), rows);
    }
    held
}

/// One run over all there is in the end, on an empty lake.
fn at_once(orders: &Office, end: Timestamp) -> BTreeMap<String, Vec<String>> {
    let graph = tidemark::load(&orders.common(), Selection::Named(&[])).unwrap();
    let lake = orders.lake();
    let records = orders.world.with_context(&lake, &tidemark_flow::Quiet, |context| {
        runs(context, &orders.world, &graph, &["orders".to_owned()], &Trigger::at(end, "at-once"))
    });
    assert!(records.iter().all(|record| record.status == Status::Done), "{records:#?}");
    holds(orders)
}

#[test]
fn a_month_of_orders_with_a_failure_a_day() {
    let (begin, days) = (at("2026-03-01T00:00:00Z"), days());
    let end = begin + SignedDuration::from_hours(24 * days as i64);
    let office = Office::with_orders(r#"{ cron = "0 */4 * * ? *", timezone = "UTC" }"#);
    // when each message came
    let arrivals: Mutex<Vec<Timestamp>> = Mutex::default();
    let began = Instant::now();
    let done = {
        let script = Script::new(begin - SignedDuration::from_mins(30), end - SignedDuration::from_mins(1));
        let script = script.seen_by(|now| {
            arrivals.lock().unwrap().resize(office.sink.count(), now);
        });
        write(&script, &office, begin, days, true);
        office.runs(&script)
    };
    let wall = began.elapsed();

    // every scheduled start has its record
    let starts = office.starts("orders");
    let expected: Vec<String> = (0..days as i32 * 6).map(|slot| (begin + FOUR_HOURS * slot).to_string()).collect();
    let mut once = starts.clone();
    once.dedup();
    assert_eq!(once, expected);
    assert_eq!(done.started, expected.len());
    assert_eq!(done.skipped, 0);

    // one message that it is wrong and one that it is over for each incident, none missing, none twice
    let mut wanted = Vec::new();
    let mut openings: BTreeMap<&str, usize> = BTreeMap::new();
    for key in (0..days).flat_map(|day| Kind::for_day(day).keys()) {
        let nth = openings.entry(key).or_default();
        *nth += 1;
        for state in ["critical", "over"] {
            wanted.push(Told { incident: format!("{key}#{nth}"), state: state.to_owned() });
        }
    }
    let mut told = office.told();
    let arrivals = arrivals.into_inner().unwrap();
    assert_eq!(told.len(), arrivals.len());
    // from the first failed attempt to the message that says so, where nothing was in between
    let within = |kind: Kind, most: SignedDuration| {
        for ((told, at), key) in
            told.iter().zip(&arrivals).flat_map(|both| kind.keys().iter().map(move |key| (both, key)))
        {
            let hours = at.duration_since(begin).as_hours();
            let is_its = Kind::for_day(hours as usize / 24) == kind && told.incident.starts_with(key);
            if is_its && told.state == "critical" {
                let minutes = SignedDuration::from_secs(at.as_second().rem_euclid(4 * 3_600));
                assert!(minutes <= most, "{told:?} at {at}");
            }
        }
    };
    // three attempts take three minutes; what does not go by itself is told at once
    within(Kind::ApiDown, SignedDuration::from_mins(4));
    within(Kind::ApiDownLong, SignedDuration::from_mins(4));
    within(Kind::TooManyBroken, SignedDuration::from_secs(1));
    within(Kind::NoFolder, SignedDuration::from_secs(1));
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    assert_eq!(done.sent, wanted.len());
    assert!(watch::open_incidents(&office.lake()).unwrap().is_empty());

    // nothing was lost on the way, and nothing is there twice
    let held = holds(&office);
    let other = Office::with_orders(r#"{ cron = "0 */4 * * ? *", timezone = "UTC" }"#);
    let script = Script::new(begin - SignedDuration::from_mins(30), end);
    write(&script, &other, begin, days, false);
    script.plays_all();
    assert_eq!(held, at_once(&other, end));
    assert_eq!(held["orders"].len(), days * 6 * ORDERS);

    println!(
        "{days} days of orders: {} starts, {} steps run ({} failed), {} ticks, {} incidents, {} messages, none missing, none doubled; {:.1} s",
        done.started,
        done.steps,
        done.failed,
        done.ticks,
        wanted.len() / 2,
        done.sent,
        wall.as_secs_f64()
    );
}

#[test]
fn a_daily_schedule_over_the_change_of_the_clocks() {
    // 01:30 is passed over on the 29th, and eight o'clock comes an hour earlier
    for (cron, expected) in [
        ("30 1 * * ? *", ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("0 8 * * ? *", ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"]),
    ] {
        let office = Office::with_orders(&format!(r#"{{ cron = "{cron}", timezone = "Europe/London" }}"#));
        let done = office.runs(&Script::new(at("2026-03-27T20:00:00Z"), at("2026-03-30T20:00:00Z")));
        assert_eq!(office.starts("orders"), expected);
        assert_eq!((done.started, done.sent), (3, 0));
    }
}
