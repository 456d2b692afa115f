//! Which PostgreSQL types hold which columns of a dataset without changing values.

use polars::prelude::DataType;
use tidemark_postgres::SqlType;

/// The type with which a column is declared in a table that Tidemark creates; `None` for types that no column can hold: lists, structs,
/// durations.
pub(super) fn for_column(dtype: &DataType) -> Option<SqlType> {
    Some(match dtype {
        DataType::Boolean => SqlType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => SqlType::Int2,
        DataType::Int32 | DataType::UInt16 => SqlType::Int4,
        DataType::Int64 | DataType::UInt32 => SqlType::Int8,
        DataType::UInt64 => SqlType::Numeric(Some((20, 0))),
        DataType::Float32 => SqlType::Float4,
        DataType::Float64 => SqlType::Float8,
        DataType::Decimal(precision, scale) => SqlType::Numeric(Some((*precision as u32, *scale as u32))),
        // a column that is NULL throughout has no type yet
        DataType::String | DataType::Null => SqlType::Text,
        DataType::Date => SqlType::Date,
        DataType::Time => SqlType::Time,
        DataType::Datetime(_, None) => SqlType::Timestamp,
        DataType::Datetime(_, Some(_)) => SqlType::Timestamptz,
        _ => return None,
    })
}

/// Whether values may be sent to a column declared with this type. Values that it cannot hold are rejected row by row.
pub(super) fn takes(sql: SqlType, dtype: &DataType) -> bool {
    holds(sql, dtype)
        || match sql {
            SqlType::Int2 | SqlType::Int4 => dtype.is_integer() && *dtype != DataType::UInt64,
            SqlType::Float4 => *dtype == DataType::Float64,
            // the server silently rounds to the scale, and rejects values with too many digits before the point
            SqlType::Numeric(Some((1.., max))) => match dtype {
                DataType::Decimal(_, scale) => *scale as u32 <= max,
                dtype => dtype.is_integer(),
            },
            _ => false,
        }
}

/// Whether a column of this type returns every value of a dataset's column unchanged, or rejects the row.
pub(super) fn holds(sql: SqlType, dtype: &DataType) -> bool {
    use SqlType::*;
    let digits = |precision: u32, scale: u32| match sql {
        Numeric(None) => true,
        Numeric(Some((max, after))) => after >= scale && max - after >= precision - scale,
        _ => false,
    };
    match dtype {
        DataType::Null => true,
        DataType::Boolean => sql == Bool,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => matches!(sql, Int2 | Int4 | Int8) || digits(5, 0),
        DataType::UInt16 | DataType::Int32 => matches!(sql, Int4 | Int8) || digits(10, 0),
        DataType::UInt32 | DataType::Int64 => sql == Int8 || digits(19, 0),
        DataType::UInt64 => digits(20, 0),
        DataType::Float32 => matches!(sql, Float4 | Float8),
        DataType::Float64 => sql == Float8,
        DataType::Decimal(precision, scale) => digits(*precision as u32, *scale as u32),
        DataType::String => matches!(sql, Text | Varchar(_) | TextLike | Json | Jsonb | Uuid),
        DataType::Date => sql == Date,
        DataType::Time => sql == Time,
        DataType::Datetime(_, None) => sql == Timestamp,
        DataType::Datetime(_, Some(_)) => sql == Timestamptz,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_cannot_hold_every_value_is_refused() {
        let decimal = DataType::Decimal(12, 2);
        for (sql, dtype, held) in [
            (SqlType::Int8, DataType::Int32, true),
            (SqlType::Int4, DataType::Int64, false),
            (SqlType::Numeric(None), DataType::Int64, true),
            (SqlType::Numeric(Some((14, 4))), decimal.clone(), true),
            (SqlType::Numeric(Some((14, 1))), decimal.clone(), false),
            (SqlType::Numeric(Some((12, 4))), decimal, false),
            (SqlType::Float8, DataType::Decimal(12, 2), false),
            (SqlType::Jsonb, DataType::String, true),
            (SqlType::Timestamp, DataType::Datetime(polars::prelude::TimeUnit::Microseconds, None), true),
            (SqlType::Date, DataType::String, false),
        ] {
            assert_eq!(holds(sql, &dtype), held, "{sql} of {dtype}");
        }
    }
}
