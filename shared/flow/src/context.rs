//! The environment of a run, and the traits by which a step accesses everything outside the lake. Built once at the start of a process.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_lake::{Lake, Meter, Store};
use tidemark_pipeline::SecretName;

use crate::error::Error;
use crate::price::ComputeProfile;
use crate::record::RunRecord;
use crate::secret::Secret;

/// Everything a step may use while it runs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub lake: &'a Lake,
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Returns a new run id for each attempt; ids sort by time.
    pub run_id: &'a (dyn Fn() -> String + Sync),
    /// When a step must stop and save its progress for another invocation; `None` if there is no time limit.
    pub deadline: Option<Timestamp>,
    /// Memory budget of a step in bytes.
    pub memory: u64,
    /// Folder on a local disk for data that does not fit in memory.
    pub scratch: &'a Path,
    pub progress: &'a dyn Progress,
    pub process: Process<'a>,
}

/// Facts about the process that a run record reports.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    /// Fingerprint of the program. A checkpoint is read only by a program with the same fingerprint.
    pub build: &'a str,
    /// Peak memory of this process so far, in bytes.
    pub peak_memory: &'a (dyn Fn() -> u64 + Sync),
    /// Counts the requests of this process, to any store, bus or API.
    pub meter: &'a Meter,
    pub compute: ComputeProfile,
    /// Start of the billed time if it is earlier than the start of the run: the first invocation of a function also pays for the start of
    /// its process.
    pub billed_from: Option<Timestamp>,
    /// How long a run may take before it writes its first heartbeat to the lake.
    pub heartbeat_after: Duration,
}

impl Context<'_> {
    /// Whether the deadline has passed.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| (self.clock)() >= deadline)
    }
}

/// Resolves the path of a source.
pub trait Sources: Sync {
    /// # Errors
    /// The path does not exist or is not readable; the hint says what to do.
    fn locate(&self, path: &str) -> Result<Place, Error>;
}

/// Opens the folders that reports and database files go to.
pub trait Folders: Sync {
    /// Opens the folder at a path, and creates it if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be created or opened; the hint says what to do.
    fn folder(&self, path: &str) -> Result<Store, Error>;
}

/// Looks up secrets.
pub trait Secrets: Sync {
    /// # Errors
    /// The secret does not exist or is not readable.
    fn secret(&self, name: &SecretName) -> Result<Secret, Error>;
}

/// Access to everything outside the lake and this process.
pub trait Environment: Sources + Folders + Secrets {}

impl<T: Sources + Folders + Secrets> Environment for T {}

/// Whether a path is in an S3 bucket, rather than on this machine.
pub fn is_bucket(place: &str) -> bool {
    place.starts_with("s3://")
}

/// The target of a path.
pub enum Place {
    Folder(Store),
    File { folder: Store, name: String },
}

/// Reports the progress of running steps to the user.
pub trait Progress: Sync {
    fn begin(&self, pipeline: &str, step: &str);
    /// Announces the number of bytes still to be read.
    fn expect(&self, bytes: u64);
    fn advance(&self, bytes: u64);
    /// A run has ended.
    fn end(&self, record: &RunRecord);
}

/// Reports no progress.
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: &str) {}
    fn expect(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self, _: &RunRecord) {}
}
