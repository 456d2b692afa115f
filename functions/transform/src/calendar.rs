//! Partitions as days: when one is over, and which hang on which.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tidemark_pipeline::{Every, PartitionBy};

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

    /// Whether the watermark has passed the end of the partition that begins with a day.
    pub(crate) fn is_over(&self, first: Date, watermark: Option<Timestamp>) -> bool {
        let span = match self.every {
            Every::Day => Span::new().days(1),
            Every::Month => Span::new().months(1),
        };
        let end = first.checked_add(span).ok().and_then(|next| next.to_zoned(self.timezone.clone()).ok());
        end.is_some_and(|end| watermark.is_some_and(|mark| end.timestamp() <= mark))
    }
}

/// A day and those after it that hang on it.
pub(crate) fn from(day: Date, lookback: u32) -> impl Iterator<Item = Date> {
    (0..=lookback).filter_map(move |n| day.checked_add(Span::new().days(i64::from(n))).ok())
}

/// A day and those before it that it hangs on.
pub(crate) fn until(day: Date, lookback: u32) -> impl Iterator<Item = Date> {
    (0..=lookback).filter_map(move |n| day.checked_sub(Span::new().days(i64::from(n))).ok())
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
        let day = jiff::civil::date(2011, 12, 8);
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let utc = Calendar::of(Some(&by(Every::Day, None)));
        assert!(utc.is_over(day, at("2011-12-09T00:00:00Z")) && !utc.is_over(day, at("2011-12-08T23:59:59Z")));
        assert!(!utc.is_over(day, None));
        let berlin = Calendar::of(Some(&by(Every::Day, Some("Europe/Berlin"))));
        assert!(berlin.is_over(day, at("2011-12-08T23:00:00Z")));
        let month = Calendar::of(Some(&by(Every::Month, None)));
        assert!(!month.is_over(jiff::civil::date(2011, 12, 1), at("2011-12-31T08:00:00Z")));
        assert!(month.is_over(jiff::civil::date(2011, 12, 1), at("2012-01-01T00:00:00Z")));
    }
}
