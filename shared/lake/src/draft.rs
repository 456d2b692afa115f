//! What a step has to say about a dataset, before it is said.

use std::collections::HashSet;

use polars::prelude::Schema;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{ColumnName, DatasetName};

use crate::datafile::DataFile;
use crate::table::Meta;

/// Who made a commit, and the row equation it keeps. `run_id` is unique among attempts: by it a commit whose reply was lost is
/// told from a lost race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitInfo {
    pub run_id: String,
    pub step: String,
    pub balance: serde_json::Value,
}

/// A commit that has not been made.
#[derive(Debug, Clone)]
pub struct Draft {
    pub dataset: DatasetName,
    /// All columns, partition columns included. Columns a table does not have yet are added to it. Where every live file is
    /// removed, the table takes on this schema and these partitions, whatever it had before.
    pub schema: Schema,
    pub partition_by: Vec<ColumnName>,
    pub adds: Vec<DataFile>,
    /// Files of the base version that are live no more.
    pub removes: Vec<DataFile>,
    /// What has been consumed, with this commit, of each input (a dataset's name and its version).
    pub consumed: Vec<(String, i64)>,
    pub meta: Meta,
    pub info: CommitInfo,
}

impl Draft {
    /// Whether files come or go; those taken away and given back do not.
    pub fn changes_rows(&self) -> bool {
        let paths = |files: &[DataFile]| files.iter().map(|file| file.path.clone()).collect::<HashSet<_>>();
        paths(&self.adds) != paths(&self.removes)
    }

    /// A file that is taken away and given back is left alone.
    pub(crate) fn drop_unchanged(&mut self) {
        let added: HashSet<String> = self.adds.iter().map(|file| file.path.clone()).collect();
        let kept: HashSet<String> =
            self.removes.iter().filter(|file| added.contains(&file.path)).map(|file| file.path.clone()).collect();
        self.adds.retain(|file| !kept.contains(&file.path));
        self.removes.retain(|file| !kept.contains(&file.path));
    }
}
