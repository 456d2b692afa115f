//! The commits of a dataset, read from its Delta log.

use serde::{Deserialize, Serialize};

use tidemark_pipeline::DatasetName;

use crate::draft::CommitInfo;
use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// One commit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub version: i64,
    /// Commit time, by the clock of the committing host.
    pub committed_at: Option<jiff::Timestamp>,
    pub operation: String,
    pub files_added: u64,
    pub files_removed: u64,
    /// Absent when another program made the commit.
    pub info: Option<CommitInfo>,
}

#[derive(Default, Deserialize)]
struct Action {
    #[serde(rename = "commitInfo")]
    info: Option<Info>,
    add: Option<serde::de::IgnoredAny>,
    remove: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Info {
    timestamp: Option<i64>,
    operation: Option<String>,
    tidemark: Option<String>,
}

impl Lake {
    /// One commit. Returns None if there is no such version.
    pub fn entry(&self, dataset: &DatasetName, version: i64) -> Result<Option<Entry>, LakeError> {
        let key = Key::Commit(dataset, version).path();
        let bytes = match self.store().get(&key) {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(LakeError::store(key.to_string(), source)),
        };
        let damaged = |source| LakeError::Corrupt { what: key.to_string(), source: Box::new(source) };
        let mut entry = Entry {
            version,
            committed_at: None,
            operation: String::new(),
            files_added: 0,
            files_removed: 0,
            info: None,
        };
        for line in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let action: Action = serde_json::from_slice(line).map_err(damaged)?;
            entry.files_added += u64::from(action.add.is_some());
            entry.files_removed += u64::from(action.remove.is_some());
            if let Some(info) = action.info {
                entry.committed_at = info.timestamp.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
                entry.operation = info.operation.unwrap_or_default();
                // another program's commit may have a field of the same name with another meaning
                entry.info = info.tidemark.and_then(|text| serde_json::from_str(&text).ok());
            }
        }
        Ok(Some(entry))
    }

    /// The newest commits of a dataset, newest first, at most `limit`.
    pub fn history(&self, dataset: &DatasetName, limit: usize) -> Result<Vec<Entry>, LakeError> {
        let latest = self.existing(dataset)?.version();
        let mut entries = Vec::new();
        for version in (0..=latest).rev().take(limit) {
            entries.extend(self.entry(dataset, version)?);
        }
        Ok(entries)
    }
}
