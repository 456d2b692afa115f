//! The tasks of step `clean`, and what each leaves.

use serde::{Deserialize, Serialize};
use tidemark_flow::Balance;
use tidemark_lake::DataFile;

use super::definition::Value;
use crate::drift::Drifts;
use crate::partition_merge::Counts;
use crate::quarantine::Faults;
use crate::spill_manifest::{Chunk, Chunks, SpillManifest};

/// A part of a file: the `nth` of `parts`, by row groups.
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
    /// Of this kind, in the order of the plan.
    pub nth: usize,
    pub version: i64,
    pub slices: Vec<FileSlice>,
    /// Over how many buckets keys are spread; 0 where no key can be in two partitions.
    pub buckets: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// New raw files go through the contract.
    Added(Files),
    /// Raw files that are no more do.
    Removed(Files),
    /// Keys that stand are read.
    Standing(Files),
    /// Keys in more than one partition are found, in one bucket.
    Superseded { bucket: usize, keys: Chunks },
    /// Broken rows of an object are written, and those that were broken.
    Quarantined { object: String, rows: Chunks, former: Option<PreviousRows>, healed_by: Option<String> },
    /// The rows of a partition are merged.
    Merged(Box<MergeTask>),
}

/// The quarantined rows of an object as they stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousRows {
    /// Of the quarantine.
    pub version: i64,
    pub files: Vec<DataFile>,
    /// A damaged file is passed over.
    pub passes_over: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeTask {
    pub value: Value,
    /// The version of the dataset, and its files of this partition, of which nothing stays that is not merged.
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
    Standing {
        keys: SpillManifest<usize>,
    },
    /// `stood`: standing rows that go. `came`: incoming rows that a newer one in another partition supersedes.
    Superseded {
        keys: SpillManifest<Value>,
        stood: u64,
        came: u64,
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

/// What has become of some new raw files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedRows {
    pub balance: Balance,
    pub faults: Faults,
    pub drifts: Drifts,
    /// By the partition they go to.
    pub incoming: SpillManifest<Value>,
    /// By object.
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
            Receipt::Standing { keys } => Box::new(keys.chunks_mut()),
            Receipt::Superseded { keys, .. } => Box::new(keys.chunks_mut()),
            Receipt::Quarantined { .. } | Receipt::Merged { .. } => Box::new(std::iter::empty()),
        }
    }

    /// The spill objects it needs.
    pub(super) fn objects(&self) -> Vec<&str> {
        match self {
            Receipt::Added(added) => {
                added.incoming.objects().chain(added.quarantined.objects()).chain(added.keys.objects()).collect()
            }
            Receipt::Removed { rows } => rows.objects().collect(),
            Receipt::Standing { keys } => keys.objects().collect(),
            Receipt::Superseded { keys, .. } => keys.objects().collect(),
            Receipt::Quarantined { .. } | Receipt::Merged { .. } => Vec::new(),
        }
    }
}
