//! How far an invocation has come with its work.

/// Whether it has come to the end before its time was over.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stretch {
    Whole,
    Late,
}
