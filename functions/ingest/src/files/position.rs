//! Where in an object a frame begins, and all that must be known to read on from there as if one had never stopped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stats::ReadStats;
use super::verdict::Verdict;

/// Where a frame begins. Read on from there ([`super::read`]), an object gives the frames that would have come, cut the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Records before it.
    pub(super) rows: u64,
    /// Those of them that are broken.
    pub(super) broken: u64,
    /// Of a text; in Parquet the rows say all.
    pub(super) text: Option<InText>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InText {
    /// Bytes of text before it: unpacked, turned into UTF-8, without the byte order mark.
    pub(super) offset: u64,
    /// Line ends before it.
    pub(super) newlines: u64,
    /// The byte of the object at which its text begins, where the object's bytes are the text's.
    pub(super) begins: Option<u64>,
    pub(super) csv: Option<InCsv>,
}

/// What the beginning of a CSV has told, and what was seen of what comes.
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

    /// The byte at which an input has to begin that is to be read on from here; `None`: at its first, because the object is packed, turned,
    /// or Parquet.
    pub fn stored(&self) -> Option<u64> {
        let text = self.text.as_ref()?;
        Some(text.begins? + text.offset)
    }

    pub(super) fn new(stats: &ReadStats, text: Option<InText>) -> Position {
        Position { rows: stats.rows, broken: stats.broken, text }
    }

    pub(super) fn stats(&self) -> ReadStats {
        ReadStats { rows: self.rows, broken: self.broken, bytes: 0 }
    }
}
