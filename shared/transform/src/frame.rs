//! Checks that frames have the same columns.

use polars::prelude::*;

use crate::error::FrameError;

/// The same columns with the same types in the same order.
pub(crate) fn same_schema(left: &DataFrame, right: &DataFrame) -> Result<(), FrameError> {
    if left.schema() == right.schema() {
        return Ok(());
    }
    let names = |frame: &DataFrame| {
        let columns = frame.columns().iter().map(|column| format!("{} {}", column.name(), column.dtype()));
        format!("({})", columns.collect::<Vec<_>>().join(", "))
    };
    Err(FrameError::Schema { left: names(left), right: names(right) })
}
