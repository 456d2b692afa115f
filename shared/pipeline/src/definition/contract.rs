//! `[contract]`: columns, key, rules and partitioning of a clean dataset.

use serde::Serialize;

use super::budget::Budget;
use super::column::Column;
use super::explode::Explode;
use crate::name::{ColumnName, DatasetName};

/// `[contract]`: the definition of a clean dataset. Records that violate it are written to `<dataset>.quarantine`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contract {
    /// By default the pipeline's name with `_` for `-`.
    pub dataset: DatasetName,
    /// `[contract.columns]`, in file order, which is also the column order of the clean dataset.
    pub columns: Vec<Column>,
    /// A column or an array of columns. Rows with the same key are versions of one row. Empty: the dataset is a multiset of rows.
    pub key: Vec<ColumnName>,
    /// Of rows with the same key, the one with the greatest value in this column is kept; of equal ones (or without `latest_by`) the one
    /// later in the source, by object name and row number. Requires a key.
    pub latest_by: Option<ColumnName>,
    pub partition_by: Option<PartitionBy>,
    /// `[contract.filter]`, `name = "expression"`. Rows for which an expression is not true are dropped, and counted under the name of the
    /// first such filter.
    pub filters: Vec<Rule>,
    /// `[contract.check]`, `name = "expression"`. Rows for which an expression is false are quarantined; NULL passes, as in an SQL CHECK.
    pub checks: Vec<Rule>,
    /// `"1%"` or a number of rows. If a run quarantines more, it publishes nothing.
    pub max_quarantined: Option<Budget>,
    /// `deletes = "absent"`: rows that the source no longer returns are deleted. Only for a source that returns all records every time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deletes_absent: bool,
    /// Handling of source fields that no column reads. The raw dataset always keeps them.
    #[serde(skip_serializing_if = "Unknown::is_keep")]
    pub unknown: Unknown,
    /// `[contract.explode]`: arrays in a record that become datasets of their own. An invalid element makes the whole record invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explodes: Vec<Explode>,
}

/// Handling of source fields that no column reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Report them in the run record.
    #[default]
    Keep,
    /// Do not report them.
    Ignore,
    /// Publish nothing, and fail.
    Fail,
}

impl Unknown {
    fn is_keep(&self) -> bool {
        *self == Unknown::Keep
    }
}

/// A named SQL expression over one clean row. It parses, and refers to columns of the contract only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub name: String,
    pub sql: String,
}

/// The partition column, whose partitions are recomputed and replaced as a whole. With `every` it is derived from a date or datetime;
/// without, the values of the column itself (string, bool, integer or date) are the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionBy {
    pub column: ColumnName,
    pub every: Option<Every>,
    /// `as`: name of the partition column. Without `every` it is `column`. With `every` it is derived by default: `sold_at` → `sold_on`
    /// (day) or `sold_month`, `day` → `day_day`.
    pub name: ColumnName,
    /// IANA time zone of the days or months; `UTC` by default. Only with `every` on a datetime.
    pub timezone: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    Day,
    /// The first day of the month.
    Month,
}
