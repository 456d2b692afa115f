//! Rows as `COPY … (FORMAT binary)` has them: <https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS>.
//! Column by column the values are made ready for the wire, then written row by row.

use bytes::{BufMut as _, BytesMut};
use jiff::SignedDuration;
use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, Float64Chunked, Int32Chunked, Int64Chunked, Int128Chunked,
    PolarsError, StringChunked, TimeUnit,
};
use serde::de::IgnoredAny;
use tidemark_postgres::SqlType;

use crate::targets::cell::EPOCH;

/// In front of the rows.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Behind them.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Days and microseconds from 1970 to 2000, where PostgreSQL begins to count.
const DAYS: i64 = 10_957;
const MICROSECONDS: i64 = DAYS * 86_400_000_000;
/// 4714-11-24 BC to 5874897-12-31, and to 294276-12-31T23:59:59.999999.
const DATES: std::ops::RangeInclusive<i64> = -2_451_545..=2_145_031_948;
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Why PostgreSQL cannot hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unheld {
    #[error("a NUL character, which PostgreSQL has in no text")]
    Nul,
    #[error("a number that is too large, or too small, for its type")]
    Range,
    #[error("a text that is longer than its type")]
    Length,
    #[error("a text that is no JSON")]
    Json,
    #[error("a text that is no UUID")]
    Uuid,
    #[error("a day before 4714-11-24 BC or after 5874897-12-31")]
    Date,
    #[error("a time before 4714-11-24 BC or after 294276-12-31")]
    Timestamp,
    #[error("a time with nanoseconds, of which PostgreSQL keeps no more than microseconds")]
    Nanoseconds,
    #[error("no value, in a column of the key")]
    NullKey,
}

/// A column on its way to a type of the server.
struct Field {
    sql: SqlType,
    is_key: bool,
    values: Values,
}

enum Values {
    /// NULL throughout.
    Null,
    Bool(BooleanChunked),
    Integer(Int64Chunked),
    Float(Float64Chunked),
    /// Unscaled, with the scale.
    Decimal(Int128Chunked, usize),
    Text(StringChunked),
    /// Days since 1970.
    Date(Int32Chunked),
    /// In units of which a microsecond has so many, or that many of which are one.
    Clock(Int64Chunked, TimeUnit),
}

/// The rows of one frame, ready to be written.
pub(super) struct Rows {
    fields: Vec<Field>,
}

/// A column of the table that rows go into.
pub(super) struct Slot<'a> {
    pub(super) name: &'a str,
    pub(super) sql: SqlType,
    pub(super) is_key: bool,
}

impl Rows {
    /// # Errors
    /// A column is not there. That its type fits has been seen to before ([`SqlType::holds`]).
    pub(super) fn of(frame: &DataFrame, into: &[Slot<'_>]) -> Result<Rows, PolarsError> {
        let field = |into: &Slot<'_>| {
            let values = Values::of(frame.column(into.name)?, into.sql)?;
            Ok(Field { sql: into.sql, is_key: into.is_key, values })
        };
        Ok(Rows { fields: into.iter().map(field).collect::<Result<_, PolarsError>>()? })
    }

    /// Appends a row, with its number in front where the table has a column for it; where a value cannot be held, nothing, and says which
    /// column it is of.
    pub(super) fn write(&self, row: usize, number: Option<i64>, out: &mut BytesMut) -> Result<(), (usize, Unheld)> {
        let start = out.len();
        out.put_i16((self.fields.len() + usize::from(number.is_some())) as i16);
        if let Some(number) = number {
            out.put_i32(8);
            out.put_i64(number);
        }
        for (at, field) in self.fields.iter().enumerate() {
            if let Err(unheld) = field.write(row, out) {
                out.truncate(start);
                return Err((at, unheld));
            }
        }
        Ok(())
    }

    /// Appends a row of which only the key is known; `true` in `columns` stands for a column of the key. Nothing, where that cannot be
    /// held.
    pub(super) fn write_key(
        &self,
        row: usize,
        number: i64,
        columns: &[bool],
        out: &mut BytesMut,
    ) -> Result<(), Unheld> {
        let start = out.len();
        out.put_i16(columns.len() as i16 + 1);
        out.put_i32(8);
        out.put_i64(number);
        let mut key = self.fields.iter();
        for is_key in columns {
            match key.as_slice().first().filter(|_| *is_key) {
                Some(field) => {
                    key.next();
                    field.write(row, out).inspect_err(|_| out.truncate(start))?;
                }
                None => out.put_i32(-1),
            }
        }
        Ok(())
    }
}

impl Values {
    fn of(column: &Column, sql: SqlType) -> Result<Values, PolarsError> {
        let series = column.as_materialized_series();
        if *series.dtype() == DataType::Null {
            return Ok(Values::Null);
        }
        // one chunk, so that a row is found by its number
        let series = series.rechunk();
        Ok(match sql {
            SqlType::Bool => Values::Bool(series.bool()?.clone()),
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => {
                Values::Integer(series.strict_cast(&DataType::Int64)?.i64()?.clone())
            }
            SqlType::Float4 | SqlType::Float8 => Values::Float(series.cast(&DataType::Float64)?.f64()?.clone()),
            SqlType::Numeric(_) => match series.dtype() {
                DataType::Decimal(_, scale) => Values::Decimal(series.decimal()?.physical().clone(), *scale),
                _ => Values::Decimal(series.strict_cast(&DataType::Decimal(38, 0))?.decimal()?.physical().clone(), 0),
            },
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::TextLike
            | SqlType::Json
            | SqlType::Jsonb
            | SqlType::Uuid => Values::Text(series.str()?.clone()),
            SqlType::Date => Values::Date(series.date()?.physical().clone()),
            SqlType::Time => Values::Clock(series.time()?.physical().clone(), TimeUnit::Nanoseconds),
            SqlType::Timestamp | SqlType::Timestamptz => {
                let times = series.datetime()?;
                Values::Clock(times.physical().clone(), times.time_unit())
            }
        })
    }
}

impl Field {
    fn write(&self, row: usize, out: &mut BytesMut) -> Result<(), Unheld> {
        let is_written = match &self.values {
            Values::Null => false,
            Values::Bool(values) => fixed(values.get(row), out, |value, out| out.put_u8(value.into())),
            Values::Integer(values) => self.integer(values.get(row), out)?,
            Values::Float(values) => self.float(values.get(row), out)?,
            Values::Decimal(values, scale) => sized(values.get(row), out, |value, out| {
                numeric(value, *scale, out);
                Ok(())
            })?,
            Values::Text(values) => sized(values.get(row), out, |text, out| self.text(text, out))?,
            Values::Date(values) => sized(values.get(row), out, |days, out| {
                let days = i64::from(days) - DAYS;
                if !DATES.contains(&days) {
                    return Err(Unheld::Date);
                }
                out.put_i32(days as i32);
                Ok(())
            })?,
            Values::Clock(values, unit) => {
                sized(values.get(row), out, |at, out| self.clock(at, *unit).map(|at| out.put_i64(at)))?
            }
        };
        match is_written {
            false if self.is_key => Err(Unheld::NullKey),
            false => {
                out.put_i32(-1);
                Ok(())
            }
            true => Ok(()),
        }
    }

    fn integer(&self, value: Option<i64>, out: &mut BytesMut) -> Result<bool, Unheld> {
        Ok(match (self.sql, value) {
            (SqlType::Int8, value) => fixed(value, out, |value, out| out.put_i64(value)),
            (_, None) => false,
            (SqlType::Int4, Some(value)) => {
                let value = i32::try_from(value).map_err(|_| Unheld::Range)?;
                fixed(Some(value), out, |value, out| out.put_i32(value))
            }
            (_, Some(value)) => {
                let value = i16::try_from(value).map_err(|_| Unheld::Range)?;
                fixed(Some(value), out, |value, out| out.put_i16(value))
            }
        })
    }

    fn float(&self, value: Option<f64>, out: &mut BytesMut) -> Result<bool, Unheld> {
        let (SqlType::Float4, Some(wide)) = (self.sql, value) else {
            return Ok(fixed(value, out, |value, out| out.put_f64(value)));
        };
        // rounded, as was asked for; but not to infinity, or to nothing
        let value = wide as f32;
        if (wide.is_finite() && value.is_infinite()) || (value == 0.0 && wide != 0.0) {
            return Err(Unheld::Range);
        }
        Ok(fixed(Some(value), out, |value, out| out.put_f32(value)))
    }

    fn text(&self, text: &str, out: &mut BytesMut) -> Result<(), Unheld> {
        match self.sql {
            SqlType::Uuid => out.put_slice(&uuid(text).ok_or(Unheld::Uuid)?),
            SqlType::Json | SqlType::Jsonb => {
                serde_json::from_str::<IgnoredAny>(text).map_err(|_| Unheld::Json)?;
                if self.sql == SqlType::Jsonb {
                    escapes(text)?;
                    // the version of its form on the wire
                    out.put_u8(1);
                }
                out.put_slice(text.as_bytes());
            }
            _ if text.as_bytes().contains(&0) => return Err(Unheld::Nul),
            SqlType::Varchar(most) if text.len() > most as usize && text.chars().count() > most as usize => {
                return Err(Unheld::Length);
            }
            _ => out.put_slice(text.as_bytes()),
        }
        Ok(())
    }

    /// Microseconds since midnight, or since 2000.
    fn clock(&self, at: i64, unit: TimeUnit) -> Result<i64, Unheld> {
        let microseconds = match unit {
            TimeUnit::Milliseconds => at.checked_mul(1_000).ok_or(Unheld::Timestamp)?,
            TimeUnit::Microseconds => at,
            TimeUnit::Nanoseconds if at % 1_000 == 0 => at / 1_000,
            TimeUnit::Nanoseconds => return Err(Unheld::Nanoseconds),
        };
        if self.sql == SqlType::Time {
            return Ok(microseconds);
        }
        microseconds.checked_sub(MICROSECONDS).filter(|at| TIMESTAMPS.contains(at)).ok_or(Unheld::Timestamp)
    }
}

/// A value whose size is that of its type; `false` for none.
fn fixed<T>(value: Option<T>, out: &mut BytesMut, put: impl FnOnce(T, &mut BytesMut)) -> bool {
    let Some(value) = value else { return false };
    out.put_i32(size_of::<T>() as i32);
    put(value, out);
    true
}

/// A value with its size in front, known once it is written; `false` for none.
fn sized<T>(
    value: Option<T>,
    out: &mut BytesMut,
    put: impl FnOnce(T, &mut BytesMut) -> Result<(), Unheld>,
) -> Result<bool, Unheld> {
    let Some(value) = value else { return Ok(false) };
    let start = out.len();
    out.put_i32(0);
    put(value, out)?;
    let size = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(true)
}

/// `numeric` on the wire: how many digits to base 10,000, the weight of the first, sign, digits after the point, digits
/// (`numeric_send` of the server's `numeric.c`).
fn numeric(unscaled: i128, scale: usize, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(&[0; 8]);
    let magnitude = unscaled.unsigned_abs();
    let (whole, fraction) = match u32::try_from(scale).ok().and_then(|scale| 10_u128.checked_pow(scale)) {
        Some(unit) => (magnitude / unit, magnitude % unit),
        None => (0, magnitude),
    };
    let mut weight = -1_i16;
    if whole > 0 {
        let mut digits = [0_u16; 10];
        let (mut rest, mut first) = (whole, digits.len());
        while rest > 0 {
            first -= 1;
            digits[first] = (rest % 10_000) as u16;
            rest /= 10_000;
        }
        weight = (digits.len() - first) as i16 - 1;
        digits[first..].iter().for_each(|digit| out.put_u16(*digit));
    }
    let (mut rest, mut left) = (fraction, scale as u32);
    while rest > 0 {
        let digit = match left.checked_sub(4) {
            Some(after) => {
                let unit = 10_u128.pow(after);
                left = after;
                let digit = rest / unit;
                rest %= unit;
                digit
            }
            None => std::mem::take(&mut rest) * 10_u128.pow(4 - left),
        };
        if digit == 0 && out.len() == start + 8 {
            weight -= 1;
        } else {
            out.put_u16(digit as u16);
        }
    }
    let mut digits = (out.len() - start - 8) / 2;
    while digits > 0 && out[out.len() - 2..] == [0, 0] {
        out.truncate(out.len() - 2);
        digits -= 1;
    }
    let sign: u16 = if unscaled < 0 { 0x4000 } else { 0 };
    let weight = if digits == 0 { 0 } else { weight };
    for (at, field) in [digits as u16, weight as u16, sign, scale as u16].into_iter().enumerate() {
        out[start + 2 * at..start + 2 * at + 2].copy_from_slice(&field.to_be_bytes());
    }
}

/// A day as the wire has it, since 2000, for people.
pub(super) fn date(days: i32) -> Option<String> {
    let day = EPOCH.checked_add(SignedDuration::from_hours(24 * (i64::from(days) + DAYS))).ok()?;
    Some(day.to_string())
}

/// Whether every escaped character of a JSON text is one that `jsonb` holds: it keeps characters, and no escapes.
fn escapes(json: &str) -> Result<(), Unheld> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        rest = escape.get(1..).unwrap_or_default();
        match unit(escape) {
            Some(0) => return Err(Unheld::Nul),
            Some(0xd800..0xdc00) => {
                let second = escape.get(5..).and_then(|behind| unit(behind.strip_prefix('\\')?));
                second.filter(|second| (0xdc00..0xe000).contains(second)).ok_or(Unheld::Json)?;
                rest = escape.get(11..).unwrap_or_default();
            }
            Some(0xdc00..0xe000) => return Err(Unheld::Json),
            _ => {}
        }
    }
    Ok(())
}

/// 32 hexadecimal digits, with or without dashes and braces, as the server reads them.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut digits = inner.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = (high << 4 | low) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_characters_that_are_none_are_found() {
        let (nul, none) = (Err(Unheld::Nul), Err(Unheld::Json));
        for (json, found) in [
            (r#""\\u0000 \n \" \/ \u00e9 \uD83D\uDED2""#, Ok(())),
            (r#"{"\u0000": 1}"#, nul),
            (r#""\\\u0000""#, nul),
            (r#""\ud83d""#, none),
            (r#""\ud83d ""#, none),
            (r#""\ud83d\n""#, none),
            (r#""\ud83d\u0041""#, none),
            (r#""\ud83d\ud83d\uded2""#, none),
            (r#""\uded2\ud83d""#, none),
            ("\"🛒\"", Ok(())),
        ] {
            assert_eq!(escapes(json), found, "{json}");
        }
    }
}
