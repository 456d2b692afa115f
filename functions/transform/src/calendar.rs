//! Partitions as days: when one is over, and which hang on which.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tidemark_pipeline::{Every, PartitionBy};

/// The first day of a partition; rows without a date are a partition of their own.
pub(crate) type Day = Option<Date>;

/// Whose days the partitions of a pipeline are, and how long one is.
pub(crate) struct Calendar {
    timezone: TimeZone,
    every: Every,
}

impl Calendar {
    /// Of a contract's partitions; days of UTC where there are none.
    pub(crate) fn of(by: Option<&PartitionBy>) -> Calendar {
        let timezone = by.and_then(|by| by.timezone.as_deref()).and_then(|name| TimeZone::get(name).ok());
        let every = by.and_then(|by| by.every).unwrap_or(Every::Day);
        Calendar { timezone: timezone.unwrap_or(TimeZone::UTC), every }
    }

    /// Whether the watermark has passed the end of the partition that begins with a day. Rows without a date are never complete.
    pub(crate) fn is_over(&self, first: Day, watermark: Option<Timestamp>) -> bool {
        let span = match self.every {
            Every::Day => Span::new().days(1),
            Every::Month => Span::new().months(1),
        };
        let end = first
            .and_then(|first| first.checked_add(span).ok())
            .and_then(|next| next.to_zoned(self.timezone.clone()).ok());
        end.is_some_and(|end| watermark.is_some_and(|mark| end.timestamp() <= mark))
    }
}

/// A day and those after it that hang on it.
pub(crate) fn from(day: Day, lookback: u32) -> impl Iterator<Item = Day> {
    near(day, (0..=lookback).map(i64::from))
}

/// A day and those before it that it hangs on.
pub(crate) fn until(day: Day, lookback: u32) -> impl Iterator<Item = Day> {
    near(day, (0..=lookback).map(|n| -i64::from(n)))
}

fn near(day: Day, steps: impl Iterator<Item = i64>) -> impl Iterator<Item = Day> {
    steps.filter_map(move |n| match day {
        Some(day) => day.checked_add(Span::new().days(n)).ok().map(Some),
        // no date: nothing lies before or after it
        None => (n == 0).then_some(None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_over_at_its_end_in_its_own_time_zone() {
        let by = |every, timezone: Option<&str>| PartitionBy {
            column: "sold_at".parse().unwrap(),
            every: Some(every),
            name: "sold_on".parse().unwrap(),
            timezone: timezone.map(str::to_owned),
        };
        let day = Some(jiff::civil::date(2011, 12, 8));
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let utc = Calendar::of(Some(&by(Every::Day, None)));
        assert!(utc.is_over(day, at("2011-12-09T00:00:00Z")) && !utc.is_over(day, at("2011-12-08T23:59:59Z")));
        assert!(!utc.is_over(day, None) && !utc.is_over(None, at("2011-12-09T00:00:00Z")));
        let berlin = Calendar::of(Some(&by(Every::Day, Some("Europe/Berlin"))));
        assert!(berlin.is_over(day, at("2011-12-08T23:00:00Z")));
        let month = Calendar::of(Some(&by(Every::Month, None)));
        assert!(!month.is_over(Some(jiff::civil::date(2011, 12, 1)), at("2011-12-31T08:00:00Z")));
        assert!(month.is_over(Some(jiff::civil::date(2011, 12, 1)), at("2012-01-01T00:00:00Z")));
    }
    #[test]
    fn no_date_hangs_on_no_date_only() {
        let day = |d| Some(jiff::civil::date(2011, 12, d));
        assert_eq!(from(day(8), 2).collect::<Vec<_>>(), [day(8), day(9), day(10)]);
        assert_eq!(until(day(8), 2).collect::<Vec<_>>(), [day(8), day(7), day(6)]);
        assert_eq!((from(None, 2).collect::<Vec<_>>(), until(None, 2).collect::<Vec<_>>()), (vec![None], vec![None]));
    }
}
