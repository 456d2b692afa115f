//! What is stored when the deadline passes within a window that may only be committed as a whole: closed files, the name of a spill object
//! with the rows after them, and the page to resume from. No page that has been read is read again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_lake::DataFile;
use tidemark_pipeline::http::Pagination;

use super::paging::Visited;
use super::request::Next;
use crate::incremental::digest::OverlapDigest;
use crate::incremental::window::Window;

/// An unfinished window whose rows replace all earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartialWindow {
    /// How often the window has been restarted from its first page.
    pub nth: u32,
    pub window: Window,
    /// Files of the first rows.
    pub files: Vec<DataFile>,
    /// The rows after them that are in no file yet.
    pub rest: Option<UnwrittenRows>,
    /// The next page.
    pub from: PageStart,
    pub paging: Option<Pagination>,
    /// When the first page of the window was requested.
    #[serde(rename = "begun_at")]
    pub started_at: Timestamp,
    /// The pages before `from`.
    pub visited: Vec<Visited>,
}

/// A spill object with rows that are in no file yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnwrittenRows {
    /// Its name in the checkpoint.
    pub object: String,
    pub bytes: u64,
}

/// A page of a window, with the totals of the pages before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageStart {
    /// Number of the page, and how it is requested.
    pub page: u32,
    pub next: Next,
    /// How many records of the window the pages before it have.
    pub received: u64,
    /// Of the pages before it: rows, broken rows, and an order-independent digest of the records.
    pub rows: u64,
    pub broken: u64,
    pub digest: OverlapDigest,
}

impl PartialWindow {
    /// Whether `window` can be resumed from here. If not, it is read from its first page.
    pub(crate) fn is_valid(&self, window: &Window) -> bool {
        let rows: u64 = self.files.iter().map(|file| file.rows).sum();
        self.window.name == window.again(self.nth).name
            && rows <= self.from.rows
            && self.visited.len() as u64 + 1 == u64::from(self.from.page)
    }
}
