//! When a pipeline is due: the instants of its cron in its time zone. Time is passed in; nothing here reads a clock.

mod cron;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

pub use cron::{Cron, CronError};

use crate::definition::Schedule;

/// Around a change of the clocks: a local time that does not exist fires at the first instant after the gap, one that
/// comes twice fires once, the first time. So a daily schedule fires exactly once on every day it names.
impl Schedule {
    /// The first instant it fires at after `after`; `None` once the years of the cron are over.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.timezone).ok()?;
        let first = zone.to_datetime(after).date();
        let times = self.cron.days_from(first).flat_map(|day| self.cron.times().map(move |time| at(day, time)));
        times.filter_map(|local| instant(&zone, local)).find(|time| *time > after)
    }

    /// The last instant it fired at, `until` included; `None` before the years of the cron.
    pub fn previous(&self, until: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.timezone).ok()?;
        let last = zone.to_datetime(until).date();
        let times = self.cron.days_until(last).flat_map(|day| self.cron.times().rev().map(move |time| at(day, time)));
        times.filter_map(|local| instant(&zone, local)).find(|time| *time <= until)
    }
}

fn at(day: Date, (hour, minute): (i8, i8)) -> DateTime {
    day.at(hour, minute, 0, 0)
}

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

/// The day before the one `at` is on in `timezone` (IANA name): the day a report run at that time is about.
///
/// # Errors
/// An unknown time zone, or a day before year -9999.
pub fn day_before(at: Timestamp, timezone: &str) -> Result<Date, jiff::Error> {
    TimeZone::get(timezone)?.to_datetime(at).date().yesterday()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, timezone: &str) -> Schedule {
        Schedule { cron: cron.parse().unwrap(), timezone: timezone.to_owned() }
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
    fn the_day_before() {
        let at: Timestamp = "2011-12-09T03:00:00Z".parse().unwrap();
        assert_eq!(day_before(at, "UTC").unwrap().to_string(), "2011-12-08");
        assert_eq!(day_before(at, "America/New_York").unwrap().to_string(), "2011-12-07");
        assert_eq!(day_before(at, "Asia/Tokyo").unwrap().to_string(), "2011-12-08");
        assert!(day_before(at, "Mars/Olympus").is_err());
    }
}
