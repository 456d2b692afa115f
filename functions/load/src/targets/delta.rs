//! The input of a load: rows to upsert and rows to delete.

use polars::prelude::DataFrame;
use tidemark_flow::Error;

/// A part of a change of a dataset.
pub(crate) struct Delta {
    /// Rows that are new or have changed.
    pub(crate) upserts: DataFrame,
    /// Rows that were deleted, or that changed: at least their key columns.
    pub(crate) deletes: Option<DataFrame>,
}

pub(crate) type Deltas<'f> = Box<dyn Iterator<Item = Result<Delta, Error>> + 'f>;
