//! `[[model]]` and `[contract.explode]`: datasets made of datasets.

use serde::Serialize;

use super::Column;
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

/// A row of a model per element of an array: the input's key, [`POSITION`], these columns, and the column of the input's partitions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Children {
    pub key: Vec<ColumnName>,
    /// The input's column that holds the array as JSON.
    pub column: ColumnName,
    pub columns: Vec<Column>,
}

/// The column of a child's place in its array, from 1.
pub const POSITION: &str = "position";

/// `[contract.explode.<name>]`: a dataset of the elements of an array. Only with a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explode {
    pub name: DatasetName,
    /// A string column of the contract that holds a JSON array. An object is an array of one, NULL one of none.
    pub column: ColumnName,
    /// As those of the contract; `from` is a pointer into the element, `""` the element itself.
    pub columns: Vec<Column>,
}

/// SQL with the place it was written at, so that an error can point there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sql {
    pub text: String,
    /// `infra/pipelines/daily-sales/by_day.sql`, or the TOML file itself.
    pub file: String,
    /// Line of the first line of `text` in `file`, from 1.
    pub line: usize,
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
