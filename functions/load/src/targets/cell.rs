//! One value of a frame, in the form common to all targets. All targets read frames through this module, so that a date, an instant
//! or a decimal means the same in each of them.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time, date};
use polars::prelude::{AnyValue, DataType, TimeUnit};

/// The day from whose midnight polars counts dates and times.
pub(crate) const EPOCH: Date = date(1970, 1, 1);

/// The type of a column, as far as targets distinguish types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellType {
    /// Every value is NULL and the column has no type: `SELECT NULL AS x`.
    Null,
    Bool,
    Integer,
    Float,
    Decimal,
    Text,
    Date,
    Time,
    Datetime,
}

impl CellType {
    /// Returns `None` for a type that no target can hold: lists, structs, binary, durations.
    pub(crate) fn from_dtype(dtype: &DataType) -> Option<CellType> {
        Some(match dtype {
            DataType::Null => CellType::Null,
            DataType::Boolean => CellType::Bool,
            DataType::Float32 | DataType::Float64 => CellType::Float,
            DataType::Decimal(..) => CellType::Decimal,
            DataType::String => CellType::Text,
            DataType::Date => CellType::Date,
            DataType::Time => CellType::Time,
            DataType::Datetime(..) => CellType::Datetime,
            dtype if dtype.is_integer() => CellType::Integer,
            _ => return None,
        })
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, CellType::Integer | CellType::Float | CellType::Decimal)
    }
}

/// A value without its polars wrapping; text is borrowed from the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Decimal(Decimal),
    Text(&'a str),
    Date(Date),
    Time(Time),
    Datetime(Moment),
}

impl<'a> Cell<'a> {
    /// Returns `None` for a date outside the years −9999 to 9999, and for a type that [`CellType::from_dtype`] does not support.
    pub(crate) fn from_value(value: AnyValue<'a>) -> Option<Cell<'a>> {
        Some(match value {
            AnyValue::Null => Cell::Null,
            AnyValue::Boolean(value) => Cell::Bool(value),
            AnyValue::Int8(value) => Cell::Integer(value.into()),
            AnyValue::Int16(value) => Cell::Integer(value.into()),
            AnyValue::Int32(value) => Cell::Integer(value.into()),
            AnyValue::Int64(value) => Cell::Integer(value),
            AnyValue::UInt8(value) => Cell::Integer(value.into()),
            AnyValue::UInt16(value) => Cell::Integer(value.into()),
            AnyValue::UInt32(value) => Cell::Integer(value.into()),
            AnyValue::UInt64(value) => {
                i64::try_from(value).map_or(Cell::Decimal(Decimal { unscaled: value.into(), scale: 0 }), Cell::Integer)
            }
            AnyValue::Float32(value) => Cell::Float(value.into()),
            AnyValue::Float64(value) => Cell::Float(value),
            AnyValue::Decimal(unscaled, _, scale) => Cell::Decimal(Decimal { unscaled, scale }),
            AnyValue::String(text) => Cell::Text(text),
            AnyValue::Date(days) => {
                Cell::Date(EPOCH.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()?)
            }
            AnyValue::Time(nanoseconds) => {
                Cell::Time(Time::midnight().checked_add(SignedDuration::from_nanos(nanoseconds)).ok()?)
            }
            AnyValue::Datetime(since, unit, zone) => {
                let (since, digits) = match unit {
                    TimeUnit::Milliseconds => (SignedDuration::from_millis(since), 3),
                    TimeUnit::Microseconds => (SignedDuration::from_micros(since), 6),
                    TimeUnit::Nanoseconds => (SignedDuration::from_nanos(since), 9),
                };
                let at = EPOCH.to_datetime(Time::midnight()).checked_add(since).ok()?;
                Cell::Datetime(Moment { at, digits, zoned: zone.is_some() })
            }
            _ => return None,
        })
    }
}

/// A point in time: in UTC if its column has a time zone, else a local time without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: DateTime,
    /// Digits after the second that the column can hold: 3, 6 or 9.
    digits: usize,
    zoned: bool,
}

impl Moment {
    fn suffix(&self) -> &'static str {
        if self.zoned { "Z" } else { "" }
    }

    /// RFC 3339 with as many digits as the column can hold, so that the order of the texts is the order in time.
    pub(crate) fn fixed(&self) -> String {
        format!("{:.*}{}", self.digits, self.at, self.suffix())
    }
}

/// RFC 3339 in its shortest form: `2011-12-08T08:00:00Z`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.at, self.suffix())
    }
}

/// `unscaled` ÷ 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) unscaled: i128,
    pub(crate) scale: usize,
}

/// Every whole number up to this one is exactly a double.
const EXACT: u128 = 1 << f64::MANTISSA_DIGITS;
/// A double represents every number of 15 decimal digits, but not every number of 16.
const FIFTEEN_DIGITS: u128 = 10_u128.pow(f64::DIGITS);

impl Decimal {
    /// The nearest double.
    pub(crate) fn to_f64(self) -> f64 {
        // The quotient of two exact doubles is the nearest double; powers of ten are exact up to 10^22.
        if self.unscaled.unsigned_abs() <= EXACT && self.scale <= 22 {
            self.unscaled as f64 / 10_f64.powi(self.scale as i32)
        } else {
            self.to_string().parse().unwrap_or(f64::NAN)
        }
    }

    /// Whether a double represents every digit: there are at most 15, not counting trailing zeros.
    pub(crate) fn is_exact(self) -> bool {
        let mut digits = self.unscaled.unsigned_abs();
        while digits >= FIFTEEN_DIGITS && digits.is_multiple_of(10) {
            digits /= 10;
        }
        digits < FIFTEEN_DIGITS
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.unscaled.unsigned_abs(), width = self.scale + 1);
        match digits.split_at(digits.len() - self.scale) {
            (whole, "") => write!(f, "{sign}{whole}"),
            (whole, fraction) => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

/// Whether a double represents this whole number exactly.
pub(crate) fn is_exact_integer(value: i64) -> bool {
    u128::from(value.unsigned_abs()) <= EXACT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(unscaled: i128, scale: usize) -> Decimal {
        Decimal { unscaled, scale }
    }

    #[test]
    fn decimals_are_written_with_their_scale() {
        for (value, text) in [
            (decimal(1230, 2), "12.30"),
            (decimal(-5, 2), "-0.05"),
            (decimal(0, 3), "0.000"),
            (decimal(-7, 0), "-7"),
            (decimal(i128::MIN, 2), "-1701411834604692317316873037158841057.28"),
        ] {
            assert_eq!(value.to_string(), text);
            assert_eq!(value.to_f64(), text.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn fifteen_digits_are_exact_and_sixteen_are_not() {
        assert!(decimal(999_999_999_999_999, 2).is_exact());
        assert!(decimal(-999_999_999_999_999_000, 2).is_exact());
        assert!(!decimal(1_000_000_000_000_001, 2).is_exact());
    }

    #[test]
    fn times_are_valid_until_the_year_9999() {
        let micros = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999
        let zone = polars::prelude::TimeZone::UTC;
        let cell = Cell::from_value(AnyValue::Datetime(micros, TimeUnit::Microseconds, Some(&zone)));
        let Some(Cell::Datetime(moment)) = cell else { panic!("{cell:?}") };
        assert_eq!(moment.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Cell::from_value(AnyValue::Datetime(micros + 1, TimeUnit::Microseconds, None)), None);
        assert_eq!(Cell::from_value(AnyValue::Date(i32::MAX)), None);
    }

    #[test]
    fn times_of_fixed_width_sort_as_text() {
        let at = |micros| match Cell::from_value(AnyValue::Datetime(micros, TimeUnit::Microseconds, None)) {
            Some(Cell::Datetime(moment)) => moment.fixed(),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(0), "1970-01-01T00:00:00.000000");
        assert!(at(0) < at(500_000) && at(500_000) < at(1_000_000));
    }
}
