//! Rows: raw frames to clean frames, versions to one row per key, bags added and subtracted, SQL over frames.
//!
//! Polars in, polars out. No I/O, no clock, no randomness, and no thread or hash-map order ever reaches a frame.

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
