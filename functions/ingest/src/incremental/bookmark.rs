//! How far a source has been read, as the raw dataset's log has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::OverlapDigest;

/// How far a source has been read; `R` is where a window is gone on with, in the source's own terms. Its size does not depend on how
/// much has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "R: Deserialize<'de>"))]
pub(crate) struct Bookmark<R> {
    /// Up to when records have been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Timestamp>,
    /// A window of which not everything is in yet.
    #[serde(rename = "within", default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<R>,
    /// What the next request would bring if nothing were new.
    #[serde(rename = "tail", default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapDigest>,
    /// Everything is being read again: rows of earlier versions go once that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew_from: Option<i64>,
}

impl<R> Default for Bookmark<R> {
    fn default() -> Bookmark<R> {
        Bookmark { reached: None, resume: None, overlap: None, anew_from: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_written_as_it_always_was() {
        let text = r#"{"reached":"2026-03-01T08:00:00Z","within":7,"tail":{"records":2,"hash":[1,2]},"anew_from":3}"#;
        let bookmark: Bookmark<u32> = serde_json::from_str(text).unwrap();
        assert_eq!((bookmark.resume, bookmark.anew_from), (Some(7), Some(3)));
        assert_eq!(serde_json::to_string(&bookmark).unwrap(), text);
        assert_eq!(serde_json::from_str::<Bookmark<u32>>("{}").unwrap(), Bookmark::default());
        assert_eq!(serde_json::to_string(&Bookmark::<u32>::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Bookmark<u32>>(r#"{"since":1}"#).is_err());
    }
}
