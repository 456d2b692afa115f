//! The definition of step `clean`: the contract, and the datasets it reads and writes.

use tidemark_lake::Partition;
use tidemark_pipeline::{ColumnName, Contract, DatasetName, Pipeline};

/// A partition's value as the Delta log writes it. The log cannot distinguish an empty text from NULL.
pub(crate) type Value = Option<String>;

/// Step `clean` of one pipeline.
pub struct Clean<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) contract: &'a Contract,
    pub(super) raw: DatasetName,
    pub(super) quarantine: DatasetName,
    /// Fingerprint of the contract. If it differs from the dataset's, everything must be cleaned again.
    pub(super) fingerprint: String,
}

impl<'a> Clean<'a> {
    pub fn new(pipeline: &'a Pipeline, contract: &'a Contract, fingerprint: String) -> Clean<'a> {
        let (raw, quarantine) = (contract.dataset.raw(), contract.dataset.quarantine());
        Clean { pipeline, contract, raw, quarantine, fingerprint }
    }

    /// The partition column. None if the dataset is not partitioned.
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
