//! Cached results of scanning ahead in a CSV.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FlawKind {
    /// The quote is not closed by the end of the text or within the limits.
    Open,
    /// Text follows the closing quote.
    Junk,
}

/// The result of scanning a part of the text: a scan that is within quotes at any newline before `until` is still within quotes at `until`
/// (no flaw), or meets the flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    /// Byte offset in the whole text.
    pub(super) until: u64,
    /// Newlines before `until` in the whole text.
    pub(super) newlines: u64,
    pub(super) flaw: Option<FlawKind>,
}
