//! What scanning a record finds out about the text after it.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FlawKind {
    /// The quote is not closed by the end of the text or within the limits.
    Open,
    /// Text follows the closing quote.
    Junk,
}

/// What scanning found out about a stretch of text: whoever is within quotes at a newline before `until` is still within
/// quotes at `until` (no flaw yet), or has met the flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    /// Position in the whole text.
    pub(super) until: u64,
    /// Newlines before `until` in the whole text.
    pub(super) newlines: u64,
    pub(super) flaw: Option<FlawKind>,
}
