//! What reading a window has come to.

use jiff::Timestamp;
use tidemark_flow::Balance;
use tidemark_lake::DataFile;

use super::resume::ResumePoint;
use crate::incremental::bookmark::Bookmark;

/// Files that nothing names yet, and how far the API has been read with them.
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
}

impl WindowReceipt {
    /// A whole window without a record.
    pub(crate) fn is_empty(&self) -> bool {
        self.balance.rows_in == 0 && self.bookmark.resume.is_none()
    }
}
