//! Target `postgres`: writes a dataset's changes into a table of a PostgreSQL database, exactly once. The rows, and the record of the
//! version that they belong to, are committed in one transaction or not at all.

mod catalog;
mod column_type;
mod copy;
pub(crate) mod database;
mod encode;
pub(crate) mod error;
mod halving;
pub(crate) mod load;
mod load_state;
mod numbering;
mod parallel;
mod prepare;
mod rejected;
mod staged;
mod table;
mod transaction;
mod verify;
mod wire;
