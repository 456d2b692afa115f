//! Where in an object a frame starts, with the decoder state needed to resume reading there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stats::ReadStats;
use super::verdict::Verdict;

/// The start of a frame within an object. Reading resumed there ([`super::read`]) gives exactly the frames that an uninterrupted read would
/// have given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// How many records come before it.
    pub(super) rows: u64,
    /// How many of those are broken.
    pub(super) broken: u64,
    /// For CSV and NDJSON. For Parquet the number of rows is enough.
    pub(super) text: Option<InText>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InText {
    /// Bytes of text before it: decompressed, decoded to UTF-8, without the byte order mark.
    pub(super) offset: u64,
    /// Line ends before it.
    pub(super) newlines: u64,
    /// The byte of the object at which its text starts. None if the stored bytes are not the text (compressed or transcoded).
    #[serde(rename = "begins")]
    pub(super) text_start: Option<u64>,
    pub(super) csv: Option<InCsv>,
}

/// What the start of a CSV has determined (columns, line terminator), and the verdict on the text after the position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InCsv {
    pub(super) columns: Arc<Vec<String>>,
    pub(super) terminator: u8,
    pub(super) verdict: Option<Verdict>,
}

impl Position {
    /// Records before it, the broken ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The byte of the object at which the input of a resumed read must start. None if it must start at byte 0, because the object is
    /// compressed, transcoded or Parquet.
    pub fn stored(&self) -> Option<u64> {
        let text = self.text.as_ref()?;
        Some(text.text_start? + text.offset)
    }

    pub(super) fn new(stats: &ReadStats, text: Option<InText>) -> Position {
        Position { rows: stats.rows, broken: stats.broken, text }
    }

    pub(super) fn stats(&self) -> ReadStats {
        ReadStats { rows: self.rows, broken: self.broken, bytes: 0 }
    }
}
