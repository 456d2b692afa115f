//! What all of step `clean` knows: the contract, and the datasets it is between.

use tidemark_lake::Partition;
use tidemark_pipeline::{ColumnName, Contract, DatasetName, Pipeline};

/// A partition's value, as the Delta log writes it, which cannot tell an empty text from NULL.
pub(crate) type Value = Option<String>;

/// Step `clean` of one pipeline.
pub struct Clean<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) contract: &'a Contract,
    pub(super) raw: DatasetName,
    pub(super) quarantine: DatasetName,
    /// Of the contract; another one means that everything must be cleaned again.
    pub(super) fingerprint: String,
}

impl<'a> Clean<'a> {
    pub fn new(pipeline: &'a Pipeline, contract: &'a Contract, fingerprint: String) -> Clean<'a> {
        let (raw, quarantine) = (contract.dataset.raw(), contract.dataset.quarantine());
        Clean { pipeline, contract, raw, quarantine, fingerprint }
    }

    /// The partition column; none for a dataset that is one partition.
    pub(super) fn partition_column(&self) -> Option<&ColumnName> {
        self.contract.partition_by.as_ref().map(|by| &by.name)
    }

    pub(super) fn partition_of(&self, value: &Value) -> Partition {
        match self.partition_column() {
            Some(column) => Partition::new([(column.as_str(), value.as_deref())]),
            None => Partition::default(),
        }
    }
}
