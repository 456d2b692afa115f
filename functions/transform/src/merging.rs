//! One partition: what stands, what comes and what goes become what will stand. In memory where that fits.

use polars::prelude::{DataFrame, Schema};
use tidemark_flow::{Failure, Kind, Ports};
use tidemark_lake::{DataFile, Partition, Table, Writer};
use tidemark_pipeline::{ColumnName, Contract, DatasetName};
use tidemark_transform::{bag, merge};

use crate::frame_failure;

/// What makes two rows the same row.
#[derive(Clone, Copy)]
pub(crate) enum Identity<'a> {
    /// All columns: a bag, in which a row may be several times.
    Bag,
    Key {
        key: &'a [ColumnName],
        latest_by: Option<&'a ColumnName>,
    },
}

impl<'a> Identity<'a> {
    pub(crate) fn of(contract: &'a Contract) -> Identity<'a> {
        match contract.key.as_slice() {
            [] => Identity::Bag,
            key => Identity::Key { key, latest_by: contract.latest_by.as_ref() },
        }
    }
}

/// Where the rows of a partition went.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub written: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deduplicated: u64,
    pub deleted: u64,
}

/// The rows of one partition, on their three ways.
pub(crate) struct Parts {
    pub existing: Option<DataFrame>,
    pub incoming: DataFrame,
    /// Rows of a bag whose source went.
    pub removed: Option<DataFrame>,
}

/// Merges into the dataset `table` stands for (`None`: into nothing).
pub(crate) struct Merging<'a> {
    pub ports: &'a Ports<'a>,
    pub dataset: &'a DatasetName,
    pub schema: &'a Schema,
    pub identity: Identity<'a>,
}

impl Merging<'_> {
    /// Writes what the partition will be. No rows: no file.
    pub(crate) fn write(&self, partition: &Partition, parts: Parts) -> Result<(Vec<DataFile>, Counts), Failure> {
        let mut writer = Writer::new(self.ports.lake, self.dataset, self.schema, partition.clone());
        let (rows, counts) = self.merge(partition, parts)?;
        writer.write(&rows)?;
        Ok((writer.finish(false)?, counts))
    }

    /// The existing rows of a partition, in the columns the contract has now.
    pub(crate) fn existing(&self, table: Option<&Table>, files: &[DataFile]) -> Result<Option<DataFrame>, Failure> {
        match table {
            Some(table) if !files.is_empty() => {
                let names: Vec<_> = self.schema.iter_names().cloned().collect();
                let rows = table.read(self.ports.lake, files)?;
                rows.select(names)
                    .map(Some)
                    .map_err(|error| crate::polars_failure("the dataset lacks a column of its contract", error))
            }
            _ => Ok(None),
        }
    }

    fn merge(&self, partition: &Partition, parts: Parts) -> Result<(DataFrame, Counts), Failure> {
        let Parts { existing, incoming, removed } = parts;
        match self.identity {
            Identity::Bag => {
                let came = incoming.height() as u64;
                let removed = removed.unwrap_or_else(|| incoming.clear());
                // what goes and comes back has stayed
                let (_, stayed) = bag::subtract(&incoming, &removed).map_err(frame_failure)?;
                let existing = existing.unwrap_or_else(|| incoming.clear());
                let (rest, found) = bag::subtract(&existing, &removed).map_err(frame_failure)?;
                if found != removed.height() as u64 {
                    let message = format!(
                        "dataset {}, partition {partition}: {} rows should go and {found} of them are there",
                        self.dataset,
                        removed.height()
                    );
                    return Err(
                        Failure::new(Kind::Data, message).hint("another program changed the dataset; run with --full")
                    );
                }
                let rows = bag::add(&rest, &incoming).map_err(frame_failure)?;
                let counts =
                    Counts { written: came - stayed, unchanged: stayed, deleted: found - stayed, ..Counts::default() };
                Ok((rows, counts))
            }
            Identity::Key { key, latest_by } => {
                let merged = merge::merge(existing.as_ref(), &incoming, key, latest_by).map_err(frame_failure)?;
                let counts = Counts {
                    written: merged.written,
                    updated: merged.updated,
                    unchanged: merged.unchanged,
                    deduplicated: merged.deduplicated,
                    deleted: 0,
                };
                Ok((merged.rows, counts))
            }
        }
    }
}
