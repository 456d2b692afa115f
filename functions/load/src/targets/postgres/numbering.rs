//! Row numbers of a change: from 1, in the order in which rows are sent.

use polars::prelude::{DataFrame, PolarsError, SortMultipleOptions};
use tidemark_transform::bag;

use super::error::LoadFault;
use super::table::Table;
use crate::targets::delta::Deltas;
use crate::targets::row_text::named_key;

/// The rows sorted by key, the order in which they are inserted into an index fastest.
pub(super) fn sorted(rows: DataFrame, table: &Table<'_>) -> Result<DataFrame, PolarsError> {
    let key: Vec<&str> = table.key().map(|column| column.name.as_str()).collect();
    match key.first() {
        Some(first) if !bag::is_strictly_ascending(rows.column(first)?)? => {
            rows.sort(key, SortMultipleOptions::default())
        }
        _ => Ok(rows),
    }
}

/// The key of a row of the change for messages: `order_id 700017`.
pub(super) fn key_text(change: Deltas<'_>, table: &Table<'_>, number: u64) -> Result<Option<String>, LoadFault> {
    let key: Vec<String> = table.key().map(|column| column.name.clone()).collect();
    let mut before = 0;
    for delta in change {
        let rows = sorted(delta?.upserts, table)?;
        let height = rows.height() as u64;
        if (before + 1..=before + height).contains(&number) {
            return Ok(named_key(&rows, (number - before - 1) as usize, &key)?);
        }
        before += height;
    }
    Ok(None)
}
