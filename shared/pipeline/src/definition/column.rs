//! `[contract.columns]`: the columns of a clean row, and their types.

use serde::Serialize;

use crate::name::ColumnName;

/// `amount = { type = "decimal(12,2)", min = 0 }`, or short `amount = "int64"`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Does not start with `_`; those names are Tidemark's own.
    pub name: ColumnName,
    /// `type`.
    pub ty: Type,
    /// The field of the source: a CSV or Parquet column, or a JSON pointer (starts with `/`). The column's name by default
    /// (for NDJSON `/name`).
    pub from: Option<String>,
    /// NULL breaks the contract.
    pub required: bool,
    /// Inclusive; of numbers, dates and times. A value of the column's type: a number in plain digits (a float as written),
    /// a date `2024-12-31`, a time `23:59:59[.ffffff]`, a datetime in UTC `2024-12-31T23:59:59Z`.
    pub min: Option<String>,
    pub max: Option<String>,
    /// Values in the same form, texts as they are; empty = anything.
    pub one_of: Vec<String>,
    /// Regular expression that must match somewhere in a string (anchor it with `^…$` to match all of it).
    pub pattern: Option<String>,
    /// `format`, a string or an array: strptime formats of a date, time or datetime, tried in turn; empty = ISO 8601 (RFC 3339).
    pub formats: Vec<String>,
    /// IANA time zone in which a datetime without offset is meant; `UTC` by default. Stored in UTC.
    pub timezone: Option<String>,
    /// White space around the text is removed before anything else; on by default.
    pub trim: bool,
    /// Texts that mean NULL, compared after trimming; `[""]` by default.
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
    /// Time of day; stored as text `HH:MM:SS[.ffffff]` since Delta has no such type.
    Time,
    /// Instant, microseconds, UTC.
    Datetime,
}
