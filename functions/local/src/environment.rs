//! The world as this machine offers it: the lake, sources and report folders, on its disks or in a bucket.

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

/// Keeps the threads that do I/O.
pub struct LocalEnvironment {
    runtime: Runtime,
    meter: Meter,
    /// Secrets of its own, before those of the environment.
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

    /// Another one like this, with threads and a count of requests of its own.
    pub fn another(&self) -> Result<LocalEnvironment, Error> {
        let world = LocalEnvironment::new().map_err(|error| {
            Error::new(ErrorKind::Retry, "no more threads can be started").because(error.to_string())
        })?;
        Ok(LocalEnvironment { secrets: self.secrets.clone(), ..world })
    }

    /// With a secret of its own.
    pub fn with_secret(mut self, name: SecretName, secret: Secret) -> LocalEnvironment {
        self.secrets.push((name, secret));
        self
    }

    /// What I/O blocks on.
    pub fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// The lake at a place, made if it is not there.
    pub fn lake(&self, place: &str) -> Result<Lake, Error> {
        self.open(place, true)
    }

    /// Whether there is something at the place of a lake.
    pub fn has_lake(&self, place: &str) -> bool {
        is_bucket(place) || Path::new(place).exists()
    }

    /// The lake at a place, for those who only look.
    pub fn existing_lake(&self, place: &str) -> Result<Lake, Error> {
        if !self.has_lake(place) {
            let message = format!("no lake at {place}");
            return Err(
                Error::new(ErrorKind::Definition, message).hint("name it with --lake, or make it with: tidemark run")
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

    /// A lake without anything in it, gone with the process.
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
            Error::new(ErrorKind::Definition, format!("secret {name} is not given"))
                .hint(format!("put it into the environment variable {variable}"))
        })
    }
}
