//! Target `postgres`: a dataset's changes into a table of a PostgreSQL database, exactly once. The rows and the line that says which
//! version of the dataset they belong to are committed in one transaction, or not at all.

mod column_type;
mod copy;
pub(crate) mod error;
mod parallel;
pub(crate) mod rejected;
mod staged;
mod table;
pub(crate) mod transaction;
mod verify;
mod wire;
