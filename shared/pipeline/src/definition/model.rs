//! `[[model]]`: datasets made of datasets.

use serde::Serialize;

use super::explode::Children;
use super::sql::Sql;
use crate::name::{ColumnName, DatasetName};

/// A dataset made of other datasets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    pub name: DatasetName,
    #[serde(flatten)]
    pub made: Made,
    /// A column of the result, which becomes the partition.
    pub partition_by: Option<ColumnName>,
    /// How the partitions hang on the inputs' partitions; without it the model is recomputed whole.
    pub incremental: Option<Incremental>,
    pub when: When,
    /// Datasets it is made of: those the SQL names, in order of first use.
    pub inputs: Vec<DatasetName>,
}

/// How a model's rows are made.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
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
    /// A partition is made only once the inputs' watermark has passed its end. Only with `partition_by`.
    Complete,
}
