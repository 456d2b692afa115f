//! What is stored when the deadline passes within a window that may only be committed as a whole: closed files, and the page to resume
//! from. Never rows: a page with a row that is in no closed file is read again from the landing.

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
    pub files: Vec<DataFile>,
    /// The page with the first row that is in none of the files.
    pub from: PageStart,
    pub paging: Option<Pagination>,
    /// When the first page of the window was requested.
    #[serde(rename = "begun_at")]
    pub started_at: Timestamp,
    /// The pages before `from`.
    pub visited: Vec<Visited>,
    /// How many pages have been read.
    pub pages: u32,
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
            && self.from.rows <= rows
            && self.visited.len() as u64 + 1 == u64::from(self.from.page)
    }
}
