//! One dataset at one version: its schema, its files, what it has consumed, and how it differs from another version.

use std::collections::{BTreeMap, HashSet};

use delta_kernel::arrow::array::{Array as _, AsArray as _};
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::engine_data::FilteredEngineData;
use delta_kernel::scan::state::ScanFile;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::{KernelError, Snapshot};
use polars::prelude::Schema;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{ColumnName, DatasetName};

use crate::datafile::DataFile;
use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;
use crate::partition::Partition;
use crate::schema;

/// Tidemark's metadata of a dataset, stored in the log as Delta domain metadata `tidemark`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Event time up to which the dataset is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<jiff::Timestamp>,
    /// Fingerprint of the definition that wrote the dataset. If it differs from the current one, the dataset must be rebuilt.
    #[serde(default)]
    pub fingerprint: String,
    /// Position up to which a source has been read, if the table's files do not tell it. Only raw datasets have it; its format depends on
    /// the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bookmark: Option<serde_json::Value>,
}

pub(crate) const DOMAIN: &str = "tidemark";

/// A dataset at one version.
#[derive(Clone)]
pub struct Table {
    pub(crate) dataset: DatasetName,
    pub(crate) snapshot: SnapshotRef,
    schema: Schema,
}

/// Files that are in one version and not in another.
#[derive(Debug, Default)]
pub struct Diff {
    pub added: Vec<DataFile>,
    pub removed: Vec<DataFile>,
}

impl Diff {
    /// Every partition that has a file added or removed, in order.
    pub fn partitions(&self) -> Vec<Partition> {
        let all: std::collections::BTreeSet<_> =
            self.added.iter().chain(&self.removed).map(|file| file.partition.clone()).collect();
        all.into_iter().collect()
    }

    /// Compares the files of two versions.
    pub fn between(before: Vec<DataFile>, now: &[DataFile]) -> Diff {
        let paths = |files: &[DataFile]| files.iter().map(|file| file.path.clone()).collect::<HashSet<_>>();
        let (now_paths, before_paths) = (paths(now), paths(&before));
        Diff {
            added: now.iter().filter(|file| !before_paths.contains(&file.path)).cloned().collect(),
            removed: before.into_iter().filter(|file| !now_paths.contains(&file.path)).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl Lake {
    /// The latest version of a dataset. Returns None if it has never been written.
    pub fn table(&self, dataset: &DatasetName) -> Result<Option<Table>, LakeError> {
        Table::load(self, dataset, None)
    }

    /// The latest version of a dataset; an error if it does not exist.
    pub fn existing(&self, dataset: &DatasetName) -> Result<Table, LakeError> {
        self.table(dataset)?.ok_or_else(|| LakeError::NoSuchDataset(dataset.clone()))
    }

    /// The dataset at a given version. Does not access the store if that snapshot is cached.
    pub fn table_at(&self, dataset: &DatasetName, version: i64) -> Result<Table, LakeError> {
        Table::load(self, dataset, Some(version))?.ok_or_else(|| LakeError::NoSuchDataset(dataset.clone()))
    }
}

impl Table {
    pub(crate) fn load(lake: &Lake, dataset: &DatasetName, version: Option<i64>) -> Result<Option<Table>, LakeError> {
        let kept = match version {
            None => lake.cached_latest(dataset)?,
            Some(version) => lake.cached_at(dataset, version),
        };
        if let Some(kept) = kept {
            return Table::new(dataset, kept).map(Some);
        }
        let what = || format!("the log of dataset {dataset}");
        let snapshot = || {
            let mut builder = Snapshot::builder_for(lake.url(dataset));
            if let Some(version) = version {
                builder = builder.at_version(u64::try_from(version).unwrap_or(u64::MAX));
            }
            builder.build(lake.engine())
        };
        let error = match snapshot() {
            Ok(snapshot) => {
                let table = Table::new(dataset, snapshot)?;
                if version.is_none() {
                    lake.cache(dataset, &table.snapshot);
                }
                return Ok(Some(table));
            }
            Err(error) if is_absent(&error) => error,
            Err(error) => return Err(LakeError::kernel(what(), error)),
        };
        // the kernel gives the same error for a missing table, a missing version and an incomplete log
        let log = Key::Log(dataset).path();
        let commits = lake.store().list(Some(&log)).map_err(|source| LakeError::store(what(), source))?;
        if commits.is_empty() {
            return Ok(None);
        }
        match version {
            // the table may have been created a moment ago
            None => match snapshot() {
                Ok(snapshot) => Table::new(dataset, snapshot).map(Some),
                Err(_) => Err(LakeError::kernel(what(), error)),
            },
            Some(wanted) => match Table::load(lake, dataset, None)? {
                Some(latest) if latest.version() < wanted => Err(LakeError::NoSuchVersion {
                    dataset: dataset.clone(),
                    version: wanted,
                    latest: latest.version(),
                }),
                _ => Err(LakeError::kernel(what(), error)),
            },
        }
    }

    pub(crate) fn new(dataset: &DatasetName, snapshot: SnapshotRef) -> Result<Table, LakeError> {
        let schema = schema::from_delta(dataset, &snapshot.schema())?;
        Ok(Table { dataset: dataset.clone(), snapshot, schema })
    }

    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    pub fn version(&self) -> i64 {
        self.snapshot.version().cast_signed()
    }

    /// All columns, partition columns included, in the table's order.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The partition columns, in the table's order.
    pub fn partition_by(&self) -> Vec<ColumnName> {
        let columns = self.snapshot.table_configuration().logical_partition_columns();
        columns.iter().filter_map(|column| schema::decode_column(column).parse().ok()).collect()
    }

    /// The version of an input that this dataset has consumed.
    pub fn consumed(&self, lake: &Lake, input: &str) -> Result<Option<i64>, LakeError> {
        self.snapshot
            .get_app_id_version(input, lake.engine())
            .map_err(|error| LakeError::kernel(format!("the log of dataset {}", self.dataset), error))
    }

    pub fn meta(&self, lake: &Lake) -> Result<Meta, LakeError> {
        let what = || format!("the log of dataset {}", self.dataset);
        let text = self
            .snapshot
            .get_domain_metadata(DOMAIN, lake.engine())
            .map_err(|error| LakeError::kernel(what(), error))?;
        match text {
            None => Ok(Meta::default()),
            Some(text) => serde_json::from_str(&text)
                .map_err(|source| LakeError::Corrupt { what: what(), source: Box::new(source) }),
        }
    }

    /// The live files, in the order of their partitions and then their paths.
    pub fn files(&self, lake: &Lake) -> Result<Vec<DataFile>, LakeError> {
        let failed = |error| LakeError::kernel(format!("the log of dataset {}", self.dataset), error);
        let columns = self.partition_by();
        let scan = self.snapshot.clone().scan_builder().build().map_err(failed)?;
        let mut files = Vec::new();
        for batch in scan.scan_metadata(lake.engine()).map_err(failed)? {
            let batch = batch.map_err(failed)?;
            let collect: fn(&mut Vec<ScanFile>, ScanFile) = |found, file| found.push(file);
            for file in batch.visit_scan_files(Vec::new(), collect).map_err(failed)? {
                if file.dv_info.has_vector() {
                    return Err(LakeError::Refused {
                        dataset: self.dataset.clone(),
                        what: "it has deletion vectors, so another program wrote to it".into(),
                    });
                }
                files.push(DataFile::from_scan(file, &columns));
            }
        }
        files.sort_unstable_by(|a, b| (&a.partition, &a.path).cmp(&(&b.partition, &b.path)));
        Ok(files)
    }

    /// The scan rows of the given paths, in the form that the kernel needs to remove files.
    pub(crate) fn select(&self, lake: &Lake, paths: &HashSet<&str>) -> Result<Vec<FilteredEngineData>, KernelError> {
        let scan = self.snapshot.clone().scan_builder().build()?;
        let mut selected = Vec::new();
        for batch in scan.scan_metadata(lake.engine())? {
            let (data, mut live) = batch?.scan_files.into_parts();
            let data = ArrowEngineData::try_from_engine_data(data)?;
            let column = data.record_batch().column_by_name("path");
            let Some(path) = column.and_then(|column| column.as_string_opt::<i32>()) else {
                return Err(KernelError::generic("a scan without paths"));
            };
            live.resize(path.len(), true);
            for (row, keep) in live.iter_mut().enumerate() {
                *keep = *keep && paths.contains(path.value(row));
            }
            if live.contains(&true) {
                selected.push(FilteredEngineData::try_new(data, live)?);
            }
        }
        Ok(selected)
    }

    /// Files added and removed since an earlier version. If `earlier` is None, all files count as added.
    pub fn since(&self, lake: &Lake, earlier: Option<i64>) -> Result<Diff, LakeError> {
        let now = self.files(lake)?;
        let before = match earlier {
            None => Vec::new(),
            Some(version) if version == self.version() => return Ok(Diff::default()),
            Some(version) => lake.table_at(&self.dataset, version)?.files(lake)?,
        };
        Ok(Diff::between(before, &now))
    }

    /// Number of live rows.
    pub fn rows(&self, lake: &Lake) -> Result<u64, LakeError> {
        Ok(self.files(lake)?.iter().map(|file| file.rows).sum())
    }

    /// Files by partition, in order.
    pub fn partitions(&self, lake: &Lake) -> Result<BTreeMap<Partition, Vec<DataFile>>, LakeError> {
        let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for file in self.files(lake)? {
            partitions.entry(file.partition.clone()).or_default().push(file);
        }
        Ok(partitions)
    }
}

fn is_absent(error: &KernelError) -> bool {
    match error {
        KernelError::Backtraced { source, .. } => is_absent(source),
        KernelError::FileNotFound(_) | KernelError::EmptyLog | KernelError::MissingVersion(_) => true,
        KernelError::ObjectStore(object_store::Error::NotFound { .. }) => true,
        KernelError::Generic(text) | KernelError::InvalidTableLocation(text) => {
            text.contains("No files in log segment")
        }
        _ => false,
    }
}
