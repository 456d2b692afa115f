//! `[[model]]`: datasets computed from other datasets.

use serde::Serialize;

use super::contract::Every;
use super::explode::Children;
use super::sql::Sql;
use crate::name::{ColumnName, DatasetName};

/// A dataset computed from other datasets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    pub name: DatasetName,
    #[serde(flatten)]
    pub kind: ModelKind,
    /// The column of the result that holds the partitions.
    pub partition_by: Option<ColumnName>,
    /// Length of its partitions, if the definition declares it. Otherwise it is derived from the inputs; see [`crate::partitioning`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periods: Option<Periods>,
    /// How partitions depend on the inputs' partitions. `None`: the whole model is recomputed.
    pub incremental: Option<Incremental>,
    pub when: When,
    /// The datasets that it reads, in order of first use.
    pub inputs: Vec<DatasetName>,
}

/// `partition_by = { column = "month", every = "month", timezone = "Europe/London" }`: the column holds the first day of each period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Periods {
    pub every: Every,
    /// IANA time zone of the days or months; by default that of the inputs.
    pub timezone: Option<String>,
}

/// How a model's rows are computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// `sql = "SELECT …"`, or `sql_file = "daily-sales/by_day.sql"` relative to the pipeline file: one valid query.
    Sql(Sql),
    /// One row per element of an array in its only input.
    Explode(Children),
}

/// `incremental = { lookback = "7d" }`: partition P of the model depends on the inputs' partitions from P − lookback to P. The inputs
/// must be partitioned by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Incremental {
    /// In days.
    pub lookback_days: u32,
}

/// When a partition is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// After each change of an input.
    #[default]
    Changed,
    /// Once every input partition that the partition reads is complete. Only with `partition_by`.
    Complete,
}
