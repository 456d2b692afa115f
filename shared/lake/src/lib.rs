//! The lake: every dataset is a Delta table, and its log is the only state Tidemark has.
//!
//! This crate turns frames into data files, data files into commits, and computes from commits what a step has to do. It knows
//! object stores, Delta and Parquet. It must never know pipelines' contracts, SQL, schedules, the clock or AWS.

mod checkpoint;
mod commit;
mod datafile;
mod draft;
mod error;
mod key;
mod lake;
mod landing;
mod log;
mod logs;
mod meter;
mod partition;
mod runs;
mod scan;
mod schema;
mod schema_change;
mod schema_mismatch;
mod store;
mod store_error;
mod table;
mod vacuum;
mod watch_objects;

pub use checkpoint::{Checkpoint, receipt_name};
pub use commit::Outcome;
pub use datafile::DataFile;
pub use datafile::writer::Writer;
pub use draft::{CommitInfo, Draft};
pub use error::LakeError;
pub use key::{Key, incident_name};
pub use lake::{FileSize, Lake};
pub use landing::Landing;
pub use log::Entry;
pub use meter::{Meter, Requests};
pub use partition::Partition;
pub use scan::Batches;
pub use schema::{decode_column, encode_column, schema_from_json, schema_to_json};
pub use schema_mismatch::SchemaMismatch;
pub use store::{Links, Opened, Store};
pub use store_error::{StoreErrorAction, StoreErrorContext};
pub use table::{Diff, Meta, Table};
pub use vacuum::Vacuumed;
pub use watch_objects::{ObjectVersion, WatchListing};

/// Stable 128-bit hash of a text, as 32 hexadecimal digits. Used for definitions, so that a dataset records which one produced it.
pub fn fingerprint(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}
