//! Times in the format of an API, and their rounding to its precision.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidemark_pipeline::http::{Since, TimeFormat};

use crate::incremental::window::TimeBounds;

/// The time as the value of a request parameter.
pub(crate) fn written(format: &TimeFormat, time: Timestamp) -> String {
    match format {
        TimeFormat::Rfc3339 => time.to_string(),
        TimeFormat::Date => time.to_zoned(TimeZone::UTC).date().to_string(),
        TimeFormat::EpochS => time.as_second().to_string(),
        TimeFormat::EpochMs => time.as_millisecond().to_string(),
        // the format has been validated when the definition was read
        TimeFormat::Strftime(format) => time.to_zoned(TimeZone::UTC).strftime(format).to_string(),
        TimeFormat::Template { before, time: inner, after } => format!("{before}{}{after}", written(inner, time)),
    }
}

/// The precision of a format: finer parts of a time are lost.
fn unit(format: &TimeFormat) -> SignedDuration {
    match format {
        TimeFormat::Date => SignedDuration::from_hours(24),
        TimeFormat::EpochMs => SignedDuration::from_millis(1),
        TimeFormat::Strftime(format)
            if !["%H", "%T", "%R", "%s", "%I", "%X", "%c"].iter().any(|part| format.contains(part)) =>
        {
            SignedDuration::from_hours(24)
        }
        TimeFormat::Strftime(format) if !["%S", "%T", "%s", "%X", "%c"].iter().any(|part| format.contains(part)) => {
            SignedDuration::from_mins(1)
        }
        TimeFormat::Template { time, .. } => unit(time),
        _ => SignedDuration::from_secs(1),
    }
}

/// A time rounded down to the precision of the format.
fn floor(definition: &Since, time: Timestamp) -> Timestamp {
    let nanos = time.as_nanosecond();
    match definition.format {
        // written with its full fraction
        TimeFormat::Rfc3339 => time,
        _ => {
            let over = nanos.rem_euclid(unit(&definition.format).as_nanos());
            Timestamp::from_nanosecond(nanos - over).unwrap_or(time)
        }
    }
}

/// The start time to send so that all records from `from` on are returned: rounded down to the precision of the format, and one unit less if
/// the API excludes the start time itself. Records returned twice because of this are merged by their key.
fn since(definition: &Since, from: Timestamp) -> Timestamp {
    let floor = floor(definition, from);
    match definition.is_open {
        true => floor.checked_sub(unit(&definition.format)).unwrap_or(from),
        false => floor,
    }
}

/// The end time of a window to send: rounded up to the precision of the format.
fn until(definition: &Since, to: Timestamp) -> Timestamp {
    let step = unit(&definition.format).as_nanos();
    let over = to.as_nanosecond().rem_euclid(step);
    match definition.format {
        TimeFormat::Rfc3339 => to,
        _ if over == 0 => to,
        _ => Timestamp::from_nanosecond(to.as_nanosecond() - over + step).unwrap_or(to),
    }
}

impl TimeBounds for Since {
    fn start(&self) -> Option<Timestamp> {
        self.start
    }

    fn lookback(&self) -> SignedDuration {
        seconds(self.lookback_s)
    }

    fn every(&self) -> Option<SignedDuration> {
        self.every_s.map(seconds)
    }

    fn has_end(&self) -> bool {
        self.until.is_some()
    }

    fn asked_start(&self) -> Option<Timestamp> {
        self.start.map(|start| floor(self, start))
    }

    fn asked_since(&self, time: Timestamp) -> Timestamp {
        since(self, time)
    }

    fn asked_until(&self, time: Timestamp) -> Timestamp {
        until(self, time)
    }
}

fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use tidemark_pipeline::http::{Missing, Parameter};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn new(format: TimeFormat, is_open: bool) -> Since {
        Since {
            column: "t".parse().unwrap(),
            parameter: Parameter::Query("since".into()),
            until: None,
            format,
            start: None,
            lookback_s: 0,
            is_open,
            every_s: None,
            missing: Missing::Keep,
        }
    }

    #[test]
    fn times_are_written_in_every_format() {
        let time = at("2026-03-01T08:09:10.25Z");
        let template =
            TimeFormat::Template { before: ">=".into(), time: Box::new(TimeFormat::Date), after: "!".into() };
        for (format, text) in [
            (TimeFormat::Rfc3339, "2026-03-01T08:09:10.25Z"),
            (TimeFormat::Date, "2026-03-01"),
            (TimeFormat::EpochS, "1772352550"),
            (TimeFormat::EpochMs, "1772352550250"),
            (TimeFormat::Strftime("%d.%m.%Y %H:%M:%S".into()), "01.03.2026 08:09:10"),
            (template, ">=2026-03-01!"),
        ] {
            assert_eq!(written(&format, time), text);
        }
    }

    #[test]
    fn bounds_are_rounded_outward_to_the_precision_of_the_format() {
        let time = at("2026-03-01T08:09:10.25Z");
        for (format, closed, open, end) in [
            (TimeFormat::Rfc3339, "2026-03-01T08:09:10.25Z", "2026-03-01T08:09:09.25Z", "2026-03-01T08:09:10.25Z"),
            (TimeFormat::Date, "2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-02T00:00:00Z"),
            (TimeFormat::EpochS, "2026-03-01T08:09:10Z", "2026-03-01T08:09:09Z", "2026-03-01T08:09:11Z"),
            (TimeFormat::EpochMs, "2026-03-01T08:09:10.25Z", "2026-03-01T08:09:10.249Z", "2026-03-01T08:09:10.25Z"),
            (
                TimeFormat::Strftime("%Y%m%d".into()),
                "2026-03-01T00:00:00Z",
                "2026-02-28T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                TimeFormat::Strftime("%F %H:%M".into()),
                "2026-03-01T08:09:00Z",
                "2026-03-01T08:08:00Z",
                "2026-03-01T08:10:00Z",
            ),
        ] {
            assert_eq!(since(&new(format.clone(), false), time), at(closed), "{format:?}");
            assert_eq!(since(&new(format.clone(), true), time), at(open), "{format:?}");
            assert_eq!(until(&new(format.clone(), false), time), at(end), "{format:?}");
        }
    }
}
