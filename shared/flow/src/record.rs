//! The run record: inputs, outputs, resources and outcome of a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_lake::Requests;

use crate::activity::Activity;
use crate::balance::Balance;
use crate::drift::Drift;
use crate::error::{Error, ErrorKind};
use crate::scope::ScopeRecord;
use crate::trigger::{Days, Trigger};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Done,
    NothingToDo,
    /// Its time ran out before it was done. Its progress is saved, and the next invocation continues.
    Continues,
    Failed,
}

impl std::fmt::Display for Status {
    /// The text used in the run record.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Done => "done",
            Status::NothingToDo => "nothing_to_do",
            Status::Continues => "continues",
            Status::Failed => "failed",
        })
    }
}

/// The record of one attempt of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    pub run_id: String,
    pub pipeline: String,
    pub step: Activity,
    pub trigger: String,
    /// The scheduled time that the run was for.
    #[serde(default)]
    pub scheduled_time: Timestamp,
    /// The days requested for reports, if not the day before the scheduled time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    /// The run was to rebuild everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// Shared by all runs that one event has triggered.
    #[serde(default, rename = "chain")]
    pub correlation_id: String,
    pub status: Status,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub duration_ms: u64,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub rows: Balance,
    pub bytes: Bytes,
    pub peak_memory_bytes: u64,
    /// Requests to the lake, to sources and to reports, retries included. The answer of a function also counts announcements, which follow
    /// the writing of the record.
    #[serde(default)]
    pub requests: Requests,
    /// Price of the run on AWS: its time at the memory size and architecture of the function, and its requests. For a run on another
    /// machine, what it would cost with 1,769 MB on arm64.
    pub cost_usd: f64,
    /// Observations that did not stop the run: a file still being written, a new column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The source has more data: the step is due again at once.
    #[serde(rename = "goes_on", default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
    /// Fields that no column of the contract reads; those in the most records come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    pub error: Option<ErrorRecord>,
    /// The planned work of a failed run.
    #[serde(rename = "about", default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeRecord>,
}

impl RunRecord {
    /// The record of a run that has found nothing to do; the other fields are filled in later.
    pub(crate) fn new(
        run_id: String,
        pipeline: &str,
        step: Activity,
        trigger: &Trigger,
        started_at: Timestamp,
    ) -> RunRecord {
        RunRecord {
            run_id,
            pipeline: pipeline.to_owned(),
            step,
            trigger: trigger.to_string(),
            scheduled_time: trigger.scheduled_time,
            days: trigger.days,
            full: trigger.full,
            correlation_id: trigger.correlation_id.clone(),
            status: Status::NothingToDo,
            started_at,
            finished_at: started_at,
            duration_ms: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            rows: Balance::default(),
            bytes: Bytes::default(),
            peak_memory_bytes: 0,
            requests: Requests::default(),
            cost_usd: 0.0,
            notes: Vec::new(),
            has_more: false,
            drift: Vec::new(),
            error: None,
            scope: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub dataset: String,
    /// Exclusive; absent the first time.
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
    /// Event time up to which the dataset is now complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// A link by which anyone can download it for some hours; only for a report in a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Output {
    /// An output that has not been committed yet.
    pub fn new(dataset: impl Into<String>, partitions: u64) -> Output {
        Output { dataset: dataset.into(), version: None, partitions, watermark: None, link: None }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    pub read: u64,
    pub written: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: Option<String>,
    /// See [`Error::over_budget`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_budget: bool,
}

impl From<&Error> for ErrorRecord {
    fn from(error: &Error) -> ErrorRecord {
        ErrorRecord {
            kind: error.kind,
            message: error.full_message(),
            hint: error.hint.clone(),
            over_budget: error.over_budget,
        }
    }
}
