//! What a step may touch of the world. Built once, at the door.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_lake::{Lake, Meter, Store};
use tidemark_pipeline::SecretName;

use crate::failure::Failure;
use crate::price::Machine;
use crate::record::RunRecord;
use crate::secret::Secret;

/// The world, as far as a step needs it.
pub struct Context<'a> {
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
    /// Counts the requests of this process, to whatever store, bus or API.
    pub meter: &'a Meter,
    /// What a secret's name stands for.
    pub secret: &'a dyn Fn(&SecretName) -> Result<Secret, Failure>,
    pub progress: &'a dyn Progress,
    /// Bytes of memory a step may plan with.
    pub memory: u64,
    /// Folder on a local disk for what does not fit in memory.
    pub scratch: PathBuf,
    /// When a step has to put down what it has, for another invocation to go on with; `None` where time is no matter.
    pub deadline: Option<Timestamp>,
    pub machine: Machine,
    /// How long a run is under way before the lake is told of it.
    pub mark_after: Duration,
    /// Since when this run has to be paid for, where that is before it begins: a function's start is.
    pub billed_from: Option<Timestamp>,
}

impl Context<'_> {
    /// Whether it is time to put down what there is.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| (self.clock)() >= deadline)
    }
}

/// Whether a place is in a bucket, and not on this machine.
pub fn is_bucket(place: &str) -> bool {
    place.starts_with("s3://")
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
