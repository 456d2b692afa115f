//! The point from which an unfinished window of an API is resumed, as stored in the bookmark.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::http::Pagination;

use super::request::Next;
use crate::incremental::window::{Resume, Window};

/// The next page of an unfinished window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumePoint {
    /// Fingerprint of the definition with which the window was started. If the definition has changed, the window is restarted.
    pub definition: String,
    pub window: Window,
    /// Number of the next page.
    pub page: u32,
    pub next: Next,
    /// How many records the pages before it have.
    pub received: u64,
    pub greatest: Option<Timestamp>,
    pub paging: Option<Pagination>,
    /// When the first page of the window was requested. A record changed after this may be on a page that had already been read.
    #[serde(rename = "begun_at")]
    pub started_at: Timestamp,
    /// Up to which time the raw dataset is complete once the window is.
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
    fn the_serialized_form_of_a_bookmark_with_a_resume_point_is_stable() {
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
