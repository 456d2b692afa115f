//! The tasks of step `model`, and their receipts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_lake::DataFile;
use tidemark_pipeline::{DatasetName, PartitionPeriod};

/// Some partitions to compute, or the whole model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The partitions to compute. None means the whole model.
    pub periods: Option<BTreeSet<PartitionPeriod>>,
    pub inputs: Vec<InputFiles>,
    /// The model is rebuilt; no existing rows are kept.
    pub is_rebuild: bool,
}

/// The files of an input that some partitions depend on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFiles {
    pub dataset: DatasetName,
    pub version: i64,
    /// Time up to which the input is complete.
    pub watermark: Option<Timestamp>,
    pub files: Vec<DataFile>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub is_rebuild: bool,
    pub files: Vec<DataFile>,
    pub rows: u64,
    /// Bytes of the inputs read.
    pub read: u64,
    /// The columns of the result, as the log writes them.
    pub schema: String,
}
