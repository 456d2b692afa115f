//! `[[model]]`: datasets made of datasets.

use serde::Serialize;

use super::contract::Every;
use super::explode::Children;
use super::sql::Sql;
use crate::name::{ColumnName, DatasetName};

/// A dataset made of other datasets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    pub name: DatasetName,
    #[serde(flatten)]
    pub kind: ModelKind,
    /// A column of the result, which becomes the partition.
    pub partition_by: Option<ColumnName>,
    /// How long its partitions are, where the definition says so and does not leave it to the inputs; see [`crate::partitioning`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periods: Option<Periods>,
    /// How the partitions depend on the inputs' partitions; without it the whole model is recomputed.
    pub incremental: Option<Incremental>,
    pub when: When,
    /// Datasets it is made of: those the SQL names, in order of first use.
    pub inputs: Vec<DatasetName>,
}

/// `partition_by = { column = "month", every = "month", timezone = "Europe/London" }`: the column holds the first days of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Periods {
    pub every: Every,
    /// IANA time zone whose days are meant; the inputs' by default.
    pub timezone: Option<String>,
}

/// How a model's rows are computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// `sql = "SELECT …"` or `sql_file = "daily-sales/by_day.sql"`, relative to the pipeline file: one query, which parses.
    Sql(Sql),
    /// Of the elements of an array of its one input.
    Explode(Children),
}

/// `incremental = { lookback = "7d" }`: partition P of the model is made from the inputs' partitions P − lookback to P. The inputs must be partitioned by a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Incremental {
    /// Whole days.
    pub lookback_days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// As soon as an input changed.
    #[default]
    Changed,
    /// A partition is made only once every input partition it reads is complete. Only with `partition_by`.
    Complete,
}
