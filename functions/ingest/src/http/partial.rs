//! What is put down of a window that is to be seen only as a whole, when the time is over: closed files, and the page to go on with. Never
//! rows: pages of which a row is in no closed file are read again from where they have landed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_lake::DataFile;
use tidemark_pipeline::http::Pagination;

use super::paging::Visited;
use super::request::Next;
use crate::incremental::digest::OverlapDigest;
use crate::incremental::window::Window;

/// A window of which not all pages are in, and whose rows replace all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartialWindow {
    /// How often it has been restarted.
    pub nth: u32,
    pub window: Window,
    pub files: Vec<DataFile>,
    /// Where the page begins that holds the first row which is in none of the files.
    pub from: PageStart,
    pub paging: Option<Pagination>,
    /// When its first page was asked for.
    pub begun_at: Timestamp,
    /// The pages before it.
    pub visited: Vec<Visited>,
    /// Pages that are in.
    pub pages: u32,
}

/// Where a page of a window begins, and what came before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageStart {
    /// Number of the page, and how it is asked for.
    pub page: u32,
    pub next: Next,
    /// Records of the window before it, as the API counts them.
    pub received: u64,
    /// Rows before it, those of them that are broken, and all of them without regard to their order.
    pub rows: u64,
    pub broken: u64,
    pub digest: OverlapDigest,
}

impl PartialWindow {
    /// Whether it can be gone on with; else the window is read from its first page.
    pub(crate) fn is_sound(&self, window: &Window) -> bool {
        let rows: u64 = self.files.iter().map(|file| file.rows).sum();
        self.window.name == window.again(self.nth).name
            && self.from.rows <= rows
            && self.visited.len() as u64 + 1 == u64::from(self.from.page)
    }
}
