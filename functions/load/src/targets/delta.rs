//! What a target is given to load.

use polars::prelude::DataFrame;
use tidemark_flow::Error;

/// A part of a change of a dataset.
pub(crate) struct Delta {
    /// Rows that are new, or differ from what they were.
    pub(crate) upserts: DataFrame,
    /// Rows that are no longer there as they were: at least their keys.
    pub(crate) deletes: Option<DataFrame>,
}

pub(crate) type Deltas<'f> = Box<dyn Iterator<Item = Result<Delta, Error>> + 'f>;
