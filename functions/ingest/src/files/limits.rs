//! How much of an object is held in memory at a time, and the maximum size of a record.

/// Sizes that bound the memory of a decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes read from the input at a time.
    pub(super) chunk: usize,
    /// Maximum number of rows of a frame.
    pub(super) rows: usize,
    /// Maximum bytes of text of a frame. A single record may exceed it.
    pub(super) text: usize,
    /// Maximum bytes of a line.
    pub(super) line: usize,
    /// Maximum bytes, and lines, by which a quoted field may extend beyond the line in which it starts.
    pub(super) quoted_bytes: usize,
    pub(super) quoted_lines: u64,
    /// Bytes kept of a line that is longer than `line`.
    pub(super) excerpt: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            chunk: 1 << 20,
            rows: 1 << 16,
            text: 8 << 20,
            line: 64 << 20,
            quoted_bytes: 1 << 20,
            quoted_lines: 10_000,
            excerpt: 1 << 20,
        }
    }
}

impl Limits {
    /// The fault of a line that is longer than `line`.
    pub(super) fn too_long(&self) -> String {
        format!("the line is longer than {}; its first {} are kept", size(self.line), size(self.excerpt))
    }
}

/// A number of bytes in human-readable form.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}
