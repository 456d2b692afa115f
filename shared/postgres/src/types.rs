//! Which types of PostgreSQL hold which columns of a dataset, as they are.

use std::fmt;

use polars::prelude::DataType;
use tidemark_pipeline::PostgresType;

/// A type of the server, as far as a load tells types apart: by what goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Precision and scale, where it is declared with them.
    Numeric(Option<(u32, u32)>),
    Text,
    /// So many characters; the server would cut blanks beyond them without a word.
    Varchar(u32),
    /// Goes as text, and is compared as text: `citext`, an enum, a `varchar` of a domain.
    TextLike,
    Json,
    Jsonb,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
}

impl SqlType {
    /// The type a column is declared with in a table of ours; `None` for what no column holds: lists, structs, durations.
    pub fn of(dtype: &DataType) -> Option<SqlType> {
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

    /// What a target's `types` asks for.
    pub fn declared(ty: &PostgresType) -> SqlType {
        match *ty {
            PostgresType::Json => SqlType::Json,
            PostgresType::Jsonb => SqlType::Jsonb,
            PostgresType::Uuid => SqlType::Uuid,
            PostgresType::Varchar(most) => SqlType::Varchar(most),
            PostgresType::Smallint => SqlType::Int2,
            PostgresType::Integer => SqlType::Int4,
            PostgresType::Bigint => SqlType::Int8,
            PostgresType::Real => SqlType::Float4,
            PostgresType::Numeric { precision, scale } => SqlType::Numeric(Some((precision.into(), scale.into()))),
        }
    }

    /// Whether a column that was asked to be of this type may be given the values: what it does not hold of them is refused row by row.
    pub fn takes(self, dtype: &DataType) -> bool {
        self.holds(dtype)
            || match self {
                SqlType::Int2 | SqlType::Int4 => dtype.is_integer() && *dtype != DataType::UInt64,
                SqlType::Float4 => *dtype == DataType::Float64,
                // the server rounds to the scale without a word, and refuses what has too many digits before the point
                SqlType::Numeric(Some((1.., most))) => match dtype {
                    DataType::Decimal(_, scale) => *scale as u32 <= most,
                    dtype => dtype.is_integer(),
                },
                _ => false,
            }
    }

    /// A column of the server's catalogue; `None` for a type no dataset's column goes into. `modifier` is its `atttypmod`.
    pub fn read(name: &str, kind: &str, modifier: i32) -> Option<SqlType> {
        if kind == "e" {
            return Some(SqlType::TextLike);
        }
        Some(match name {
            "bool" => SqlType::Bool,
            "int2" => SqlType::Int2,
            "int4" => SqlType::Int4,
            "int8" => SqlType::Int8,
            "float4" => SqlType::Float4,
            "float8" => SqlType::Float8,
            "numeric" => SqlType::Numeric(declared_digits(modifier)),
            "text" => SqlType::Text,
            // the modifier counts its own four bytes
            "varchar" => u32::try_from(modifier - 4).map_or(SqlType::Text, SqlType::Varchar),
            "citext" => SqlType::TextLike,
            "json" => SqlType::Json,
            "jsonb" => SqlType::Jsonb,
            "uuid" => SqlType::Uuid,
            "date" => SqlType::Date,
            // fewer digits after the second than six would be rounded to
            "time" if !(0..6).contains(&modifier) => SqlType::Time,
            "timestamp" if !(0..6).contains(&modifier) => SqlType::Timestamp,
            "timestamptz" if !(0..6).contains(&modifier) => SqlType::Timestamptz,
            _ => return None,
        })
    }

    /// Whether a column of this type gives back what a dataset's column has, or refuses the row.
    pub fn holds(self, dtype: &DataType) -> bool {
        use SqlType::*;
        let digits = |precision: u32, scale: u32| match self {
            Numeric(None) => true,
            Numeric(Some((most, after))) => after >= scale && most - after >= precision - scale,
            _ => false,
        };
        match dtype {
            DataType::Null => true,
            DataType::Boolean => self == Bool,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => matches!(self, Int2 | Int4 | Int8) || digits(5, 0),
            DataType::UInt16 | DataType::Int32 => matches!(self, Int4 | Int8) || digits(10, 0),
            DataType::UInt32 | DataType::Int64 => self == Int8 || digits(19, 0),
            DataType::UInt64 => digits(20, 0),
            DataType::Float32 => matches!(self, Float4 | Float8),
            DataType::Float64 => self == Float8,
            DataType::Decimal(precision, scale) => digits(*precision as u32, *scale as u32),
            DataType::String => matches!(self, Text | Varchar(_) | TextLike | Json | Jsonb | Uuid),
            DataType::Date => self == Date,
            DataType::Time => self == Time,
            DataType::Datetime(_, None) => self == Timestamp,
            DataType::Datetime(_, Some(_)) => self == Timestamptz,
            _ => false,
        }
    }

    /// How a column of this type is compared in SQL, to the letter.
    pub fn compared(self, column: &str) -> String {
        match self {
            // whatever the column's collation takes for equal
            SqlType::Text | SqlType::Varchar(_) => format!("{column} COLLATE \"C\""),
            SqlType::TextLike | SqlType::Json => format!("{column}::text COLLATE \"C\""),
            _ => column.to_owned(),
        }
    }
}

/// What `numeric(p, s)` says in its modifier: `((p << 16) | s) + 4`, the scale with a sign of 11 bits since version 15.
fn declared_digits(modifier: i32) -> Option<(u32, u32)> {
    let packed = modifier.checked_sub(4).filter(|_| modifier >= 4)?;
    let (precision, scale) = ((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024);
    // a scale below zero rounds whole numbers: nothing fits
    let precision = if scale < 0 { 0 } else { precision };
    Some((precision as u32, scale.clamp(0, precision) as u32))
}

impl fmt::Display for SqlType {
    /// As it is declared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SqlType::Bool => "boolean",
            SqlType::Int2 => "smallint",
            SqlType::Int4 => "integer",
            SqlType::Int8 => "bigint",
            SqlType::Float4 => "real",
            SqlType::Float8 => "double precision",
            SqlType::Numeric(None) => "numeric",
            SqlType::Numeric(Some((precision, scale))) => return write!(f, "numeric({precision},{scale})"),
            SqlType::Text | SqlType::TextLike => "text",
            SqlType::Varchar(most) => return write!(f, "varchar({most})"),
            SqlType::Json => "json",
            SqlType::Jsonb => "jsonb",
            SqlType::Uuid => "uuid",
            SqlType::Date => "date",
            SqlType::Time => "time",
            SqlType::Timestamp => "timestamp",
            SqlType::Timestamptz => "timestamptz",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_digits_are_those_of_the_catalogue() {
        // from pg_attribute of PostgreSQL 16
        for (declared, modifier, digits) in [
            ("numeric", -1, None),
            ("numeric(12,2)", 786_438, Some((12, 2))),
            ("numeric(38,38)", 2_490_410, Some((38, 38))),
            ("numeric(5,-2)", 329_730, Some((0, 0))),
        ] {
            assert_eq!(declared_digits(modifier), digits, "{declared}");
        }
    }

    #[test]
    fn a_type_holds_all_of_a_column_or_is_refused() {
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
            assert_eq!(sql.holds(&dtype), held, "{sql} of {dtype}");
        }
    }
}
