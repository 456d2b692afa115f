//! Typed source columns (Parquet): each value is cast if that loses nothing; a value that would change is a fault.

use polars::prelude::*;
use tidemark_pipeline::definition::Type;

use super::super::fault::{Faults, Place, TYPE};
use super::number::finite;
use super::time::{Clock, in_range};
use super::{Builder, Cast, Field};
use crate::error::ContractError;

/// Casts a raw column to a column of the contract. Text is read as in CSV; other types are cast by [`Cast::lossless`].
pub(crate) fn from_native(
    cast: &Cast,
    name: &str,
    column: usize,
    raw: &Series,
    faults: &mut Faults,
) -> Result<Series, ContractError> {
    let series = match raw.dtype() {
        DataType::Null => Series::full_null(name.into(), raw.len(), &cast.dtype()),
        DataType::String => {
            let mut builder = Builder::new(cast, name, raw.len());
            let fields = raw.str()?.iter().map(|text| text.map_or(Field::Null, Field::Text));
            builder.extend(fields, 0, faults, column);
            return Ok(builder.finish());
        }
        DataType::Binary if cast.ty == Type::String => raw.cast(&DataType::String)?,
        from if !convertible(from, cast.ty) => {
            return Err(ContractError::Lossy {
                column: name.to_owned(),
                found: from.to_string(),
                wanted: cast.dtype().to_string(),
            });
        }
        _ => lossless(cast, raw)?,
    };
    if series.null_count() > raw.null_count() {
        let (given, lost) = (raw.is_not_null(), series.is_null());
        let pairs = given.iter().zip(lost.iter());
        for (row, (given, lost)) in pairs.enumerate() {
            if given == Some(true) && lost == Some(true) {
                faults.mark(row, Place::for_rule(column, TYPE));
            }
        }
    }
    Ok(series.with_name(name.into()))
}

fn convertible(from: &DataType, to: Type) -> bool {
    let number = from.is_integer() || from.is_float() || from.is_decimal();
    match to {
        Type::String => number || from.is_temporal() || *from == DataType::Boolean,
        Type::Bool => *from == DataType::Boolean || from.is_integer(),
        Type::Int32 | Type::Int64 | Type::Float64 | Type::Decimal { .. } => number,
        Type::Date | Type::Datetime => matches!(from, DataType::Date | DataType::Datetime(..)),
        Type::Time => *from == DataType::Time,
    }
}

/// Casts the values. A value that a cast to the type and back would change becomes NULL.
fn lossless(cast: &Cast, raw: &Series) -> PolarsResult<Series> {
    match (raw.dtype(), cast.ty) {
        (_, Type::String) => raw.cast(&DataType::String),
        (_, Type::Time) => {
            let nanos = raw.cast(&DataType::Int64)?;
            let mut values = StringChunkedBuilder::new(raw.name().clone(), raw.len());
            nanos.i64()?.iter().for_each(|nanos| values.append_option(nanos.map(|nanos| Clock::new(nanos / 1000))));
            Ok(values.finish().into_series())
        }
        (DataType::Datetime(..), Type::Datetime) => instants(cast, raw),
        (DataType::Date, Type::Datetime) => {
            let midnight = raw.cast(&DataType::Datetime(TimeUnit::Microseconds, None))?;
            instants(cast, &midnight)
        }
        _ => {
            let there = raw.cast(&cast.dtype())?;
            let back = there.cast(raw.dtype())?;
            let same = back.equal_missing(raw)?;
            let there = there.zip_with(&same, &Series::full_null(raw.name().clone(), raw.len(), there.dtype()))?;
            if cast.ty != Type::Float64 {
                return Ok(there);
            }
            let values: Float64Chunked = there.f64()?.iter().map(|value| value.and_then(finite)).collect();
            Ok(values.into_series())
        }
    }
}

/// Converts datetimes to UTC microseconds. Finer digits are dropped, as in text. A datetime without a time zone is in the column's zone.
fn instants(cast: &Cast, raw: &Series) -> PolarsResult<Series> {
    let naive = matches!(raw.dtype(), DataType::Datetime(_, None));
    let zone_of_source = match raw.dtype() {
        DataType::Datetime(_, zone) => zone.clone(),
        _ => None,
    };
    let micros = raw.cast(&DataType::Datetime(TimeUnit::Microseconds, zone_of_source))?.cast(&DataType::Int64)?;
    let mut zone = cast.zone.clone();
    let values: Int64Chunked = micros
        .i64()?
        .iter()
        .map(|value| {
            let value = value.filter(|value| in_range(*value))?;
            if naive { zone.instant(value).ok() } else { Some(value) }
        })
        .collect();
    Ok(values.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_series())
}
