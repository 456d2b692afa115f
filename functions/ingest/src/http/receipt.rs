//! The tasks of an ingest of an API, and what each leaves: files, and how far the API has been read with them. Never rows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_flow::Balance;
use tidemark_lake::DataFile;

use super::resume::ResumePoint;
use crate::incremental::bookmark::Bookmark;
use crate::incremental::window::{Window, WindowPlan};

/// A window to read, and what was known before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowTask {
    /// Version of the raw dataset before it.
    pub base: Option<i64>,
    pub bookmark: Bookmark<ResumePoint>,
    pub window: WindowPlan<ResumePoint>,
    /// What stands has been read by the same definition.
    pub is_same_definition: bool,
    /// What has landed has been asked for by the invocations before this one, for the same reason.
    pub is_continued: bool,
    /// Up to when the raw dataset is complete once everything has been read.
    pub complete: Option<Timestamp>,
}

impl WindowTask {
    /// Two tasks of a plan have the same name only if they ask for the same.
    pub(crate) fn name(&self) -> String {
        let Window { name, range, .. } = &self.window.window;
        match range.until {
            Some(until) => format!("{name}-{until}"),
            None => name.clone(),
        }
    }
}

/// Files that nothing names yet, and how far the API has been read with them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowReceipt {
    pub files: Vec<DataFile>,
    pub balance: Balance,
    pub bookmark: Bookmark<ResumePoint>,
    pub notes: Vec<String>,
    /// Bytes as they were sent.
    pub bytes: u64,
    /// The API is to be asked once more.
    pub has_more: bool,
    /// Nothing came that is not there already.
    pub is_known: bool,
    /// There is no later window.
    pub is_last: bool,
    /// Up to when all is there, once the window is whole.
    pub complete: Option<Timestamp>,
    /// The deadline passed with it: it is committed before the next window is read.
    pub is_late: bool,
}

impl WindowReceipt {
    /// A whole window without a record.
    pub(crate) fn is_empty(&self) -> bool {
        self.balance.rows_in == 0 && self.bookmark.resume.is_none()
    }
}
