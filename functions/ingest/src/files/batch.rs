//! The unit that a decoder emits.

use polars::prelude::DataFrame;

use super::position::Position;

/// A raw frame, and the position in the object at which it starts.
#[derive(Debug)]
pub struct Batch {
    pub rows: DataFrame,
    pub from: Position,
}
