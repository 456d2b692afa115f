//! Quiet hours: a daily period between two local times.

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::instant;
use crate::definition::alerts::Quiet;

/// Clock changes are handled as for a [`super::Schedule`]: a repeated local time counts at its first occurrence, one within a gap at the
/// end of the gap. So there is one quiet period a day.
impl Quiet {
    pub fn is_quiet(&self, at: Timestamp) -> bool {
        self.ends(at).is_some()
    }

    /// The end of the quiet hours that contain `at`; `None` if there are none.
    pub fn ends(&self, at: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.timezone).ok()?;
        let today = zone.to_datetime(at).date();
        let mut end = None;
        // two days on either side, because clocks can skip a whole day, or go back past midnight
        for day in (-2..=2).filter_map(|days| today.checked_add(days.days()).ok()) {
            let last = if self.to > self.from { Some(day) } else { day.tomorrow().ok() };
            let from = instant(&zone, day.to_datetime(self.from));
            let to = last.and_then(|day| instant(&zone, day.to_datetime(self.to)));
            if let (Some(from), Some(to)) = (from, to)
                && (from..to).contains(&end.unwrap_or(at))
            {
                end = Some(to);
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(from: &str, to: &str, timezone: &str) -> Quiet {
        Quiet { from: from.parse().unwrap(), to: to.parse().unwrap(), timezone: timezone.to_owned(), except: None }
    }

    fn ends(quiet: &Quiet, at: &str) -> Option<String> {
        let at = at.parse().unwrap();
        assert_eq!(quiet.is_quiet(at), quiet.ends(at).is_some());
        quiet.ends(at).map(|end| {
            assert!(end > at && !quiet.is_quiet(end), "{end} is the end");
            end.to_string()
        })
    }

    #[test]
    fn over_midnight_and_within_a_day() {
        let night = quiet("22:00", "07:00", "UTC");
        let morning = Some("2026-11-26T07:00:00Z".to_owned());
        assert_eq!(ends(&night, "2026-11-25T21:59:59.999Z"), None);
        for at in ["2026-11-25T22:00:00Z", "2026-11-25T23:59:59Z", "2026-11-26T00:00:00Z", "2026-11-26T06:59:59.999Z"] {
            assert_eq!(ends(&night, at), morning, "{at}");
        }
        assert_eq!(ends(&night, "2026-11-26T07:00:00Z"), None);
        let noon = quiet("12:00", "13:30", "Asia/Kathmandu");
        assert_eq!(ends(&noon, "2026-11-26T06:15:00Z"), Some("2026-11-26T07:45:00Z".into()));
        assert_eq!(ends(&noon, "2026-11-26T06:14:59Z"), None);
        assert_eq!(ends(&noon, "2026-11-26T07:45:00Z"), None);
    }

    #[test]
    fn the_clocks_change_in_the_night() {
        let night = quiet("22:00", "07:00", "Europe/London");
        // eight hours in March, ten in October
        assert_eq!(ends(&night, "2026-03-28T22:00:00Z"), Some("2026-03-29T06:00:00Z".into()));
        assert_eq!(ends(&night, "2026-03-29T06:00:00Z"), None);
        assert_eq!(ends(&night, "2026-10-24T21:00:00Z"), Some("2026-10-25T07:00:00Z".into()));
    }

    #[test]
    fn the_end_is_in_the_gap_or_comes_twice() {
        let night = quiet("22:00", "01:30", "Europe/London");
        assert_eq!(ends(&night, "2026-03-29T00:30:00Z"), Some("2026-03-29T01:00:00Z".into()));
        assert_eq!(ends(&night, "2026-10-25T00:15:00Z"), Some("2026-10-25T00:30:00Z".into()));
        // the second 01:10: the hours are over
        assert_eq!(ends(&night, "2026-10-25T01:10:00Z"), None);
    }

    #[test]
    fn the_start_is_in_the_gap_or_comes_twice() {
        let night = quiet("01:30", "05:00", "Europe/London");
        assert_eq!(ends(&night, "2026-03-29T00:59:59Z"), None);
        assert_eq!(ends(&night, "2026-03-29T01:00:00Z"), Some("2026-03-29T04:00:00Z".into()));
        // the second 01:10: they have begun
        assert_eq!(ends(&night, "2026-10-25T00:29:59Z"), None);
        assert_eq!(ends(&night, "2026-10-25T01:10:00Z"), Some("2026-10-25T05:00:00Z".into()));
        // both in the gap: none on that day
        assert_eq!(ends(&quiet("01:10", "01:50", "Europe/London"), "2026-03-29T01:00:00Z"), None);
        // the whole day except the gap
        let day = quiet("01:50", "01:10", "Europe/London");
        assert_eq!(ends(&day, "2026-03-29T00:30:00Z"), Some("2026-03-30T00:10:00Z".into()));
    }

    #[test]
    fn a_day_that_a_country_skipped() {
        // Samoa went from 29 to 31 December 2011 at midnight
        let night = quiet("22:00", "07:00", "Pacific/Apia");
        assert_eq!(ends(&night, "2011-12-30T08:30:00Z"), Some("2011-12-30T17:00:00Z".into()));
        assert_eq!(ends(&night, "2011-12-30T10:00:00Z"), Some("2011-12-30T17:00:00Z".into()));
    }

    #[test]
    fn at_the_ends_of_time() {
        let night = quiet("22:00", "07:00", "UTC");
        assert!(!night.is_quiet(Timestamp::MAX) || night.ends(Timestamp::MAX).is_some());
        assert!(!night.is_quiet(Timestamp::MIN) || night.ends(Timestamp::MIN).is_some());
    }
}
