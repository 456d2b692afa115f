//! The changes to a dataset that a step wants to commit.

use std::collections::HashSet;

use polars::prelude::Schema;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{ColumnName, DatasetName};

use crate::datafile::DataFile;
use crate::table::Meta;

/// Who made a commit, and its row balance. `run_id` is unique among attempts: it distinguishes a commit whose reply was lost
/// from a lost race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitInfo {
    pub run_id: String,
    pub step: String,
    pub balance: serde_json::Value,
}

/// A commit that has not been written yet.
#[derive(Debug, Clone)]
pub struct Draft {
    pub dataset: DatasetName,
    /// All columns, partition columns included. Columns that the table lacks are added to it. If every live file is
    /// removed, the table takes this schema and these partition columns, whatever it had before.
    pub schema: Schema,
    pub partition_by: Vec<ColumnName>,
    pub adds: Vec<DataFile>,
    /// Files of the base version to remove.
    pub removes: Vec<DataFile>,
    /// The version of each input dataset consumed by this commit, by the dataset's name.
    pub consumed: Vec<(String, i64)>,
    pub meta: Meta,
    pub info: CommitInfo,
}

impl Draft {
    /// Whether the commit adds or removes files. A file that is both removed and added does not count.
    pub fn changes_rows(&self) -> bool {
        let paths = |files: &[DataFile]| files.iter().map(|file| file.path.clone()).collect::<HashSet<_>>();
        paths(&self.adds) != paths(&self.removes)
    }

    /// Drops files that are both removed and added.
    pub(crate) fn drop_unchanged(&mut self) {
        let added: HashSet<String> = self.adds.iter().map(|file| file.path.clone()).collect();
        let kept: HashSet<String> =
            self.removes.iter().filter(|file| added.contains(&file.path)).map(|file| file.path.clone()).collect();
        self.adds.retain(|file| !kept.contains(&file.path));
        self.removes.retain(|file| !kept.contains(&file.path));
    }
}
