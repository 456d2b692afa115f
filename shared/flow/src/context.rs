//! What a run has to work with, and the traits by which a step asks for the rest of the world. Built once, where a process starts.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_lake::{Lake, Meter, Store};
use tidemark_pipeline::SecretName;

use crate::error::Error;
use crate::price::ComputeProfile;
use crate::record::RunRecord;
use crate::secret::Secret;

/// What every step may use while it runs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub lake: &'a Lake,
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// A new id per attempt, sorting by time.
    pub run_id: &'a (dyn Fn() -> String + Sync),
    /// When a step has to put down what it has, for another invocation to go on with; `None` where nothing limits the time.
    pub deadline: Option<Timestamp>,
    /// Bytes of memory a step may plan with.
    pub memory: u64,
    /// Folder on a local disk for what does not fit in memory.
    pub scratch: &'a Path,
    pub progress: &'a dyn Progress,
    pub process: Process<'a>,
}

/// The process a run is in, as its run record describes it.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    /// Fingerprint of the program: a checkpoint is read only by the program that wrote it.
    pub build: &'a str,
    /// Most memory this process has had so far, in bytes.
    pub peak_memory: &'a (dyn Fn() -> u64 + Sync),
    /// Counts the requests of this process, to any store, bus or API.
    pub meter: &'a Meter,
    pub compute: ComputeProfile,
    /// Since when this run has to be paid for, where that is before it begins: the start of a function is.
    pub billed_from: Option<Timestamp>,
    /// How long a run is under way before it is marked so in the lake.
    pub heartbeat_after: Duration,
}

impl Context<'_> {
    /// Whether the deadline has passed.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| (self.clock)() >= deadline)
    }
}

/// Finds what the path of a source names.
pub trait Sources: Sync {
    /// # Errors
    /// What is not there or may not be read, with what to do about it.
    fn locate(&self, path: &str) -> Result<Place, Error>;
}

/// Opens the folders that reports and database files go to.
pub trait Folders: Sync {
    /// The folder at a path, made if it is not there.
    ///
    /// # Errors
    /// What may not be made or opened, with what to do about it.
    fn folder(&self, path: &str) -> Result<Store, Error>;
}

/// Knows the values of secrets.
pub trait Secrets: Sync {
    /// # Errors
    /// A secret that nobody has stored, or that may not be read.
    fn secret(&self, name: &SecretName) -> Result<Secret, Error>;
}

/// All that is outside the lake and this process.
pub trait Environment: Sources + Folders + Secrets {}

impl<T: Sources + Folders + Secrets> Environment for T {}

/// Whether a place is in a bucket, and not on this machine.
pub fn is_bucket(place: &str) -> bool {
    place.starts_with("s3://")
}

/// What a path names.
pub enum Place {
    Folder(Store),
    File { folder: Store, name: String },
}

/// Shown to the user while steps run.
pub trait Progress: Sync {
    fn begin(&self, pipeline: &str, step: &str);
    /// Work ahead: bytes still to read.
    fn expect(&self, bytes: u64);
    fn advance(&self, bytes: u64);
    /// A run has ended.
    fn end(&self, record: &RunRecord);
}

/// Shows nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: &str) {}
    fn expect(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self, _: &RunRecord) {}
}
