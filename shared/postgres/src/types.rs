//! The PostgreSQL types that columns of datasets are read from and written to.

use std::fmt;

use tidemark_pipeline::PostgresType;

/// A type of the server. Types with the same binary format on the wire are not distinguished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Precision and scale, if declared.
    Numeric(Option<(u32, u32)>),
    Text,
    /// Maximum number of characters. The server silently removes blanks beyond it.
    Varchar(u32),
    /// A type that is sent and compared as text: `citext`, an enum, a `varchar` of a domain.
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
    /// The type that a definition's `types` declares for a column.
    pub fn from_declared(ty: &PostgresType) -> SqlType {
        match *ty {
            PostgresType::Json => SqlType::Json,
            PostgresType::Jsonb => SqlType::Jsonb,
            PostgresType::Uuid => SqlType::Uuid,
            PostgresType::Varchar(max) => SqlType::Varchar(max),
            PostgresType::Smallint => SqlType::Int2,
            PostgresType::Integer => SqlType::Int4,
            PostgresType::Bigint => SqlType::Int8,
            PostgresType::Real => SqlType::Float4,
            PostgresType::Numeric { precision, scale } => SqlType::Numeric(Some((precision.into(), scale.into()))),
        }
    }

    /// The type of a column in the server's catalogue; `None` if no column of a dataset can have it. `modifier` is its `atttypmod`.
    pub fn from_catalog(name: &str, kind: &str, modifier: i32) -> Option<SqlType> {
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
            // the modifier is the length plus the 4 bytes of a header
            "varchar" => u32::try_from(modifier - 4).map_or(SqlType::Text, SqlType::Varchar),
            "citext" => SqlType::TextLike,
            "json" => SqlType::Json,
            "jsonb" => SqlType::Jsonb,
            "uuid" => SqlType::Uuid,
            "date" => SqlType::Date,
            // with fewer than six fractional digits the server would round values
            "time" if !(0..6).contains(&modifier) => SqlType::Time,
            "timestamp" if !(0..6).contains(&modifier) => SqlType::Timestamp,
            "timestamptz" if !(0..6).contains(&modifier) => SqlType::Timestamptz,
            _ => return None,
        })
    }
}

/// Precision and scale from the modifier of `numeric(p, s)`: `((p << 16) | s) + 4`, where the scale is a signed 11-bit number since
/// version 15.
fn declared_digits(modifier: i32) -> Option<(u32, u32)> {
    let packed = modifier.checked_sub(4).filter(|_| modifier >= 4)?;
    let (precision, scale) = ((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024);
    // a negative scale rounds whole numbers, so no column fits
    let precision = if scale < 0 { 0 } else { precision };
    Some((precision as u32, scale.clamp(0, precision) as u32))
}

impl fmt::Display for SqlType {
    /// The type as declared in SQL.
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
            SqlType::Varchar(max) => return write!(f, "varchar({max})"),
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
    fn precision_and_scale_are_read_from_the_type_modifier() {
        // Values of `atttypmod` in PostgreSQL 16.
        for (declared, modifier, digits) in [
            ("numeric", -1, None),
            ("numeric(12,2)", 786_438, Some((12, 2))),
            ("numeric(38,38)", 2_490_410, Some((38, 38))),
            ("numeric(5,-2)", 329_730, Some((0, 0))),
        ] {
            assert_eq!(declared_digits(modifier), digits, "{declared}");
        }
    }
}
