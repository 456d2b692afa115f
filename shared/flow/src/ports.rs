//! What a step may touch of the world. Built once, at the door.

use std::path::PathBuf;

use jiff::Timestamp;
use tidemark_lake::{Lake, Store};

use crate::failure::Failure;
use crate::record::RunRecord;

/// The world, as far as a step needs it.
pub struct Ports<'a> {
    pub lake: &'a Lake,
    /// Finds what a source's path names.
    pub locate: &'a dyn Fn(&str) -> Result<Place, Failure>,
    /// Opens the folder of a report, and makes it if it is not there.
    pub folder: &'a dyn Fn(&str) -> Result<Store, Failure>,
    pub clock: &'a dyn Fn() -> Timestamp,
    /// A new id per attempt, sorting by time.
    pub run_id: &'a dyn Fn() -> String,
    /// Most memory this process has had so far, in bytes.
    pub peak_memory: &'a dyn Fn() -> u64,
    pub progress: &'a dyn Progress,
    /// Bytes of memory a step may plan with.
    pub memory: u64,
    /// Folder on a local disk for what does not fit in memory.
    pub scratch: PathBuf,
}

/// What a path names.
pub enum Place {
    Folder(Store),
    File { folder: Store, name: String },
}

/// Where a step tells how far it is.
pub trait Progress: Sync {
    fn begin(&self, pipeline: &str, step: &str);
    /// Work ahead: bytes still to read.
    fn expect(&self, bytes: u64);
    fn advance(&self, bytes: u64);
    fn end(&self, record: &RunRecord);
}

/// Tells nobody.
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: &str) {}
    fn expect(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self, _: &RunRecord) {}
}
