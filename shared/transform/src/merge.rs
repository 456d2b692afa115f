//! Merges rows that have a key: of all versions of a row, the newest is retained.

mod bucket;

use polars::prelude::*;
use tidemark_pipeline::name::ColumnName;

pub use self::bucket::bucket;
use crate::error::FrameError;
use crate::frame::same_schema;

/// The merged rows, one per key, and counts that account for every incoming row:
/// `incoming.height() == written + updated + unchanged + deduplicated`.
#[derive(Debug)]
pub struct Merged {
    /// Sorted by the key columns, NULL first.
    pub rows: DataFrame,
    /// Number of keys that are new.
    pub written: u64,
    /// Number of keys whose existing row was replaced by a different one.
    pub updated: u64,
    /// Number of incoming rows that are equal to the existing row.
    pub unchanged: u64,
    /// Number of incoming rows that another row supersedes.
    pub deduplicated: u64,
}

/// Selects the newest row per key from `existing` (one row per key) and `incoming`. The newest row has the greatest `latest_by` (NULL is
/// the smallest). If these are equal, or without `latest_by`, the last row in `incoming` is the newest; `existing` rows come before all
/// incoming ones. Merging in several parts gives the same result as merging all rows at once.
///
/// # Errors
/// The frames have different columns, or lack a column that the key or `latest_by` names.
pub fn merge(
    existing: Option<&DataFrame>,
    incoming: &DataFrame,
    key: &[ColumnName],
    latest_by: Option<&ColumnName>,
) -> Result<Merged, FrameError> {
    let all = match existing {
        Some(existing) => {
            same_schema(existing, incoming)?;
            existing.vstack(incoming)?
        }
        None => incoming.clone(),
    };
    let known = existing.map_or(0, DataFrame::height);
    let order = Order::new(&all, key, latest_by)?;
    let mut merged = Merged { rows: DataFrame::empty(), written: 0, updated: 0, unchanged: 0, deduplicated: 0 };
    let mut winners: Vec<IdxSize> = Vec::with_capacity(all.height());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for versions in order.groups() {
        let Some(&winner) = versions.last() else { continue };
        winners.push(winner);
        let old = versions.iter().copied().find(|&row| (row as usize) < known);
        let incoming = versions.len() as u64 - u64::from(old.is_some());
        match old {
            None => merged.written += 1,
            Some(old) if old == winner => {
                merged.deduplicated += incoming;
                continue;
            }
            Some(old) => {
                before.push(old);
                after.push(winner);
            }
        }
        merged.deduplicated += incoming - 1;
    }
    merged.unchanged = equal_rows(&all, before.clone(), after)?;
    merged.updated = before.len() as u64 - merged.unchanged;
    merged.rows = all.take(&IdxCa::from_vec("row".into(), winners))?;
    Ok(merged)
}

/// The rows of a frame sorted by key, then by `latest_by`, then by position in the frame.
struct Order {
    rows: Vec<IdxSize>,
    /// Whether the row at this position has another key than the row before it.
    starts: Vec<bool>,
}

impl Order {
    fn new(frame: &DataFrame, key: &[ColumnName], latest_by: Option<&ColumnName>) -> Result<Order, FrameError> {
        if key.is_empty() {
            return Err(FrameError::NoKey);
        }
        // Own column names, so that they cannot clash with other columns and `latest_by` may be part of the key.
        let mut columns = Vec::new();
        for (at, name) in key.iter().chain(latest_by).enumerate() {
            let column = frame.column(name.as_str()).map_err(|_| FrameError::NoColumn(name.to_string()))?;
            columns.push(column.clone().with_name(format!("{at}").into()));
        }
        let by: Vec<PlSmallStr> = columns.iter().map(|column| column.name().clone()).collect();
        let options = SortMultipleOptions::default().with_maintain_order(true).with_nulls_last(false);
        let sorted =
            DataFrame::new(frame.height(), columns)?.with_row_index("row".into(), None)?.sort(by.clone(), options)?;
        let mut starts = vec![false; frame.height()];
        for name in &by[..key.len()] {
            let key = sorted.column(name)?.as_materialized_series();
            let differs = key.not_equal_missing(&key.shift(1))?;
            for (start, differs) in starts.iter_mut().zip(differs.iter()) {
                *start |= differs == Some(true);
            }
        }
        let rows = sorted.column("row")?.idx()?.iter().flatten().collect();
        Ok(Order { rows, starts })
    }

    fn groups(&self) -> impl Iterator<Item = &[IdxSize]> {
        let mut from = 0;
        std::iter::from_fn(move || {
            if from >= self.rows.len() {
                return None;
            }
            let next = self.starts[from + 1..].iter().position(|start| *start);
            let until = next.map_or(self.rows.len(), |next| from + 1 + next);
            let group = &self.rows[from..until];
            from = until;
            Some(group)
        })
    }
}

/// Number of pairs of rows that are equal in all columns.
fn equal_rows(frame: &DataFrame, left: Vec<IdxSize>, right: Vec<IdxSize>) -> Result<u64, FrameError> {
    let (left, right) = (IdxCa::from_vec("left".into(), left), IdxCa::from_vec("right".into(), right));
    let mut equal = vec![true; left.len()];
    for column in frame.columns() {
        let same = column.take(&left)?.equal_missing(&column.take(&right)?)?;
        for (equal, same) in equal.iter_mut().zip(same.iter()) {
            *equal &= same == Some(true);
        }
    }
    Ok(equal.into_iter().filter(|equal| *equal).count() as u64)
}

#[cfg(test)]
mod tests;
