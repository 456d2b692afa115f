//! What a load is asked to do, and how it ended.

use polars::prelude::{Schema, Series};
use tidemark_pipeline::DatasetName;

use super::load_state::Loaded;
use crate::targets::delta::Deltas;

/// A step from one version of a dataset to another, to be taken by a table.
pub(crate) struct Load<'a> {
    pub(crate) dataset: &'a DatasetName,
    /// The version of the dataset the table is at afterwards.
    pub(crate) version: i64,
    /// The version the change starts from, as [`Database::load_state`](super::database::Database::load_state) gave it; `None` = from nothing.
    pub(crate) previous: Option<i64>,
    /// All rows come again, whatever the table is thought to have.
    pub(crate) is_rebuild: bool,
    pub(crate) run_id: &'a str,
    pub(crate) schema: &'a Schema,
    /// Rows of an upsert that are upserted by the change, sent or not.
    pub(crate) rows: u64,
    /// The change; it is requested again if rows have to be sent again.
    pub(crate) change: &'a dyn Fn() -> Deltas<'a>,
    /// Of a swap: the values of the partition column (NULL is one too), under its name; without, all of the table is swapped.
    pub(crate) partitions: Option<&'a Series>,
    /// Returns whether the load should stop.
    pub(crate) is_late: &'a dyn Fn() -> bool,
}

/// How a load ended. Losing the race to another process is no error.
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
