//! The record of a run: what went in, what came out, what it took, how it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::balance::Balance;
use crate::failure::{Failure, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Done,
    NothingToDo,
    Failed,
}

/// One attempt of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    pub run_id: String,
    pub pipeline: String,
    /// `ingest`, `clean`, `model <name>`, `load <target>`
    pub step: String,
    pub trigger: String,
    pub status: Status,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub duration_ms: u64,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub rows: Balance,
    pub bytes: Bytes,
    pub peak_memory_bytes: u64,
    /// What the run costs on AWS: its time at 1,769 MB of arm64 and its requests. On your own machine: what it would cost there.
    pub cost_usd: f64,
    /// What was seen and did not stop the run: a file still being written, a column that came new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub error: Option<ErrorRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub dataset: String,
    /// Exclusive; absent at the first time.
    pub from_version: Option<i64>,
    pub to_version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// A dataset's name, or the path of a report or table.
    pub dataset: String,
    pub version: Option<i64>,
    /// Partitions that changed.
    pub partitions: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    pub read: u64,
    pub written: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
}

impl From<&Failure> for ErrorRecord {
    fn from(failure: &Failure) -> ErrorRecord {
        ErrorRecord { kind: failure.kind, message: failure.chain(), hint: failure.hint.clone() }
    }
}
