//! The common part of loads into databases. Each has one task, which is one transaction; repeating the task has no further effect.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tidemark_flow::{Balance, Bytes, Context, DraftSummary, Error, Output, Scope, Size};
use tidemark_lake::Outcome;
use tidemark_pipeline::DatasetName;

use crate::change::Changed;

/// The transaction that takes a table from one version of its dataset to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// The version that the table will have.
    pub version: i64,
    /// The version that the table has.
    pub loaded: Option<i64>,
    /// Whether all rows are loaded again, whatever version the table has.
    pub is_rebuild: bool,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionOutcome {
    /// The numbers of rows, and notes for the run record.
    Loaded { rows: Balance, notes: Vec<String> },
    /// The table has that version already.
    AlreadyLoaded,
    /// The table is not at the version that the change starts from, because another process loaded it meanwhile.
    Stale,
}

/// The changes a load would make, as found by planning.
pub struct Plan {
    pub(crate) changed: Arc<Changed>,
    pub(crate) is_rebuild: bool,
    /// How rows are brought into the table, if there are several ways.
    pub(crate) how: Option<&'static str>,
}

impl Plan {
    pub(crate) fn scope(&self) -> Scope {
        Scope { partitions: self.changed.partitions(), size: Size { how: self.how, ..self.changed.size() } }
    }

    /// The one task; none once it has an outcome.
    pub(crate) fn tasks(&self, receipts: &[TransactionOutcome]) -> Vec<Transaction> {
        let task = Transaction {
            version: self.changed.table.version(),
            loaded: self.changed.loaded,
            is_rebuild: self.is_rebuild,
        };
        if receipts.is_empty() { vec![task] } else { Vec::new() }
    }

    /// `table` is the database and table, for messages.
    pub(crate) fn gather(&self, table: String, receipts: Vec<TransactionOutcome>) -> (DraftSummary, Outcome) {
        let Size { partitions, bytes, .. } = self.changed.size();
        let mut summary = DraftSummary {
            inputs: vec![self.changed.input()],
            outputs: vec![Output::new(table, partitions)],
            bytes: Bytes { read: bytes, written: 0 },
            ..DraftSummary::default()
        };
        let version = self.changed.table.version();
        let outcome = match receipts.into_iter().next() {
            Some(TransactionOutcome::Loaded { rows, notes }) => {
                (summary.rows, summary.notes) = (rows, notes);
                Outcome::Committed(version)
            }
            Some(TransactionOutcome::AlreadyLoaded) => Outcome::Committed(version),
            Some(TransactionOutcome::Stale) | None => Outcome::Lost(version),
        };
        (summary, outcome)
    }
}

/// The change found by planning, kept for the task if that runs in the same process.
#[derive(Default)]
pub(crate) struct KeptChange(Mutex<Option<Arc<Changed>>>);

impl KeptChange {
    pub(crate) fn keep(&self, changed: &Arc<Changed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(changed.clone());
    }

    /// The change of a transaction; `None` if there is none.
    pub(crate) fn get(
        &self,
        context: &Context<'_>,
        dataset: &DatasetName,
        task: &Transaction,
        place: &str,
    ) -> Result<Option<Arc<Changed>>, Error> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_same = |changed: &Arc<Changed>| (changed.table.version(), changed.loaded) == (task.version, task.loaded);
        if let Some(changed) = kept.filter(is_same) {
            return Ok(Some(changed));
        }
        let table = context.lake.table_at(dataset, task.version)?;
        Ok(Changed::since(context.lake, table, task.loaded, task.is_rebuild, place)?.map(Arc::new))
    }
}
