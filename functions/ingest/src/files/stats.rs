//! Counts of one object.

/// How many records and bytes an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Records, including broken ones, without blank lines and the header.
    pub rows: u64,
    /// Records emitted with `_fault`.
    pub broken: u64,
    /// Bytes as stored (compressed if the object is).
    pub bytes: u64,
}
