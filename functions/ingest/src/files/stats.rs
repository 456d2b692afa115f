//! What one object held.

/// Counts of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Records, the broken ones included; blank lines and the header are none.
    pub rows: u64,
    /// Records that went out with `_fault`.
    pub broken: u64,
    /// Bytes as stored (compressed where the object is).
    pub bytes: u64,
}
