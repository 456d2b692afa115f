//! The input of a load, and its outcome.

use polars::prelude::{Schema, Series};
use tidemark_pipeline::DatasetName;

use super::load_state::Loaded;
use crate::targets::delta::Deltas;

/// A load that takes a table from one version of its dataset to another.
pub(crate) struct Load<'a> {
    pub(crate) dataset: &'a DatasetName,
    /// The version of the dataset the table is at afterwards.
    pub(crate) version: i64,
    /// The version the change starts from, from [`Database::load_state`](super::database::Database::load_state); `None` if there is none.
    pub(crate) previous: Option<i64>,
    /// Whether all rows are loaded again, whatever version the table has.
    pub(crate) is_rebuild: bool,
    pub(crate) run_id: &'a str,
    pub(crate) schema: &'a Schema,
    /// Number of rows of an upsert, whether they are sent or not.
    pub(crate) rows: u64,
    /// The change; it is requested again if rows have to be sent again.
    pub(crate) change: &'a dyn Fn() -> Deltas<'a>,
    /// For a swap, the values of the partition column, possibly with NULL, in a series with its name. `None` swaps the whole table.
    pub(crate) partitions: Option<&'a Series>,
    /// Returns whether the load should stop.
    pub(crate) is_late: &'a dyn Fn() -> bool,
}

/// How a load ended. Being overtaken by another process is not an error.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Loaded(Loaded),
    /// The table is at this version already; nothing was written.
    AlreadyLoaded,
    /// The table is not at the version the change starts from, because another process loaded it meanwhile.
    /// Nothing was written; plan again.
    Stale,
}
