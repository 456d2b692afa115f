//! Where a window of an API is gone on with, as the bookmark has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::http::Pagination;

use super::request::Next;
use crate::incremental::window::{Resume, Window};

/// The page to come of a window of which not all pages are in yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumePoint {
    /// Of the definition by which it was begun; another one begins anew.
    pub definition: String,
    pub window: Window,
    /// Number of the page to come.
    pub page: u32,
    pub next: Next,
    /// Records so far.
    pub received: u64,
    pub greatest: Option<Timestamp>,
    pub paging: Option<Pagination>,
    /// When its first page was asked for: what has changed since may be on a page that had been read.
    pub begun_at: Timestamp,
    /// Up to when all is there once the window is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Timestamp>,
}

impl Resume for ResumePoint {
    fn window(&self) -> &Window {
        &self.window
    }

    fn greatest(&self) -> Option<Timestamp> {
        self.greatest
    }

    fn complete(&self) -> Option<Timestamp> {
        self.complete
    }

    fn with_times(self, greatest: Option<Timestamp>, complete: Option<Timestamp>) -> ResumePoint {
        ResumePoint { greatest, complete, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incremental::bookmark::Bookmark;

    #[test]
    fn a_bookmark_within_a_window_is_written_as_it_always_was() {
        let text = concat!(
            r#"{"reached":"2026-03-01T00:00:00Z","within":{"definition":"d","window":{"name":"w","range":"#,
            r#"{"since":"2026-03-01T00:00:00Z"},"is_last":true},"page":3,"next":{"number":3},"received":200,"#,
            r#""greatest":"2026-03-01T08:00:00Z","paging":{"page":{"parameter":{"Query":"page"},"first":1,"size":null,"#,
            r#""total":null}},"begun_at":"2026-03-02T00:00:00Z","complete":"2026-03-02T00:00:00Z"}}"#
        );
        let bookmark: Bookmark<ResumePoint> = serde_json::from_str(text).unwrap();
        assert_eq!(bookmark.resume.as_ref().unwrap().next, Next::Number(3));
        assert_eq!(serde_json::to_string(&bookmark).unwrap(), text);
    }
}
