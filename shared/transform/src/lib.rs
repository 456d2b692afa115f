//! Operations on frames: applying contracts to raw rows, merging versions to one row per key, adding and subtracting bags, SQL.
//!
//! Polars in, polars out. No I/O, no clock, no randomness, and results never depend on the order of threads or hash maps.

pub mod bag;
pub mod contract;
pub mod envelope;
mod error;
mod frame;
pub mod merge;
pub mod order;
pub mod sql;

pub use contract::{Cleaned, Cleaner, Drift, Exploder, FieldKind, MAX_FIELDS, RawLayout, Times, Unknown};
pub use error::{ContractError, FrameError, SqlError};
