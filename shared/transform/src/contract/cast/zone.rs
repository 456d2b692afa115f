//! Converts between local time and UTC in one time zone. Caches the last span of constant offset, because times mostly come in order.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::time::DAY_US;

/// Why a local time is not a unique instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// The clock was set forward past this time, so it does not exist.
    Gap,
    /// The clock was set back, so this time occurred twice.
    Fold,
}

#[derive(Debug, Clone)]
pub(crate) struct Zone {
    /// None means UTC.
    zone: Option<TimeZone>,
    /// Cached span: its start (inclusive), its end (exclusive), and how far local time is ahead of UTC in it, all in microseconds.
    span: (i64, i64, i64),
}

impl Zone {
    pub(crate) fn new(name: Option<&str>) -> Result<Zone, jiff::Error> {
        let zone = match name {
            None | Some("UTC") => None,
            Some(name) => Some(TimeZone::get(name)?),
        };
        Ok(Zone { zone, span: (0, 0, 0) })
    }

    /// The instant of a local time, both in microseconds since 1970.
    pub(crate) fn instant(&mut self, local: i64) -> Result<i64, Skipped> {
        let Some(zone) = &self.zone else { return Ok(local) };
        let (from, until, ahead) = self.span;
        let instant = local - ahead;
        // Offsets change by less than a day, so a day away from either end of the span there is neither gap nor fold.
        if instant >= from.saturating_add(DAY_US) && instant < until.saturating_sub(DAY_US) {
            return Ok(instant);
        }
        let offset = match zone.to_ambiguous_timestamp(civil_of(local)).offset() {
            AmbiguousOffset::Unambiguous { offset } => i64::from(offset.seconds()) * 1_000_000,
            AmbiguousOffset::Gap { .. } => return Err(Skipped::Gap),
            AmbiguousOffset::Fold { .. } => return Err(Skipped::Fold),
        };
        self.find_span(local - offset);
        Ok(local - offset)
    }

    /// The local day (days since 1970-01-01) of an instant.
    pub(crate) fn day(&mut self, instant: i64) -> i32 {
        let ahead = if self.zone.is_none() {
            0
        } else {
            if instant < self.span.0 || instant >= self.span.1 {
                self.find_span(instant);
            }
            self.span.2
        };
        // The days of the years 1 to 9999 fit in an i32.
        (instant + ahead).div_euclid(DAY_US) as i32
    }

    fn find_span(&mut self, instant: i64) {
        let Some(zone) = &self.zone else { return };
        let at = clamp(instant);
        let just_after = at.checked_add(jiff::SignedDuration::from_micros(1)).unwrap_or(Timestamp::MAX);
        let from = zone.preceding(just_after).next().map_or(i64::MIN, |change| change.timestamp().as_microsecond());
        let until = zone.following(at).next().map_or(i64::MAX, |change| change.timestamp().as_microsecond());
        self.span = (from, until, i64::from(zone.to_offset(at).seconds()) * 1_000_000);
    }
}

fn clamp(instant: i64) -> Timestamp {
    let end = if instant < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(instant).unwrap_or(end)
}

/// The civil datetime of a local time in microseconds. The years are 1 to 9999, all of which a civil datetime can hold.
fn civil_of(local: i64) -> civil::DateTime {
    let day = jiff::SignedDuration::from_hours(24 * local.div_euclid(DAY_US));
    let time = jiff::SignedDuration::from_micros(local.rem_euclid(DAY_US));
    let epoch = civil::date(1970, 1, 1).at(0, 0, 0, 0);
    epoch.saturating_add(day).saturating_add(time)
}

#[cfg(test)]
mod tests {
    use super::super::time::iso_datetime;
    use super::*;

    fn micros(text: &str) -> i64 {
        let moment = iso_datetime(text.as_bytes()).unwrap();
        i64::from(moment.day.unwrap()) * DAY_US + moment.time.unwrap()
    }

    #[test]
    fn gaps_and_folds_are_errors() {
        let mut berlin = Zone::new(Some("Europe/Berlin")).unwrap();
        for _ in 0..2 {
            assert_eq!(berlin.instant(micros("2024-07-01T12:00:00")), Ok(micros("2024-07-01T10:00:00")));
            assert_eq!(berlin.instant(micros("2024-03-31T01:59:59")), Ok(micros("2024-03-31T00:59:59")));
            assert_eq!(berlin.instant(micros("2024-03-31T02:30:00")), Err(Skipped::Gap));
            assert_eq!(berlin.instant(micros("2024-03-31T03:00:00")), Ok(micros("2024-03-31T01:00:00")));
            assert_eq!(berlin.instant(micros("2024-10-27T02:30:00")), Err(Skipped::Fold));
            assert_eq!(berlin.instant(micros("2024-10-27T03:00:00")), Ok(micros("2024-10-27T02:00:00")));
        }
        assert_eq!(berlin.instant(micros("0001-01-01T00:53:28")), Ok(micros("0001-01-01T00:00:00")));
        assert!(berlin.instant(micros("9999-12-31T23:59:59")).is_ok());
    }

    #[test]
    fn the_cached_span_gives_the_same_results() {
        let names = ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Europe/London"];
        for name in names {
            let mut cached = Zone::new(Some(name)).unwrap();
            let zone = TimeZone::get(name).unwrap();
            let mut local = micros("1965-01-01T00:10:00");
            while local < micros("2045-01-01T00:00:00") {
                let fresh = Zone::new(Some(name)).unwrap().instant(local);
                assert_eq!(cached.instant(local), fresh, "{name} {local}");
                if let Ok(instant) = fresh {
                    let date = Timestamp::from_microsecond(instant).unwrap().to_zoned(zone.clone()).date();
                    let day = civil::date(1970, 1, 1).until(date).unwrap().get_days();
                    assert_eq!(cached.day(instant), day, "{name} {instant}");
                }
                local += 7 * 3600 * 1_000_000 + 1_800_000_000;
            }
        }
    }
}
