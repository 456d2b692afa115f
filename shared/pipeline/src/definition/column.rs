//! `[contract.columns]`: the columns of a clean dataset, and their types.

use serde::Serialize;

use crate::name::ColumnName;

/// `amount = { type = "decimal(12,2)", min = 0 }`, or `amount = "int64"` for short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Does not start with `_`, which is reserved for Tidemark.
    pub name: ColumnName,
    /// `type`.
    pub ty: Type,
    /// The source field: a CSV or Parquet column, or a JSON pointer (starts with `/`). By default the column's name (`/name` for JSON).
    pub from: Option<String>,
    /// NULL violates the contract.
    pub required: bool,
    /// Inclusive minimum of a number, date or time, in normal form: a number in plain digits (a float as written), `2024-12-31`,
    /// `23:59:59[.ffffff]`, or `2024-12-31T23:59:59Z` (UTC).
    pub min: Option<String>,
    /// Inclusive maximum, in the same form.
    pub max: Option<String>,
    /// The allowed values in the same form, strings as written; empty if all values are allowed.
    pub one_of: Vec<String>,
    /// Regular expression that must match somewhere in the string; `^…$` matches the whole string.
    pub pattern: Option<String>,
    /// `format`, a string or an array: strptime formats of a date, time or datetime, tried in order; empty for ISO 8601 (RFC 3339).
    pub formats: Vec<String>,
    /// IANA time zone of datetimes without an offset; `UTC` by default. Values are stored in UTC.
    pub timezone: Option<String>,
    /// Remove surrounding white space first; true by default.
    pub trim: bool,
    /// Strings that are read as NULL, after trimming; `[""]` by default.
    pub nulls: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    String,
    /// `true`/`false`, `t`/`f`, `yes`/`no`, `y`/`n`, `1`/`0`, in any case.
    Bool,
    Int32,
    Int64,
    Float64,
    /// 1 ≤ precision ≤ 38, scale ≤ precision.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// Time of day, stored as a string `HH:MM:SS[.ffffff]` because Delta has no such type.
    Time,
    /// Instant in UTC with microseconds.
    Datetime,
}
