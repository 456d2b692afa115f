//! How far an API has been read, and what of the next answer is there already.

pub(crate) mod bookmark;
pub(crate) mod seen;
