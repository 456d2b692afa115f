//! `tidemark quarantine`: lists the records that broke their contract, by reason, and processes them again.

pub(crate) mod counts;
pub(crate) mod list;
pub(crate) mod reasons;
pub(crate) mod replay;
