//! How far a source has been read, as stored in the raw dataset's log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::OverlapDigest;

/// How far a source has been read. `R` is the point from which an unfinished window is resumed, in the source's own terms. The size of a
/// bookmark does not depend on how much has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "R: Deserialize<'de>"))]
pub(crate) struct Bookmark<R> {
    /// The latest event time of the records read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Timestamp>,
    /// The resume point of a window that has not been read completely.
    #[serde(rename = "within", default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<R>,
    /// Digest of the records that the next request would return if nothing were new.
    #[serde(rename = "tail", default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapDigest>,
    /// During a rebuild: the version from which everything is read again. Files of earlier versions are removed once the rebuild is complete.
    #[serde(rename = "anew_from", default, skip_serializing_if = "Option::is_none")]
    pub rebuild_from: Option<i64>,
}

impl<R> Default for Bookmark<R> {
    fn default() -> Bookmark<R> {
        Bookmark { reached: None, resume: None, overlap: None, rebuild_from: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialized_form_of_a_bookmark_is_stable() {
        let text = r#"{"reached":"2026-03-01T08:00:00Z","within":7,"tail":{"records":2,"hash":[1,2]},"anew_from":3}"#;
        let bookmark: Bookmark<u32> = serde_json::from_str(text).unwrap();
        assert_eq!((bookmark.resume, bookmark.rebuild_from), (Some(7), Some(3)));
        assert_eq!(serde_json::to_string(&bookmark).unwrap(), text);
        assert_eq!(serde_json::from_str::<Bookmark<u32>>("{}").unwrap(), Bookmark::default());
        assert_eq!(serde_json::to_string(&Bookmark::<u32>::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Bookmark<u32>>(r#"{"since":1}"#).is_err());
    }
}
