//! Target `sqlite`: writes a dataset's changes into a table of a SQLite file, exactly once. The rows, and the record of the version that
//! they belong to, are written in one transaction or not at all.

pub mod error;
pub mod loads;
pub mod store;
mod table;
mod write;
