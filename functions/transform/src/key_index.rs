//! Finds the keys that have versions in more than one partition, bucket by bucket, from the key columns alone.

use polars::prelude::{Column, DataFrame, IntoColumn as _, StringChunked};
use tidemark_flow::Error;
use tidemark_pipeline::{ColumnName, Contract};
use tidemark_transform::merge::bucket;
use tidemark_transform::order::superseded;

use crate::errors::{frame_error, polars_error};
use crate::spill::{Spill, SpillBuffer, Spilled};
use crate::spill_manifest::SpillManifest;

/// The columns that decide in which partition a row of a keyed dataset belongs.
pub(crate) struct KeyColumns<'a> {
    key: &'a [ColumnName],
    latest_by: Option<&'a ColumnName>,
    partition: &'a ColumnName,
    names: Vec<&'a str>,
}

/// Keys, with the partitions that hold an older version of them than the newest.
pub(crate) struct SupersededKeys {
    pub rows: DataFrame,
    /// Number of existing rows that are removed.
    pub existing: u64,
    /// Number of incoming rows superseded by a newer one in another partition.
    pub incoming: u64,
}

const IS_INCOMING: &str = "_came";
const EXISTING: &str = "_stood";

/// Approximate rows of a bucket: a row of key columns is some 64 bytes, and a bucket is sorted and joined with itself.
/// Independent of the available memory, so that tasks are cut the same everywhere.
const BUCKET_ROWS: u64 = 1 << 16;

/// Number of buckets for the keys of `rows` rows.
pub(crate) fn buckets(rows: u64) -> usize {
    usize::try_from(rows.div_ceil(BUCKET_ROWS)).unwrap_or(usize::MAX).max(1)
}

impl<'a> KeyColumns<'a> {
    /// Returns None if a key of the dataset cannot be in two partitions.
    pub(crate) fn new(contract: &'a Contract) -> Option<KeyColumns<'a>> {
        let by = contract.partition_by.as_ref()?;
        // a key that decides the partition cannot move
        if contract.key.is_empty() || contract.key.contains(&by.column) {
            return None;
        }
        let mut names: Vec<&str> = Vec::new();
        for name in contract.key.iter().chain(&contract.latest_by).chain([&by.name]) {
            if !names.contains(&name.as_str()) {
                names.push(name.as_str());
            }
        }
        Some(KeyColumns { key: &contract.key, latest_by: contract.latest_by.as_ref(), partition: &by.name, names })
    }

    /// The keys of one bucket with versions in more than one partition.
    pub(crate) fn superseded(&self, rows: &Spilled<'_>) -> Result<Option<SupersededKeys>, Error> {
        let Some(rows) = rows.whole()? else { return Ok(None) };
        let rows = superseded(rows, self.key, self.latest_by, self.partition).map_err(frame_error)?;
        let sum = |name: &str| {
            let sum = rows.column(name).and_then(|column| Ok(column.i64()?.iter().flatten().sum::<i64>()));
            sum.map(i64::unsigned_abs).map_err(|error| polars_error("superseded keys cannot be counted", error))
        };
        Ok(Some(SupersededKeys { existing: sum(EXISTING)?, incoming: sum(IS_INCOMING)?, rows }))
    }
}

/// Spills the keys of existing and incoming rows by bucket, in the order of arrival.
pub(crate) struct KeyIndex<'a, 'b> {
    columns: &'a KeyColumns<'a>,
    buckets: usize,
    rows: Spill<'b, usize>,
}

impl<'a, 'b> KeyIndex<'a, 'b> {
    pub(crate) fn new(columns: &'a KeyColumns<'a>, buckets: usize, buffer: &'b SpillBuffer) -> KeyIndex<'a, 'b> {
        KeyIndex { columns, buckets, rows: Spill::new(buffer) }
    }

    /// Adds the keys of rows. `is_incoming`: whether the rows are incoming (true) or existing (false).
    pub(crate) fn push(&mut self, rows: &DataFrame, is_incoming: bool) -> Result<(), Error> {
        let failed = |error| polars_error("keys cannot be indexed", error);
        let mut rows = rows.select(self.columns.names.iter().copied()).map_err(failed)?;
        // an empty text is in the same partition as NULL
        let partition = self.columns.partition.as_str();
        if let Ok(texts) = rows.column(partition).map_err(failed)?.str() {
            let texts: StringChunked = texts.iter().map(|text| text.filter(|text| !text.is_empty())).collect();
            rows.with_column(texts.with_name(partition.into()).into_column()).map_err(failed)?;
        }
        rows.with_column(Column::new_scalar(IS_INCOMING.into(), is_incoming.into(), rows.height())).map_err(failed)?;
        let parts = match self.buckets {
            1 => vec![rows],
            buckets => bucket(&rows, self.columns.key, buckets).map_err(frame_error)?,
        };
        for (nth, part) in parts.into_iter().enumerate().filter(|(_, part)| part.height() > 0) {
            self.rows.push(nth, part)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<SpillManifest<usize>, Error> {
        self.rows.finish()
    }
}
