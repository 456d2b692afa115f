//! Scheduled times of pipelines: a cron in a time zone, or a rate. Time is passed in; nothing here reads a clock.

mod cron;
pub mod expression;
mod quiet;
mod rate;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::Serialize;

pub use cron::{Cron, CronError};
pub use rate::{Rate, RateError};

/// The schedule of a pipeline: `schedule = { cron = "0 8 * * ? *", timezone = "Europe/London" }` or `{ rate = "4 hours" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    #[serde(flatten)]
    pub fires: Fires,
    /// IANA time zone of a cron; `UTC` by default, and for a rate.
    pub timezone: String,
    pub catch_up: CatchUp,
}

/// The times at which a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fires {
    /// Six AWS cron fields: minute hour day-of-month month day-of-week year.
    Cron(Cron),
    /// `4 hours`: at multiples of the period since 1970-01-01T00:00:00Z.
    Rate(Rate),
}

/// `catch_up = "last"`: handling of scheduled times that `tidemark dev` missed, because it was stopped, the machine was suspended, or the
/// previous run took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// One run, for the last missed time.
    #[default]
    Last,
    /// A run for each missed time, in order.
    All,
    /// No run until the next scheduled time. Written `"none"`.
    #[serde(rename = "none")]
    Nothing,
}

/// Clock changes: a cron fires once for each local time. A local time within a gap fires at the first instant after the gap; a repeated
/// local time fires at its first occurrence. A rate is independent of time zones.
impl Schedule {
    /// The first scheduled time after `after`; `None` after the last year of the cron.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let cron = match &self.fires {
            Fires::Cron(cron) => cron,
            Fires::Rate(rate) => return rate.next(after),
        };
        let zone = TimeZone::get(&self.timezone).ok()?;
        let times = cron.after(zone.to_datetime(after));
        // a repeated local time has fired at its first occurrence
        times.filter_map(|local| instant(&zone, local)).find(|time| *time > after)
    }

    /// The last scheduled time, at most `until`; `None` before the first year of the cron.
    pub fn previous(&self, until: Timestamp) -> Option<Timestamp> {
        let cron = match &self.fires {
            Fires::Cron(cron) => cron,
            Fires::Rate(rate) => return rate.previous(until),
        };
        let zone = TimeZone::get(&self.timezone).ok()?;
        let times = cron.until(latest_shown(&zone, until)?);
        times.filter_map(|local| instant(&zone, local)).find(|time| *time <= until)
    }

    /// Period of a rate in seconds; `None` for a cron.
    pub fn period_s(&self) -> Option<i64> {
        match &self.fires {
            Fires::Cron(_) => None,
            Fires::Rate(rate) => Some(rate.period_s()),
        }
    }
}

/// `cron 0 8 * * ? * (Europe/London)`, `rate 4 hours`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fires {
            Fires::Cron(cron) => write!(f, "cron {cron} ({})", self.timezone),
            Fires::Rate(rate) => write!(f, "rate {rate}"),
        }
    }
}

/// The first instant with this local time, or the end of the gap that it lies in.
fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            let before = ambiguous.earlier().ok()?;
            zone.following(before).next().map(|transition| transition.timestamp())
        }
        AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => ambiguous.earlier().ok(),
    }
}

/// The latest local time of the zone up to `at`. During a repeated hour that is the end of the hour, which may be on the next day.
fn latest_shown(zone: &TimeZone, at: Timestamp) -> Option<DateTime> {
    let local = zone.to_datetime(at);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Fold { before, after } => local.checked_add(before.duration_since(after)).ok(),
        AmbiguousOffset::Gap { .. } | AmbiguousOffset::Unambiguous { .. } => Some(local),
    }
}

/// The day before that of `at` in `timezone` (IANA name): the day of a report that is made at that time.
///
/// # Errors
/// The time zone is unknown, or the day is before year -9999.
pub fn day_before(at: Timestamp, timezone: &str) -> Result<Date, jiff::Error> {
    TimeZone::get(timezone)?.to_datetime(at).date().yesterday()
}

#[cfg(test)]
mod transitions;

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, timezone: &str) -> Schedule {
        let fires = Fires::Cron(cron.parse().unwrap());
        Schedule { fires, timezone: timezone.to_owned(), catch_up: CatchUp::Last }
    }

    fn rate(text: &str) -> Schedule {
        Schedule { fires: Fires::Rate(text.parse().unwrap()), timezone: "UTC".to_owned(), catch_up: CatchUp::Last }
    }

    fn next(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
        let first = after.parse().unwrap();
        std::iter::successors(Some(first), |time| schedule.next(*time))
            .skip(1)
            .take(count)
            .map(|t| t.to_string())
            .collect()
    }

    fn previous(schedule: &Schedule, until: &str) -> String {
        schedule.previous(until.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn eight_in_london_moves_with_the_summer() {
        let daily = schedule("0 8 * * ? *", "Europe/London");
        assert_eq!(next(&daily, "2024-03-30T07:59:59Z", 2), ["2024-03-30T08:00:00Z", "2024-03-31T07:00:00Z"]);
        assert_eq!(next(&daily, "2024-03-30T08:00:00Z", 1), ["2024-03-31T07:00:00Z"]);
        assert_eq!(next(&daily, "2024-10-26T12:00:00Z", 1), ["2024-10-27T08:00:00Z"]);
        assert_eq!(previous(&daily, "2024-03-31T07:00:00Z"), "2024-03-31T07:00:00Z");
        assert_eq!(previous(&daily, "2024-03-31T06:59:59Z"), "2024-03-30T08:00:00Z");
    }

    #[test]
    fn a_time_in_the_gap_fires_when_the_gap_ends() {
        let daily = schedule("30 2 * * ? *", "Europe/Berlin");
        let days = ["2024-03-30T01:30:00Z", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"];
        assert_eq!(next(&daily, "2024-03-29T12:00:00Z", 3), days);
        assert_eq!(previous(&daily, "2024-03-31T23:00:00Z"), days[1]);
        let quarters = schedule("*/15 * * * ? *", "Europe/Berlin");
        let around = ["2024-03-31T00:45:00Z", "2024-03-31T01:00:00Z", "2024-03-31T01:15:00Z"];
        assert_eq!(next(&quarters, "2024-03-31T00:30:00Z", 3), around);
    }

    #[test]
    fn a_time_that_comes_twice_fires_the_first_time() {
        let daily = schedule("30 2 * * ? *", "Europe/Berlin");
        let days = ["2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"];
        assert_eq!(next(&daily, "2024-10-26T12:00:00Z", 2), days);
        assert_eq!(next(&daily, "2024-10-27T01:10:00Z", 1), [days[1]]);
        assert_eq!(previous(&daily, "2024-10-27T01:45:00Z"), days[0]);
    }

    #[test]
    fn a_day_that_a_country_skipped() {
        // Samoa went from 29 to 31 December 2011
        let daily = schedule("0 12 * * ? *", "Pacific/Apia");
        let days = ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"];
        assert_eq!(next(&daily, "2011-12-29T12:00:00Z", 3), days);
    }

    #[test]
    fn next_and_previous_agree() {
        for cron in ["0 8 * * ? *", "30 1,2 * * ? *", "0 0 ? * MON *", "15 3 L * ? *", "*/20 * * * ? *"] {
            for zone in ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] {
                let schedule = schedule(cron, zone);
                let mut time: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
                for _ in 0..500 {
                    let next = schedule.next(time).unwrap();
                    assert!(next > time);
                    assert_eq!(schedule.previous(next), Some(next), "{cron} {zone}");
                    if schedule.previous(time) == Some(time) {
                        let just_before = next.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
                        assert_eq!(schedule.previous(just_before), Some(time), "{cron} {zone}");
                    }
                    time = next;
                }
            }
        }
    }

    #[test]
    fn a_schedule_ends_with_its_years() {
        let once = schedule("0 8 1 1 ? 2024", "UTC");
        assert_eq!(next(&once, "2020-01-01T00:00:00Z", 5), ["2024-01-01T08:00:00Z"]);
        assert_eq!(once.next("2024-01-01T08:00:00Z".parse().unwrap()), None);
        assert_eq!(once.previous("2023-01-01T08:00:00Z".parse().unwrap()), None);
        assert_eq!(previous(&once, "2099-01-01T00:00:00Z"), "2024-01-01T08:00:00Z");
    }

    #[test]
    fn midnight_that_comes_twice() {
        // on 7 November 2010 Goose Bay went from 00:01 back to 23:01 of the day before
        let midnight = schedule("0 0 * * ? *", "America/Goose_Bay");
        let first = "2010-11-07T03:00:00Z";
        assert_eq!(next(&midnight, "2010-11-06T12:00:00Z", 2), [first, "2010-11-08T04:00:00Z"]);
        for until in ["2010-11-07T03:00:00Z", "2010-11-07T03:00:59Z", "2010-11-07T03:30:00Z", "2010-11-07T04:30:00Z"] {
            assert_eq!(previous(&midnight, until), first, "{until}");
        }
    }

    #[test]
    fn sparse_years_are_found_from_afar() {
        let far = schedule("0 8 29 FEB ? 2196", "Europe/London");
        assert_eq!(next(&far, "1970-01-01T00:00:00Z", 2), ["2196-02-29T08:00:00Z"]);
        assert_eq!(previous(&far, "9999-01-01T00:00:00Z"), "2196-02-29T08:00:00Z");
        let fifth = schedule("0 8 ? FEB MON#5 *", "UTC");
        assert_eq!(next(&fifth, "2026-01-01T00:00:00Z", 2), ["2044-02-29T08:00:00Z", "2072-02-29T08:00:00Z"]);
        assert_eq!(previous(&fifth, "2026-01-01T00:00:00Z"), "2016-02-29T08:00:00Z");
    }

    #[test]
    fn a_rate_fires_at_its_multiples() {
        let four = rate("4 hours");
        assert_eq!(next(&four, "2026-03-29T00:59:59Z", 2), ["2026-03-29T04:00:00Z", "2026-03-29T08:00:00Z"]);
        assert_eq!(next(&four, "2026-03-29T04:00:00Z", 1), ["2026-03-29T08:00:00Z"]);
        assert_eq!(previous(&four, "2026-03-29T04:00:00Z"), "2026-03-29T04:00:00Z");
        assert_eq!(previous(&four, "2026-03-29T03:59:59.999999999Z"), "2026-03-29T00:00:00Z");
        assert_eq!(next(&rate("1 minute"), "2026-03-29T00:59:59.5Z", 1), ["2026-03-29T01:00:00Z"]);
        // 7 days since a Thursday are Thursdays
        assert_eq!(next(&rate("7 days"), "2026-03-29T00:00:00Z", 1), ["2026-04-02T00:00:00Z"]);
        // before 1970 too
        assert_eq!(next(&four, "1969-12-31T23:59:59.5Z", 1), ["1970-01-01T00:00:00Z"]);
        assert_eq!(previous(&four, "1969-12-31T23:59:59.5Z"), "1969-12-31T20:00:00Z");
        assert_eq!(rate("3660 days").next(Timestamp::MAX), None);
        assert_eq!(rate("3660 days").previous(Timestamp::MIN), None);
    }

    #[test]
    fn a_schedule_in_words() {
        assert_eq!(schedule(" 0  8 * * ? *", "Europe/London").to_string(), "cron 0 8 * * ? * (Europe/London)");
        assert_eq!(rate("4 hours").to_string(), "rate 4 hours");
        assert_eq!(rate("1 day").to_string(), "rate 1 day");
        assert_eq!((rate("1 day").period_s(), rate("15 minutes").period_s()), (Some(86_400), Some(900)));
        assert_eq!(schedule("0 8 * * ? *", "UTC").period_s(), None);
    }

    #[test]
    fn the_day_before() {
        let at: Timestamp = "2011-12-09T03:00:00Z".parse().unwrap();
        assert_eq!(day_before(at, "UTC").unwrap().to_string(), "2011-12-08");
        assert_eq!(day_before(at, "America/New_York").unwrap().to_string(), "2011-12-07");
        assert_eq!(day_before(at, "Asia/Tokyo").unwrap().to_string(), "2011-12-08");
        assert!(day_before(at, "Mars/Olympus").is_err());
    }
}
