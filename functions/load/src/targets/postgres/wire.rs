//! Rows in the format of `COPY … (FORMAT binary)`: <https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS>.
//! Values are converted column by column, then written row by row.

use bytes::{BufMut as _, BytesMut};
use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, Float64Chunked, Int32Chunked, Int64Chunked, Int128Chunked,
    PolarsError, StringChunked, TimeUnit,
};
use serde::de::IgnoredAny;
use tidemark_postgres::SqlType;

use super::encode::{self, Unrepresentable, escapes, fixed, numeric, sized, uuid};

/// The header before the rows.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The trailer after the rows.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// A column with the type of the server to which its values are converted.
struct Field {
    sql: SqlType,
    is_key: bool,
    values: Values,
}

enum Values {
    /// All values are NULL.
    Null,
    Bool(BooleanChunked),
    Integer(Int64Chunked),
    Float(Float64Chunked),
    /// Unscaled values, and their scale.
    Decimal(Int128Chunked, usize),
    Text(StringChunked),
    /// Days since 1970.
    Date(Int32Chunked),
    /// Times or instants, and their unit.
    Clock(Int64Chunked, TimeUnit),
}

/// The rows of one frame, converted for writing.
pub(super) struct Rows {
    fields: Vec<Field>,
}

/// A column of the destination table.
pub(super) struct Slot<'a> {
    pub(super) name: &'a str,
    pub(super) sql: SqlType,
    pub(super) is_key: bool,
}

impl Rows {
    /// # Errors
    /// A column is missing. That its type fits was checked before ([`holds`](super::column_type::holds)).
    pub(super) fn new(frame: &DataFrame, into: &[Slot<'_>]) -> Result<Rows, PolarsError> {
        let field = |into: &Slot<'_>| {
            let values = Values::from_column(frame.column(into.name)?, into.sql)?;
            Ok(Field { sql: into.sql, is_key: into.is_key, values })
        };
        Ok(Rows { fields: into.iter().map(field).collect::<Result<_, PolarsError>>()? })
    }

    /// Appends a row, with its number in front if the table has a column for it. If PostgreSQL cannot represent a value, appends nothing
    /// and returns the index of its column.
    pub(super) fn write(
        &self,
        row: usize,
        number: Option<i64>,
        out: &mut BytesMut,
    ) -> Result<(), (usize, Unrepresentable)> {
        let start = out.len();
        out.put_i16((self.fields.len() + usize::from(number.is_some())) as i16);
        if let Some(number) = number {
            out.put_i32(8);
            out.put_i64(number);
        }
        for (at, field) in self.fields.iter().enumerate() {
            if let Err(unrepresentable) = field.write(row, out) {
                out.truncate(start);
                return Err((at, unrepresentable));
            }
        }
        Ok(())
    }

    /// Appends a row of which only the key is known; `columns` is `true` for each column of the key. If PostgreSQL cannot represent the
    /// key, appends nothing.
    pub(super) fn write_key(
        &self,
        row: usize,
        number: i64,
        columns: &[bool],
        out: &mut BytesMut,
    ) -> Result<(), Unrepresentable> {
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
    fn from_column(column: &Column, sql: SqlType) -> Result<Values, PolarsError> {
        let series = column.as_materialized_series();
        if *series.dtype() == DataType::Null {
            return Ok(Values::Null);
        }
        // one chunk, so that values are accessed by index
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
    fn write(&self, row: usize, out: &mut BytesMut) -> Result<(), Unrepresentable> {
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
            Values::Date(values) => {
                sized(values.get(row), out, |days, out| encode::date(days).map(|days| out.put_i32(days)))?
            }
            Values::Clock(values, unit) => {
                sized(values.get(row), out, |at, out| self.clock(at, *unit).map(|at| out.put_i64(at)))?
            }
        };
        match is_written {
            false if self.is_key => Err(Unrepresentable::NullKey),
            false => {
                out.put_i32(-1);
                Ok(())
            }
            true => Ok(()),
        }
    }

    fn integer(&self, value: Option<i64>, out: &mut BytesMut) -> Result<bool, Unrepresentable> {
        Ok(match (self.sql, value) {
            (SqlType::Int8, value) => fixed(value, out, |value, out| out.put_i64(value)),
            (_, None) => false,
            (SqlType::Int4, Some(value)) => {
                let value = i32::try_from(value).map_err(|_| Unrepresentable::Range)?;
                fixed(Some(value), out, |value, out| out.put_i32(value))
            }
            (_, Some(value)) => {
                let value = i16::try_from(value).map_err(|_| Unrepresentable::Range)?;
                fixed(Some(value), out, |value, out| out.put_i16(value))
            }
        })
    }

    fn float(&self, value: Option<f64>, out: &mut BytesMut) -> Result<bool, Unrepresentable> {
        let (SqlType::Float4, Some(wide)) = (self.sql, value) else {
            return Ok(fixed(value, out, |value, out| out.put_f64(value)));
        };
        // rounding is accepted by declaring the type, but not to infinity or to zero
        let value = wide as f32;
        if (wide.is_finite() && value.is_infinite()) || (value == 0.0 && wide != 0.0) {
            return Err(Unrepresentable::Range);
        }
        Ok(fixed(Some(value), out, |value, out| out.put_f32(value)))
    }

    fn text(&self, text: &str, out: &mut BytesMut) -> Result<(), Unrepresentable> {
        match self.sql {
            SqlType::Uuid => out.put_slice(&uuid(text).ok_or(Unrepresentable::Uuid)?),
            SqlType::Json | SqlType::Jsonb => {
                serde_json::from_str::<IgnoredAny>(text).map_err(|_| Unrepresentable::Json)?;
                if self.sql == SqlType::Jsonb {
                    escapes(text)?;
                    // the version of the binary format of jsonb
                    out.put_u8(1);
                }
                out.put_slice(text.as_bytes());
            }
            _ if text.as_bytes().contains(&0) => return Err(Unrepresentable::Nul),
            SqlType::Varchar(max) if text.len() > max as usize && text.chars().count() > max as usize => {
                return Err(Unrepresentable::Length);
            }
            _ => out.put_slice(text.as_bytes()),
        }
        Ok(())
    }

    /// Microseconds since midnight, or since 2000.
    fn clock(&self, at: i64, unit: TimeUnit) -> Result<i64, Unrepresentable> {
        let microseconds = match unit {
            TimeUnit::Milliseconds => at.checked_mul(1_000).ok_or(Unrepresentable::Timestamp)?,
            TimeUnit::Microseconds => at,
            TimeUnit::Nanoseconds if at % 1_000 == 0 => at / 1_000,
            TimeUnit::Nanoseconds => return Err(Unrepresentable::Nanoseconds),
        };
        if self.sql == SqlType::Time {
            return Ok(microseconds);
        }
        encode::timestamp(microseconds)
    }
}
