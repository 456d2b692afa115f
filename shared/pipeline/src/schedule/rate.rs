//! Rates in the syntax of AWS: `4 hours`. AWS counts from the creation of a schedule, so the times change when it is created again. Ours
//! fire at multiples of the period since 1970-01-01T00:00:00Z. Rules:
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based>

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::diagnostic::{did_you_mean, one_of, quoted};

/// A valid rate, created by parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    value: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Minute,
    Hour,
    Day,
}

/// A rate that EventBridge does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}; expected {expected}")]
pub struct RateError {
    /// Byte offset in the text.
    pub at: usize,
    pub found: String,
    pub expected: String,
    pub hint: Option<String>,
}

const EXPECTED: &str = "a value and a unit, as in `15 minutes`, `4 hours` or `1 day`";
const ONE: [&str; 3] = ["minute", "hour", "day"];
const MORE: [&str; 3] = ["minutes", "hours", "days"];
/// Maximum, as for every duration in a pipeline file.
const MAX_DAYS: i64 = 3_660;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = |at: usize, found: String, expected: &str, hint: Option<String>| RateError {
            at,
            found,
            expected: expected.to_owned(),
            hint,
        };
        if let Some(inside) = text.trim().strip_prefix("rate(") {
            let inside = inside.strip_suffix(')').unwrap_or(inside);
            let hint = inside.parse::<Rate>().ok().map(|rate| format!("write `{rate}`"));
            return Err(wrong(0, "`rate(…)` around the value and its unit".to_owned(), EXPECTED, hint));
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (Some(number), Some(unit), None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong(0, format!("{} for a rate", quoted(text)), EXPECTED, None));
        };
        let at = |word: &str| text.find(word).unwrap_or_default();
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let Some(value) = digits.then(|| number.parse::<u32>().ok()).flatten().filter(|value| *value > 0) else {
            let found = format!("{} for the value of a rate", quoted(number));
            return Err(wrong(at(number), found, "a positive whole number", None));
        };
        let units = if value == 1 { ONE } else { MORE };
        let Some((_, unit)) = units.iter().zip([Unit::Minute, Unit::Hour, Unit::Day]).find(|(name, _)| **name == unit)
        else {
            // searched after the number, because the unit's text may also occur in it
            let place = at(number) + number.len();
            let place = place + text.get(place..).and_then(|rest| rest.find(unit)).unwrap_or_default();
            let found = format!("{} for the unit of a rate of {value}", quoted(unit));
            return Err(wrong(place, found, &one_of(units), did_you_mean(unit, units)));
        };
        let rate = Rate { value, unit };
        if rate.period_s() > MAX_DAYS * 86_400 {
            let expected = format!("at most {MAX_DAYS} days");
            return Err(wrong(at(number), format!("a rate of {rate}"), &expected, None));
        }
        Ok(rate)
    }
}

impl Rate {
    /// The period in seconds.
    pub fn period_s(self) -> i64 {
        let unit = match self.unit {
            Unit::Minute => 60,
            Unit::Hour => 3_600,
            Unit::Day => 86_400,
        };
        i64::from(self.value) * unit
    }

    pub(super) fn next(self, after: Timestamp) -> Option<Timestamp> {
        self.multiple(self.multiples(after) + 1)
    }

    pub(super) fn previous(self, until: Timestamp) -> Option<Timestamp> {
        self.multiple(self.multiples(until))
    }

    /// Whole periods from 1970 to `at`, negative before 1970.
    fn multiples(self, at: Timestamp) -> i64 {
        let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
        second.div_euclid(self.period_s())
    }

    fn multiple(self, count: i64) -> Option<Timestamp> {
        Timestamp::from_second(count.checked_mul(self.period_s())?).ok()
    }
}

/// `4 hours`, `1 day`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minute, hour, day] = if self.value == 1 { ONE } else { MORE };
        let unit = match self.unit {
            Unit::Minute => minute,
            Unit::Hour => hour,
            Unit::Day => day,
        };
        write!(f, "{} {unit}", self.value)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rate_is() {
        for (text, shown, period_s) in [
            ("1 minute", "1 minute", 60),
            ("15 minutes", "15 minutes", 900),
            ("  4   hours ", "4 hours", 14_400),
            ("007 days", "7 days", 604_800),
            ("3660 days", "3660 days", 316_224_000),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.to_string().as_str(), rate.period_s()), (shown, period_s));
        }
    }

    #[test]
    fn what_eventbridge_would_refuse() {
        let error = |text: &str| {
            let RateError { at, found, expected, hint } = text.parse::<Rate>().unwrap_err();
            format!("{at}: {found}; expected {expected}; {}", hint.unwrap_or_default())
        };
        let form = "a value and a unit, as in `15 minutes`, `4 hours` or `1 day`";
        assert_eq!(
            error("rate(4 hours)"),
            format!("0: `rate(…)` around the value and its unit; expected {form}; write `4 hours`")
        );
        assert_eq!(error("rate(4h)"), format!("0: `rate(…)` around the value and its unit; expected {form}; "));
        assert_eq!(error("4h"), format!("0: `4h` for a rate; expected {form}; "));
        assert_eq!(error(" 0 hours"), "1: `0` for the value of a rate; expected a positive whole number; ");
        assert_eq!(
            error("4 hour"),
            "2: `hour` for the unit of a rate of 4; expected one of `minutes`, `hours`, `days`; did you mean `hours`?"
        );
        assert_eq!(
            error("1  hours"),
            "3: `hours` for the unit of a rate of 1; expected one of `minute`, `hour`, `day`; did you mean `hour`?"
        );
        assert_eq!(error("3661 days"), "0: a rate of 3661 days; expected at most 3660 days; ");
        for wrong in [
            "",
            " ",
            "hours",
            "4 ",
            "4 hours 5",
            "+4 hours",
            "-4 hours",
            "4.5 hours",
            "4\thours",
            "4 Hours",
            "99999999999 days",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        assert!("4 weeks".parse::<Rate>().is_err() && "30 seconds".parse::<Rate>().is_err());
    }
}
