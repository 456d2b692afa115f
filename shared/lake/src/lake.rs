//! One lake: a store, the Delta engine over it, and the marker that says it is a lake.

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use delta_kernel::Engine;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel_default_engine::DefaultEngineBuilder;
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::DatasetName;
use tokio::runtime::Handle;

use crate::error::LakeError;
use crate::key::{Key, MARKER};
use crate::logs::Logs;
use crate::meter::Meter;
use crate::store::Store;

/// The format this code writes. A lake with a higher number is refused.
const FORMAT: u64 = 1;

/// Size limits of data files. File names depend on where files end, so a lake uses one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSize {
    /// Bytes of a row group in memory after which it is closed, so that long texts stay bounded.
    pub group_bytes: usize,
    /// Compressed bytes after which a file is closed and the next one started.
    pub bytes: usize,
}

impl Default for FileSize {
    fn default() -> FileSize {
        FileSize { group_bytes: 16 << 20, bytes: 64 << 20 }
    }
}

#[derive(Serialize, Deserialize)]
struct Marker {
    lake_format: u64,
}

/// A lake, which holds all of Tidemark's state. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    store: Store,
    engine: Arc<dyn Engine>,
    logs: Logs,
    /// Cache of the latest snapshots read, by dataset.
    snapshots: Arc<Mutex<HashMap<DatasetName, SnapshotRef>>>,
    file_size: FileSize,
}

impl Lake {
    /// Opens the lake in a local folder, which is created if `create`.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] for a folder that holds something else, [`LakeError::Newer`], [`LakeError::Denied`].
    pub fn open_folder(folder: &FilePath, create: bool, handle: Handle, meter: &Meter) -> Result<Lake, LakeError> {
        let place = folder.display().to_string();
        let io = |source| {
            LakeError::store(
                format!("lake {place}"),
                object_store::Error::Generic { store: "file", source: Box::new(source) },
            )
        };
        if create {
            std::fs::create_dir_all(folder).map_err(io)?;
        } else if !std::fs::metadata(folder).map_err(io)?.is_dir() {
            return Err(LakeError::NotALake { place, marker: MARKER });
        }
        let store =
            Store::folder(folder, handle).map_err(|source| LakeError::store(format!("lake {place}"), source))?;
        Lake::open(store.with_meter(meter), create)
    }

    /// Opens the lake in a store. If `create`, an empty store becomes a lake, after a check that it honours conditional writes.
    pub fn open(store: Store, create: bool) -> Result<Lake, LakeError> {
        let executor = Arc::new(TokioMultiThreadExecutor::new(store.handle()));
        let logs = Logs::new(store.object_store());
        let engine = DefaultEngineBuilder::new(Arc::new(logs.clone())).with_task_executor(executor).build();
        let (engine, snapshots) = (Arc::new(engine), Arc::default());
        let lake = Lake { store, engine, logs, snapshots, file_size: FileSize::default() };
        if !lake.is_marked()? {
            lake.initialize(create)?;
        }
        Ok(lake)
    }

    /// Whether the marker exists. Fails if its format is unknown.
    fn is_marked(&self) -> Result<bool, LakeError> {
        let place = self.store.place().to_owned();
        let marker = Key::Marker.path();
        let bytes = match self.store.get(&marker) {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(source) => return Err(LakeError::store(format!("{place}/{marker}"), source)),
        };
        let found: Marker = serde_json::from_slice(&bytes)
            .map_err(|source| LakeError::Corrupt { what: format!("{place}/{marker}"), source: Box::new(source) })?;
        if found.lake_format > FORMAT {
            return Err(LakeError::Newer { place, found: found.lake_format, known: FORMAT });
        }
        Ok(true)
    }

    /// Initializes an empty store as a lake. Other processes may do the same concurrently. The marker is written before the probe is
    /// deleted, so a process that finds unexpected objects looks for the marker again.
    fn initialize(&self, create: bool) -> Result<(), LakeError> {
        let place = self.store.place().to_owned();
        let failed = |source| LakeError::store(format!("lake {place}"), source);
        let (marker, probe) = (Key::Marker.path(), Key::Probe.path());
        let others = self.store.list(None).map_err(failed)?;
        if !create || others.iter().any(|object| ![&marker, &probe].contains(&&object.location)) {
            return if self.is_marked()? { Ok(()) } else { Err(LakeError::NotALake { place, marker: MARKER }) };
        }
        self.store.create(&probe, "written once").map_err(failed)?;
        if self.store.create(&probe, "written twice").map_err(failed)? && !self.is_marked()? {
            return Err(LakeError::Unconditional { place });
        }
        let content = serde_json::to_vec(&Marker { lake_format: FORMAT }).map_err(|source| LakeError::Bug {
            what: "the marker cannot be written".into(),
            source: Box::new(source),
        })?;
        self.store.put(&marker, content).map_err(failed)?;
        // the lake exists now; a leftover probe is harmless
        if let Err(error) = self.store.delete(&probe) {
            tracing::warn!(%error, "the probe of the lake was not deleted");
        }
        Ok(())
    }

    /// The same lake with other size limits for new files.
    pub fn with_file_size(self, file_size: FileSize) -> Lake {
        Lake { file_size, ..self }
    }

    pub(crate) fn file_size(&self) -> FileSize {
        self.file_size
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The cached latest snapshot of a table, if its log has no newer commit. Checking for one is faster than reading the log.
    pub(crate) fn cached_latest(&self, dataset: &DatasetName) -> Result<Option<SnapshotRef>, LakeError> {
        let kept = self.snapshots().get(dataset).cloned();
        let Some(snapshot) = kept else { return Ok(None) };
        let log = Key::Log(dataset).path();
        let ends = self.logs.ends_with(&log, snapshot.version().cast_signed());
        match self.store.handle().block_on(ends) {
            Ok(true) => Ok(Some(snapshot)),
            Ok(false) => {
                self.snapshots().remove(dataset);
                Ok(None)
            }
            Err(source) => Err(LakeError::store(format!("the log of dataset {dataset}"), source)),
        }
    }

    /// The cached snapshot of a table, if it is of this version. A version never changes.
    pub(crate) fn cached_at(&self, dataset: &DatasetName, version: i64) -> Option<SnapshotRef> {
        self.snapshots().get(dataset).filter(|kept| kept.version().cast_signed() == version).cloned()
    }

    pub(crate) fn cache(&self, dataset: &DatasetName, snapshot: &SnapshotRef) {
        self.snapshots().insert(dataset.clone(), snapshot.clone());
    }

    fn snapshots(&self) -> MutexGuard<'_, HashMap<DatasetName, SnapshotRef>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL under which the Delta kernel knows a table. Its scheme is our own, so that the kernel does not take it for a path
    /// of this machine; the root of the store is the root of the lake.
    pub(crate) fn url(&self, dataset: &DatasetName) -> String {
        format!("lake:///{}/", Key::Table(dataset).path())
    }

    /// Every dataset that has been written, sorted by name.
    pub fn datasets(&self) -> Result<Vec<DatasetName>, LakeError> {
        let folders = self
            .store
            .folders(&Key::Datasets.path())
            .map_err(|source| LakeError::store("datasets of the lake", source))?;
        Ok(folders.iter().filter_map(|path| path.filename()?.parse().ok()).collect())
    }
}
