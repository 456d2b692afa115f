//! The environment on this machine: lake, sources and report folders, on its disks or in a bucket.

use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use tidemark_flow::{
    ComputeProfile, Context, Error, ErrorKind, Folders, HEARTBEAT_AFTER, Place, Process, Progress, Secret, Secrets,
    Sources, host, is_bucket,
};
use tidemark_lake::{Lake, Meter, Store};
use tidemark_pipeline::SecretName;
use tokio::runtime::{Builder, Handle, Runtime};

/// The local environment. It owns the threads that do I/O.
pub struct LocalEnvironment {
    runtime: Runtime,
    meter: Meter,
    /// Secrets that take precedence over environment variables.
    secrets: Vec<(SecretName, Secret)>,
    #[cfg(feature = "s3")]
    buckets: tidemark_aws::Buckets,
}

impl LocalEnvironment {
    pub fn new() -> anyhow::Result<LocalEnvironment> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let meter = Meter::default();
        #[cfg(feature = "s3")]
        let buckets = tidemark_aws::Buckets::for_current_user(runtime.handle().clone(), &meter);
        Ok(LocalEnvironment {
            runtime,
            meter,
            secrets: Vec::new(),
            #[cfg(feature = "s3")]
            buckets,
        })
    }

    /// A new environment with the same secrets, and with its own threads and request counts.
    pub fn another(&self) -> Result<LocalEnvironment, Error> {
        let local = LocalEnvironment::new().map_err(|error| {
            Error::new(ErrorKind::Retry, "no more threads can be started").because(error.to_string())
        })?;
        Ok(LocalEnvironment { secrets: self.secrets.clone(), ..local })
    }

    /// Adds a secret.
    pub fn with_secret(mut self, name: SecretName, secret: Secret) -> LocalEnvironment {
        self.secrets.push((name, secret));
        self
    }

    /// Handle of the runtime for I/O.
    pub fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// Opens the lake at a place, and creates it if it does not exist.
    pub fn lake(&self, place: &str) -> Result<Lake, Error> {
        self.open(place, true)
    }

    /// Whether a lake may exist at a place: always true for a bucket.
    pub fn has_lake(&self, place: &str) -> bool {
        is_bucket(place) || Path::new(place).exists()
    }

    /// Opens an existing lake.
    pub fn existing_lake(&self, place: &str) -> Result<Lake, Error> {
        if !self.has_lake(place) {
            let message = format!("no lake at {place}");
            return Err(
                Error::new(ErrorKind::Definition, message).hint("set it with --lake, or create it with: tidemark run")
            );
        }
        self.open(place, false)
    }

    fn open(&self, place: &str, create: bool) -> Result<Lake, Error> {
        if is_bucket(place) {
            return Ok(Lake::open(self.bucket(place)?, create)?);
        }
        Ok(Lake::open_folder(Path::new(place), create, self.handle(), &self.meter)?)
    }

    /// An empty lake in memory.
    pub fn empty_lake(&self) -> Result<Lake, Error> {
        Ok(Lake::open(Store::new(Arc::new(InMemory::new()), "memory", self.handle()), true)?)
    }

    #[cfg(feature = "s3")]
    fn bucket(&self, place: &str) -> Result<Store, Error> {
        self.buckets.folder(place)
    }

    #[cfg(feature = "s3")]
    fn located(&self, path: &str) -> Result<Place, Error> {
        self.buckets.locate(path)
    }

    #[cfg(not(feature = "s3"))]
    fn bucket(&self, place: &str) -> Result<Store, Error> {
        Err(Error::new(
            ErrorKind::Definition,
            format!("{place} is in a bucket, and this tidemark was built without S3"),
        )
        .hint("build it with feature s3"))
    }

    #[cfg(not(feature = "s3"))]
    fn located(&self, path: &str) -> Result<Place, Error> {
        self.bucket(path).map(Place::Folder)
    }

    /// Builds the context of this machine.
    pub fn with_context<T>(&self, lake: &Lake, progress: &dyn Progress, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let process = Process {
            build: env!("TIDEMARK_BUILD"),
            peak_memory: &host::peak_memory,
            meter: &self.meter,
            compute: ComputeProfile::DEPLOYED,
            billed_from: None,
            heartbeat_after: HEARTBEAT_AFTER,
        };
        act(&Context {
            lake,
            clock: &host::now,
            run_id: &host::run_id,
            deadline: None,
            memory: host::memory(None),
            scratch: &std::env::temp_dir(),
            progress,
            process,
        })
    }
}

impl Sources for LocalEnvironment {
    fn locate(&self, path: &str) -> Result<Place, Error> {
        if is_bucket(path) { self.located(path) } else { host::locate(path, &self.handle(), &self.meter) }
    }
}

impl Folders for LocalEnvironment {
    fn folder(&self, path: &str) -> Result<Store, Error> {
        if is_bucket(path) { self.bucket(path) } else { host::folder(path, &self.handle(), &self.meter) }
    }
}

impl Secrets for LocalEnvironment {
    fn secret(&self, name: &SecretName) -> Result<Secret, Error> {
        let own = self.secrets.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.clone());
        own.or_else(|| host::secret(name)).ok_or_else(|| {
            let variable = host::variable_of(name);
            Error::new(ErrorKind::Definition, format!("secret {name} has no value"))
                .hint(format!("set environment variable {variable}"))
        })
    }
}
