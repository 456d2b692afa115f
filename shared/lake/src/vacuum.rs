//! Deletes data files that the latest version does not contain, and leftovers of abandoned checkpoints.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use tidemark_pipeline::DatasetName;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// What a vacuum has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    pub files: u64,
    pub bytes: u64,
}

impl Lake {
    /// Deletes the data files of a dataset that its latest version does not name and that were written longer ago than
    /// `retention`. Versions older than that may become unreadable. A file that is being written for a later commit is
    /// young, so a retention longer than any run protects it.
    pub fn vacuum(
        &self,
        dataset: &DatasetName,
        now: Timestamp,
        retention: SignedDuration,
    ) -> Result<Vacuumed, LakeError> {
        let table = self.existing(dataset)?;
        let live: HashSet<_> = table.files(self)?.iter().map(|file| Key::Data(dataset, &file.path).path()).collect();
        let folder = Key::Table(dataset).path();
        let failed = |source| LakeError::store(format!("vacuum of dataset {dataset}"), source);
        let work_folder = format!("{folder}/_work/");
        let mut vacuumed = Vacuumed::default();
        for object in self.store().list(Some(&folder)).map_err(failed)? {
            let path = object.location.as_ref();
            let is_data =
                path.ends_with(".parquet") && !path.contains("/_delta_log/") || path.starts_with(&work_folder);
            let written = Timestamp::from_millisecond(object.last_modified.timestamp_millis()).unwrap_or(now);
            if is_data && !live.contains(&object.location) && now.duration_since(written) > retention {
                self.store().delete(&object.location).map_err(failed)?;
                vacuumed.files += 1;
                vacuumed.bytes += object.size;
            }
        }
        Ok(vacuumed)
    }
}
