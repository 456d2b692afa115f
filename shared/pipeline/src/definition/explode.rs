//! `[contract.explode]`: datasets with one row per array element.

use serde::Serialize;

use super::column::Column;
use crate::name::{ColumnName, DatasetName};

/// A model with one row per array element: the parent's key, [`POSITION`], `columns`, and the parent's partition column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Children {
    pub key: Vec<ColumnName>,
    /// The parent's column that holds the array as JSON.
    pub column: ColumnName,
    pub columns: Vec<Column>,
}

/// Name of the column with the position of the element in its array, from 1.
pub const POSITION: &str = "position";

/// `[contract.explode.<name>]`: a dataset with one row per array element. The contract must have a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explode {
    pub name: DatasetName,
    /// A string column of the contract that holds a JSON array. An object is read as an array of one element, NULL as an empty array.
    pub column: ColumnName,
    /// As in the contract; `from` is a JSON pointer into the element, `""` is the element itself.
    pub columns: Vec<Column>,
}
