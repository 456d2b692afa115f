//! `tidemark quarantine`: what broke its contract, by reason, and the way back. Where a record is in the end the steps decide.

pub(crate) mod counts;
pub(crate) mod list;
pub(crate) mod reasons;
pub(crate) mod replay;
