//! Tests schedules at every clock change in five time zones over ten years. The reference implementation has no special cases for gaps and
//! folds: it steps through UTC, and records when each local time is first reached.

use std::iter::successors;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::schedule::{CatchUp, Fires, Schedule};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A cron, and the equivalent predicate over local times.
type Pattern = (&'static str, fn(DateTime) -> bool);

const DENSE: [Pattern; 5] = [
    ("0 * * * ? *", |at| at.minute() == 0),
    ("*/15 * * * ? *", |at| at.minute() % 15 == 0),
    ("0 */4 * * ? *", |at| at.minute() == 0 && at.hour() % 4 == 0),
    // crashed another scheduler at a clock change
    ("20 */4 * * ? *", |at| at.minute() == 20 && at.hour() % 4 == 0),
    ("10-50/20 0-4 ? * SAT,SUN,MON *", |at| {
        matches!(at.minute(), 10 | 30 | 50)
            && at.hour() <= 4
            && matches!(at.date().weekday(), Weekday::Saturday | Weekday::Sunday | Weekday::Monday)
    }),
];

const SPARSE: [Pattern; 9] = [
    ("30 1 L * ? *", |at| is(at, 1, 30) && last_of_month(at)),
    ("30 1,2 ? * SUN *", |at| (is(at, 1, 30) || is(at, 2, 30)) && at.date().weekday() == Weekday::Sunday),
    ("30 2 ? * SUN#2 *", |at| is(at, 2, 30) && at.date().weekday() == Weekday::Sunday && (8..15).contains(&at.day())),
    ("0 2 ? * 1#1 *", |at| is(at, 2, 0) && at.date().weekday() == Weekday::Sunday && at.day() < 8),
    ("30 1 ? * 1L *", |at| {
        is(at, 1, 30) && at.date().weekday() == Weekday::Sunday && at.date().days_in_month() - at.day() < 7
    }),
    ("30 0 15W * ? *", |at| is(at, 0, 30) && nearest_weekday(at, 15)),
    ("0 3 31W 3,10 ? *", |at| is(at, 3, 0) && matches!(at.month(), 3 | 10) && nearest_weekday(at, 31)),
    ("0 0 ? * MON-FRI *", |at| is(at, 0, 0) && is_weekday(at)),
    ("30 2 29 FEB ? *", |at| is(at, 2, 30) && at.month() == 2 && at.day() == 29),
];

fn is(at: DateTime, hour: i8, minute: i8) -> bool {
    (at.hour(), at.minute()) == (hour, minute)
}

fn last_of_month(at: DateTime) -> bool {
    at.date().tomorrow().unwrap().day() == 1
}

fn is_weekday(at: DateTime) -> bool {
    !matches!(at.date().weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Whether the date is the weekday of its month that is nearest to day `wanted`.
fn nearest_weekday(at: DateTime, wanted: i8) -> bool {
    let days = (1..=at.date().days_in_month()).map(|day| at.date().with().day(day).build().unwrap());
    let weekdays = days.filter(|day| is_weekday(day.at(0, 0, 0, 0)));
    wanted <= at.date().days_in_month()
        && weekdays.min_by_key(|day| (day.day() - wanted).abs()).map(|day| day.day()) == Some(at.day())
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    let fires = Fires::Cron(cron.parse().unwrap());
    Schedule { fires, timezone: zone.to_owned(), catch_up: CatchUp::Last }
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap()
}

/// Each local time, in steps of `step` seconds, with the instant at which it is first reached or passed.
fn scan(zone: &TimeZone, from: i64, to: i64, step: i64) -> Vec<(DateTime, Timestamp)> {
    let shown = |at: i64| at + i64::from(zone.to_offset(second(at)).seconds());
    let mut reached = shown(from);
    let mut passed = Vec::new();
    for at in (from + step..to).step_by(usize::try_from(step).unwrap()) {
        let now = shown(at);
        while reached < now {
            reached += step;
            passed.push((Offset::UTC.to_datetime(second(reached)), second(at)));
        }
    }
    passed
}

/// The instants at which a pattern fires, each once. All times within a gap fire at its end.
fn fires(passed: &[(DateTime, Timestamp)], matches: fn(DateTime) -> bool) -> Vec<Timestamp> {
    let mut fires: Vec<Timestamp> = passed.iter().filter(|(local, _)| matches(*local)).map(|(_, at)| *at).collect();
    fires.dedup();
    fires
}

/// Asserts that `next` and `previous` change exactly at `fires`.
fn agrees(schedule: &Schedule, fires: &[Timestamp]) {
    for pair in fires.windows(2) {
        let (one, other) = (pair[0], pair[1]);
        assert!(one < other, "{schedule}");
        assert_eq!(schedule.next(one), Some(other), "{schedule}: next of {one}");
        assert_eq!(schedule.next(just_before(other)), Some(other), "{schedule}: next just before {other}");
        assert_eq!(schedule.previous(other), Some(other), "{schedule}: previous of {other}");
        assert_eq!(schedule.previous(just_before(other)), Some(one), "{schedule}: previous just before {other}");
    }
}

fn around(name: &str, zone: &TimeZone, change: i64) {
    let passed = scan(zone, change - 2 * DAY, change + 2 * DAY, MINUTE);
    let near: Vec<(DateTime, Timestamp)> =
        passed.iter().filter(|(_, at)| (at.as_second() - change).abs() < 26 * HOUR).copied().collect();
    for (cron, meant) in DENSE {
        let (schedule, fires) = (schedule(cron, name), fires(&near, meant));
        agrees(&schedule, &fires);
        // also between scheduled times
        for at in (change - 3 * HOUR..change + 3 * HOUR).step_by(7 * 60 + 1).map(second) {
            assert_eq!(schedule.next(at), fires.iter().copied().find(|fire| *fire > at), "{schedule}: next of {at}");
            let before = fires.iter().copied().rfind(|fire| *fire <= at);
            assert_eq!(schedule.previous(at), before, "{schedule}: previous of {at}");
        }
    }
    // daily schedules at each skipped or repeated minute, and at some minutes on either side
    let shown = [change - 1, change].map(|at| at + i64::from(zone.to_offset(second(at)).seconds()));
    let (low, high) = (shown[0].min(shown[1]) / MINUTE - 5, shown[0].max(shown[1]) / MINUTE + 5);
    let first = Offset::UTC.to_timestamp(passed[0].0).unwrap().as_second() / MINUTE;
    for minute in low..=high {
        let local = Offset::UTC.to_datetime(second(minute * MINUTE));
        let start = usize::try_from((minute - first).rem_euclid(1440)).unwrap();
        let days: Vec<(DateTime, Timestamp)> = passed.iter().skip(start).step_by(1440).copied().collect();
        assert!(days.iter().all(|(at, _)| is(*at, local.hour(), local.minute())));
        let dates = successors(Some(days[0].0.date()), |day| day.tomorrow().ok());
        assert!((3..=5).contains(&days.len()) && days.iter().map(|(at, _)| at.date()).eq(dates.take(days.len())));
        let fires: Vec<Timestamp> = days.into_iter().map(|(_, at)| at).collect();
        agrees(&schedule(&format!("{} {} * * ? *", local.minute(), local.hour()), name), &fires);
    }
}

fn prove(name: &str) {
    let zone = TimeZone::get(name).unwrap();
    let (from, to): (Timestamp, Timestamp) =
        ("2024-01-01T00:00:00Z".parse().unwrap(), "2034-01-01T00:00:00Z".parse().unwrap());
    let changes: Vec<i64> = zone
        .following(from)
        .map(|change| change.timestamp())
        .take_while(|change| *change < to)
        .map(|change| change.as_second())
        .collect();
    assert!(changes.len() >= 20, "{name}: at least two a year");
    changes.iter().for_each(|change| around(name, &zone, *change));
    // sparse patterns over all ten years; the clock changes of these zones are at whole half hours
    let passed = scan(&zone, from.as_second(), to.as_second(), 30 * MINUTE);
    for (cron, meant) in SPARSE {
        let fires = fires(&passed, meant);
        assert!(fires.len() >= 3, "{cron}");
        agrees(&schedule(cron, name), &fires);
    }
    // one fire a day, at a local time that is skipped once a year, and at one that is repeated once a year
    let times: Vec<DateTime> = changes[..2].iter().map(|change| in_between(&zone, *change)).collect();
    for time in times {
        let daily = schedule(&format!("{} {} * * ? *", time.minute(), time.hour()), name);
        let fires = successors(daily.next(from), |at| daily.next(*at)).take_while(|at| *at < to);
        let days = fires.map(|at| zone.to_datetime(at).date());
        let first = zone.to_datetime(daily.next(from).unwrap()).date();
        let expected: Vec<_> = successors(Some(first), |day| day.tomorrow().ok()).take(3_653).collect();
        assert!(days.eq(expected), "{daily}");
    }
}

/// The local time 15 minutes into the period that a clock change skips or repeats.
fn in_between(zone: &TimeZone, change: i64) -> DateTime {
    let shown = [change - 1, change].map(|at| at + i64::from(zone.to_offset(second(at)).seconds()));
    Offset::UTC.to_datetime(second(shown[0].min(shown[1]) + 15 * MINUTE))
}

#[test]
fn london() {
    prove("Europe/London");
}

#[test]
fn new_york() {
    prove("America/New_York");
}

/// Changes by half an hour.
#[test]
fn lord_howe() {
    prove("Australia/Lord_Howe");
}

/// Changes at midnight.
#[test]
fn santiago() {
    prove("America/Santiago");
}

/// Changes for Ramadan.
#[test]
fn casablanca() {
    prove("Africa/Casablanca");
}
