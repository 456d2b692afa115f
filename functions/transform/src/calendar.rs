//! Partitions as days: when one is over, and which hang on which.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{Every, PartitionBy};

/// A partition, as the unit of what is computed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Of rows without a date, or without a value.
    None,
    /// By its first day.
    First(Date),
    /// Of whatever value: no other lies before or after it.
    Value(String),
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Day::None => f.write_str("without a date"),
            Day::First(day) => day.fmt(f),
            Day::Value(value) => f.write_str(value),
        }
    }
}

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
    pub(crate) fn is_over(&self, day: &Day, watermark: Option<Timestamp>) -> bool {
        let Day::First(first) = day else { return false };
        let span = match self.every {
            Every::Day => Span::new().days(1),
            Every::Month => Span::new().months(1),
        };
        let next = first.checked_add(span).ok();
        let end = next.and_then(|next| next.to_zoned(self.timezone.clone()).ok());
        end.is_some_and(|end| watermark.is_some_and(|mark| end.timestamp() <= mark))
    }
}

/// A day and those after it that hang on it.
pub(crate) fn from(day: &Day, lookback: u32) -> impl Iterator<Item = Day> {
    near(day, (0..=lookback).map(i64::from))
}

/// A day and those before it that it hangs on.
pub(crate) fn until(day: &Day, lookback: u32) -> impl Iterator<Item = Day> {
    near(day, (0..=lookback).map(|n| -i64::from(n)))
}

fn near(day: &Day, steps: impl Iterator<Item = i64>) -> impl Iterator<Item = Day> {
    steps.filter_map(move |n| match day {
        Day::First(day) => day.checked_add(Span::new().days(n)).ok().map(Day::First),
        other => (n == 0).then(|| other.clone()),
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
        let day = &Day::First(jiff::civil::date(2011, 12, 8));
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let utc = Calendar::of(Some(&by(Every::Day, None)));
        assert!(utc.is_over(day, at("2011-12-09T00:00:00Z")) && !utc.is_over(day, at("2011-12-08T23:59:59Z")));
        assert!(!utc.is_over(day, None) && !utc.is_over(&Day::None, at("2011-12-09T00:00:00Z")));
        let berlin = Calendar::of(Some(&by(Every::Day, Some("Europe/Berlin"))));
        assert!(berlin.is_over(day, at("2011-12-08T23:00:00Z")));
        let month = Calendar::of(Some(&by(Every::Month, None)));
        assert!(!month.is_over(&Day::First(jiff::civil::date(2011, 12, 1)), at("2011-12-31T08:00:00Z")));
        assert!(month.is_over(&Day::First(jiff::civil::date(2011, 12, 1)), at("2012-01-01T00:00:00Z")));
    }

    #[test]
    fn no_date_hangs_on_no_date_only() {
        let day = |d| Day::First(jiff::civil::date(2011, 12, d));
        assert_eq!(from(&day(8), 2).collect::<Vec<_>>(), [day(8), day(9), day(10)]);
        assert_eq!(until(&day(8), 2).collect::<Vec<_>>(), [day(8), day(7), day(6)]);
        for alone in [Day::None, Day::Value("UK".to_owned())] {
            assert_eq!(from(&alone, 2).chain(until(&alone, 2)).collect::<Vec<_>>(), [alone.clone(), alone]);
        }
    }
}
