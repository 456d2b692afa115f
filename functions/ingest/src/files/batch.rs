//! A raw frame on its way out of the decoder.

use polars::prelude::DataFrame;

use super::position::Position;

/// A raw frame, and where it begins.
#[derive(Debug)]
pub struct Batch {
    pub rows: DataFrame,
    pub from: Position,
}
