//! How Parquet types are mapped to types of raw columns.
//!
//! | Parquet | raw column |
//! |---|---|
//! | boolean, int 32 and 64, float, double, string, date, decimal up to 38 digits | the same |
//! | int 8 and 16, unsigned 8 and 16 | Int32 |
//! | unsigned 32 | Int64 |
//! | unsigned 64 | Decimal(20, 0) |
//! | bytes (fixed or not), half float, JSON, BSON, enum | Binary |
//! | timestamp of any unit, with or without UTC, INT96 | Datetime(µs, UTC); nanoseconds are rounded down |
//! | time | String `HH:MM:SS[.ffffff[fff]]` |
//! | list, map, struct | String, JSON; a map is a list of `{"key", "value"}` |
//! | a column of only nulls, without a type | Int32, the physical type in Parquet |
//! | interval, decimal of more digits, a logical type unknown to polars (variant, geometry) | refused |

use polars::prelude::*;

use super::json;
use super::time::time_of_day;

/// Casts a series to a type that a table supports.
pub(super) fn to_table_type(series: &Series) -> PolarsResult<Series> {
    match series.dtype() {
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::String
        | DataType::Binary
        | DataType::Date
        | DataType::Decimal(..) => Ok(series.clone()),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => series.strict_cast(&DataType::Int32),
        DataType::UInt32 => series.strict_cast(&DataType::Int64),
        DataType::UInt64 => series.strict_cast(&DataType::Decimal(20, 0)),
        DataType::Datetime(unit, _) => instants(series, *unit),
        DataType::Time => texts(series, |value| match value {
            AnyValue::Time(nanoseconds) => Some(time_of_day(nanoseconds)),
            _ => None,
        }),
        DataType::List(_) | DataType::Struct(_) => texts(series, |value| match value {
            AnyValue::Null => None,
            value => Some(json::text(&value)),
        }),
        other => polars_bail!(ComputeError: "columns of type {other} are not supported"),
    }
}

fn texts(series: &Series, text: impl Fn(AnyValue) -> Option<String>) -> PolarsResult<Series> {
    let mut column = StringChunkedBuilder::new(series.name().clone(), series.len());
    for at in 0..series.len() {
        column.append_option(text(series.get(at)?));
    }
    Ok(column.finish().into_series())
}

/// What the decoder returns for an INT96 that does not fit into 64-bit nanoseconds.
const TOO_FAR: i64 = i64::MAX;

fn instants(series: &Series, unit: TimeUnit) -> PolarsResult<Series> {
    let physical = series.to_physical_repr();
    let counts = physical.i64()?;
    if unit == TimeUnit::Nanoseconds && counts.iter().any(|count| count == Some(TOO_FAR)) {
        polars_bail!(
            ComputeError: "column {:?} holds an INT96 timestamp outside the years 1677 to 2262; write it as microseconds",
            series.name().as_str()
        );
    }
    let fits = |count: i64| unit != TimeUnit::Milliseconds || count.checked_mul(1_000).is_some();
    if !counts.iter().flatten().all(fits) {
        polars_bail!(ComputeError: "column {:?} holds a timestamp beyond microseconds", series.name().as_str());
    }
    let microseconds = counts.apply_values(|count| match unit {
        TimeUnit::Milliseconds => count.wrapping_mul(1_000),
        TimeUnit::Microseconds => count,
        TimeUnit::Nanoseconds => count.div_euclid(1_000),
    });
    Ok(microseconds.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_series())
}
