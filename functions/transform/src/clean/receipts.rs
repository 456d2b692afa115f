//! The tasks of step `clean`, and their receipts.

use serde::{Deserialize, Serialize};
use tidemark_flow::Balance;
use tidemark_lake::DataFile;

use super::definition::Value;
use crate::drift::Drifts;
use crate::partition_merge::Counts;
use crate::quarantine::Faults;
use crate::spill_manifest::{Chunk, Chunks, SpillManifest};

/// A part of a file: number `nth` (from 0) of `parts`, cut at row groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSlice {
    pub file: DataFile,
    pub nth: usize,
    pub parts: usize,
}

/// Some files of a dataset at a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Number of this task among those of its kind, in the order of the plan.
    pub nth: usize,
    pub version: i64,
    pub slices: Vec<FileSlice>,
    /// Number of buckets for keys; 0 if no key can be in two partitions.
    pub buckets: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Applies the contract to new raw files.
    Added(Files),
    /// Applies the contract to removed raw files.
    Removed(Files),
    /// Reads the keys of existing clean rows.
    #[serde(rename = "standing")]
    Existing(Files),
    /// Finds the keys of one bucket that are in more than one partition.
    Superseded { bucket: usize, keys: Chunks },
    /// Writes the broken rows of an object, and those that were broken before and have healed.
    Quarantined {
        object: String,
        rows: Chunks,
        #[serde(rename = "former")]
        previous: Option<PreviousRows>,
        healed_by: Option<String>,
    },
    /// Merges the rows of a partition.
    Merged(Box<MergeTask>),
}

/// The existing quarantined rows of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousRows {
    /// Version of the quarantine.
    pub version: i64,
    pub files: Vec<DataFile>,
    /// Damaged files are skipped.
    #[serde(rename = "passes_over")]
    pub skips_damaged: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeTask {
    pub value: Value,
    /// The version of the dataset and all of its files of this partition. The merged rows replace them.
    pub existing: Option<(i64, Vec<DataFile>)>,
    pub incoming: Chunks,
    pub removed: Chunks,
    pub superseded: Chunks,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    Added(Box<AddedRows>),
    Removed {
        rows: SpillManifest<Value>,
    },
    #[serde(rename = "standing")]
    Existing {
        keys: SpillManifest<usize>,
    },
    /// `existing`: number of existing rows that are removed. `incoming`: number of incoming rows superseded by a newer one in another
    /// partition.
    Superseded {
        keys: SpillManifest<Value>,
        #[serde(rename = "stood")]
        existing: u64,
        #[serde(rename = "came")]
        incoming: u64,
    },
    Quarantined {
        files: Vec<DataFile>,
    },
    Merged {
        value: Value,
        files: Vec<DataFile>,
        counts: Counts,
    },
}

/// The result of applying the contract to some new raw files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedRows {
    pub balance: Balance,
    pub faults: Faults,
    pub drifts: Drifts,
    /// Clean rows by their partition.
    pub incoming: SpillManifest<Value>,
    /// Quarantined rows by object.
    pub quarantined: SpillManifest<String>,
    pub keys: SpillManifest<usize>,
}

impl Receipt {
    pub(super) fn chunks_mut(&mut self) -> Box<dyn Iterator<Item = &mut Chunk> + '_> {
        match self {
            Receipt::Added(added) => Box::new(
                added.incoming.chunks_mut().chain(added.quarantined.chunks_mut()).chain(added.keys.chunks_mut()),
            ),
            Receipt::Removed { rows } => Box::new(rows.chunks_mut()),
            Receipt::Existing { keys } => Box::new(keys.chunks_mut()),
            Receipt::Superseded { keys, .. } => Box::new(keys.chunks_mut()),
            Receipt::Quarantined { .. } | Receipt::Merged { .. } => Box::new(std::iter::empty()),
        }
    }

    /// Names of the spill objects that the receipt refers to.
    pub(super) fn objects(&self) -> Vec<&str> {
        match self {
            Receipt::Added(added) => {
                added.incoming.objects().chain(added.quarantined.objects()).chain(added.keys.objects()).collect()
            }
            Receipt::Removed { rows } => rows.objects().collect(),
            Receipt::Existing { keys } => keys.objects().collect(),
            Receipt::Superseded { keys, .. } => keys.objects().collect(),
            Receipt::Quarantined { .. } | Receipt::Merged { .. } => Vec::new(),
        }
    }
}
