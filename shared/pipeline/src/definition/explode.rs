//! `[contract.explode]`: datasets of the elements of arrays.

use serde::Serialize;

use super::column::Column;
use crate::name::{ColumnName, DatasetName};

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
