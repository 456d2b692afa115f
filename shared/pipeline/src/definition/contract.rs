//! `[contract]`: what a clean row is, and which rows lie together.

use serde::Serialize;

use super::budget::Budget;
use super::column::Column;
use super::explode::Explode;
use crate::name::{ColumnName, DatasetName};

/// `[contract]`: what a clean row is. Rows that break it go to `<dataset>.quarantine`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contract {
    /// The pipeline's name with `_` for `-` by default.
    pub dataset: DatasetName,
    /// `[contract.columns]` in the order of the file: the order of the columns of the clean dataset.
    pub columns: Vec<Column>,
    /// A column or an array of them. Rows with the same key are versions of one row; empty = every row stands for itself (a bag).
    pub key: Vec<ColumnName>,
    /// Among rows with the same key, the one with the greatest value in this column wins. Requires a key.
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
    /// It is reported in the run record.
    #[default]
    Keep,
    /// It is not reported.
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
