//! A pipeline file, checked: what the TOML says once every mistake in it has been reported.
//!
//! Each field says how it is written where that differs from its name here. Unknown fields are refused, `${NAME}` in any
//! string is a parameter ([`crate::parameters`]), and `[parameters]` may give defaults:
//! `REPORTS = { default = "out", about = "where reports go" }`. A target may hang on one (`only_with`, `only_without`): one that
//! is not there is checked, and left out.
//!
//! Everything here is plain data. The parser (`read`) is the only place that makes it; whoever holds a [`Pipeline`]
//! need not check it again.

mod alerts;
mod model;
mod target;

use std::fmt;

use serde::Serialize;

pub use alerts::{Alerts, Email, Quiet, Severity, Slack, Wrong};
pub use model::{Children, Explode, Incremental, Made, Model, POSITION, Sql, When};
pub use target::{Destination, Mode, Postgres, PostgresType, PostgresUrl, Sqlite, Target};

use crate::http::Http;
use crate::name::{ColumnName, DatasetName, PipelineName};
use crate::schedule::{Cron, Rate};

/// One pipeline file with its parameters filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pipeline {
    pub name: PipelineName,
    pub description: Option<String>,
    pub schedule: Option<Schedule>,
    /// Where the raw rows come from; there is a contract if and only if there is a source. Without them the pipeline only
    /// has models and targets over other pipelines' datasets.
    pub source: Option<Source>,
    pub contract: Option<Contract>,
    /// One for each `[contract.explode]`, then `[[model]]`, in the order of the file; [`crate::graph`] gives the order of computing.
    pub models: Vec<Model>,
    /// `[[target]]`, in the order of the file.
    pub targets: Vec<Target>,
    pub alerts: Alerts,
}

/// When a pipeline runs: `schedule = { cron = "0 8 * * ? *", timezone = "Europe/London" }` or `{ rate = "4 hours" }`. The only
/// place a schedule is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    #[serde(flatten)]
    pub fires: Fires,
    /// IANA time zone a cron is meant in, `UTC` by default; a rate has none, and `UTC` here.
    pub timezone: String,
    pub catch_up: CatchUp,
}

/// Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fires {
    /// Six AWS cron fields: minute hour day-of-month month day-of-week year.
    Cron(Cron),
    /// `4 hours`: at whole multiples of it since 1970-01-01T00:00:00Z.
    Rate(Rate),
}

/// `catch_up = "last"`: which of the times that `tidemark dev` missed it makes up for: it was off, the machine slept, or the run before took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// One run, for the last of them.
    #[default]
    Last,
    /// A run for each, in their order.
    All,
    /// None: the next time is waited for. Written `"none"`.
    #[serde(rename = "none")]
    Nothing,
}

/// `[source]`, by its `kind`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    Files(Files),
    Http(Box<Http>),
}

/// Source `files`: a file, a glob or a folder (all files in it and below, hidden ones excepted).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Files {
    pub path: String,
    /// Taken from the file name (`.csv`, `.csv.gz`, `.ndjson.zst`, …) where not given.
    pub format: Option<Format>,
    pub csv: Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
}

/// `csv = { delimiter = ";", quote = "'", header = true, columns = ["a"], encoding = "utf-8" }` in `[source]`. One record is one raw row; every field is kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Csv {
    /// One ASCII byte, `,` by default.
    pub delimiter: u8,
    /// One ASCII byte, `"` by default; `None` = no quoting, written `""`.
    pub quote: Option<u8>,
    /// `header = true`, the default, or `header = false` with `columns = ["…"]`.
    pub header: Header,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// The first record names the columns.
    First,
    /// There is no header line; these are the columns.
    Given(Vec<ColumnName>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// With or without byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl Default for Csv {
    fn default() -> Self {
        Csv { delimiter: b',', quote: Some(b'"'), header: Header::First, encoding: Encoding::Utf8 }
    }
}

/// `[contract]`: what a clean row is. Rows that break it go to `<dataset>.quarantine`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contract {
    /// The pipeline's name with `_` for `-` by default.
    pub dataset: DatasetName,
    /// `[contract.columns]` in the order of the file: the order of the columns of the clean dataset.
    pub columns: Vec<Column>,
    /// A column or an array of them. Rows with the same key are versions of one row; empty = every row stands for itself (a bag).
    pub key: Vec<ColumnName>,
    /// Of the rows with one key the one with the greatest value wins; only with a key.
    /// Ties (and no `latest_by`): the row that comes later in its source (object name, row number) wins.
    pub latest_by: Option<ColumnName>,
    pub partition_by: Option<PartitionBy>,
    /// `[contract.filter]`, `name = "expression"`. Rows for which an expression is not true are dropped, and counted under the name of the first such filter.
    pub filters: Vec<Rule>,
    /// `[contract.check]`. Rows for which an expression is false are quarantined (true or NULL passes, as a CHECK of SQL).
    pub checks: Vec<Rule>,
    /// `"1%"` or a number of rows; over it nothing is published.
    pub max_quarantined: Option<Budget>,
    /// `deletes = "absent"`: a row that is in the source no more is deleted; only of a source that says everything each time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deletes_absent: bool,
    /// What to do about fields that no column reads. Raw rows keep them in any case.
    #[serde(skip_serializing_if = "Unknown::is_keep")]
    pub unknown: Unknown,
    /// `[contract.explode]`: arrays of a record that are datasets of their own. What breaks their rules breaks the record's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explodes: Vec<Explode>,
}

/// A record has a field that no column reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// The run record tells of it.
    #[default]
    Keep,
    /// Nobody is told.
    Ignore,
    /// Nothing is published.
    Fail,
}

impl Unknown {
    fn is_keep(&self) -> bool {
        *self == Unknown::Keep
    }
}

/// A named SQL expression over the clean columns of one row; parses, and names only columns of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub name: String,
    pub sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// Share of the rows of one run, 0 to 1 (`"1%"` is 0.01).
    Share(f64),
    /// Number of rows of one run.
    Count(u64),
}

impl Budget {
    /// How many of so many rows it lets pass.
    pub fn most(self, rows: u64) -> u64 {
        match self {
            Budget::Share(share) => (share * rows as f64) as u64,
            Budget::Count(most) => most,
        }
    }
}

/// `1%`, or the number.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Share(share) => write!(f, "{}%", share * 100.0),
            Budget::Count(most) => most.fmt(f),
        }
    }
}

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

/// The unit of recompute and swap. `every` makes a column of its own out of a date or datetime; without it the column's own value
/// (string, bool, integer or date) is the partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionBy {
    pub column: ColumnName,
    pub every: Option<Every>,
    /// `as`. The column that holds the partition: `column` itself without `every`, else by default `sold_at` → `sold_on` (day),
    /// `sold_month`; a date column `day` → `day_day`, so better give a name: `as = "…"`.
    pub name: ColumnName,
    /// Time zone whose days are meant; `UTC` by default. Only with `every` on a datetime.
    pub timezone: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    Day,
    /// The first day of the month.
    Month,
}

/// A dated workbook and one CSV per sheet for the day before the scheduled time: `<folder>/<file>-<day>.xlsx`,
/// `<folder>/<file>-<day>-<sheet>.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub name: String,
    pub folder: String,
    /// Stem of the file names; the pipeline's name by default.
    pub file: String,
    pub title: String,
    /// Time zone whose day is meant; the schedule's by default.
    pub timezone: String,
    pub sheets: Vec<Sheet>,
    /// Datasets all its SQL names, in order of first use.
    pub inputs: Vec<DatasetName>,
}

/// One sheet: a table made by SQL, in which `:day` stands for the report's day as a date.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sheet {
    pub title: String,
    pub sql: Sql,
    /// How columns are shown; text as it is, integers `#,##0`, decimals and floats `#,##0.00`, dates `yyyy-mm-dd` by default.
    pub formats: Vec<(ColumnName, CellFormat)>,
    /// Headers to show instead of the column names (default: `average_order` → `Average order`).
    pub labels: Vec<(ColumnName, String)>,
    pub charts: Vec<Chart>,
    /// Shown in place of the table when it has no rows.
    pub when_empty: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CellFormat {
    Text,
    Integer,
    Decimal,
    /// Whole numbers without decimals, others with two.
    Number,
    /// Two decimals, negative in red.
    Money,
    /// 0.125 is shown as 12.5 %.
    Percent,
    Date,
    Datetime,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    pub kind: ChartKind,
    pub title: String,
    /// The sheet whose table is drawn; the chart's own by default.
    pub sheet: String,
    pub category: ColumnName,
    pub values: Vec<ColumnName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartKind {
    Column,
    Bar,
    Line,
}
