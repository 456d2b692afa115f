//! The tasks of an ingest of an API, and their receipts: files, and the bookmark after them. Never rows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_flow::Balance;
use tidemark_lake::DataFile;

use super::resume::ResumePoint;
use crate::incremental::bookmark::Bookmark;
use crate::incremental::window::{Window, WindowPlan};

/// A window to read, and the state before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowTask {
    /// Version of the raw dataset before the task.
    pub base: Option<i64>,
    pub bookmark: Bookmark<ResumePoint>,
    pub window: WindowPlan<ResumePoint>,
    /// Whether the raw dataset was read with the same definition.
    pub is_same_definition: bool,
    /// Whether earlier invocations for the same event have landed the pages that are there.
    pub is_continued: bool,
    /// Up to which time the raw dataset is complete once everything has been read.
    pub complete: Option<Timestamp>,
}

impl WindowTask {
    /// Two tasks of a plan have the same name only if they request the same window.
    pub(crate) fn name(&self) -> String {
        let Window { name, range, .. } = &self.window.window;
        match range.until {
            Some(until) => format!("{name}-{until}"),
            None => name.clone(),
        }
    }
}

/// Files that are not committed yet, and the bookmark after them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowReceipt {
    pub files: Vec<DataFile>,
    pub balance: Balance,
    pub bookmark: Bookmark<ResumePoint>,
    pub notes: Vec<String>,
    /// Bytes of the bodies as received (compressed).
    pub bytes: u64,
    /// The API has to be read again.
    pub has_more: bool,
    /// All records are in the raw dataset already.
    pub is_known: bool,
    /// No later window is left to read.
    pub is_last: bool,
    /// Up to which time the raw dataset is complete once the window is.
    pub complete: Option<Timestamp>,
    /// The deadline passed with this window: it is committed before the next window is read.
    pub is_late: bool,
}

impl WindowReceipt {
    /// Whether this is a complete window without records.
    pub(crate) fn is_empty(&self) -> bool {
        self.balance.rows_in == 0 && self.bookmark.resume.is_none()
    }
}
