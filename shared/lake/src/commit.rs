//! Commits: all of a step's changes to a dataset, applied atomically.

use std::collections::HashSet;
use std::sync::Arc;

use delta_kernel::arrow::array::{RecordBatch, StringArray};
use delta_kernel::arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::expressions::ColumnName as KernelColumn;
use delta_kernel::schema::{DataType as Delta, StructField, StructType};
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{
    CommitResult, CommittedTransaction, Transaction, UpdateTableOperation, UpdateTableTransactionBuilder,
};
use delta_kernel::{KernelError, KernelResult};

use crate::draft::Draft;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::schema::encode_column;
use crate::schema_change::{Change, with_new_schema};
use crate::table::{DOMAIN, Table};

const ENGINE: &str = concat!("tidemark/", env!("CARGO_PKG_VERSION"));

/// Number of commits between two checkpoints of the Delta log.
const CHECKPOINT_EVERY: u64 = 20;

/// How an attempt to commit ended. Losing a race is not an error: the caller observes the logs again and makes a new plan.
#[must_use]
#[derive(Debug)]
pub enum Outcome {
    /// The version that was committed.
    Committed(i64),
    /// Another commit has taken the version.
    Lost(i64),
}

impl Draft {
    /// Commits on top of `base`; creates the table if `base` is `None`.
    ///
    /// # Errors
    /// Errors of the store. Nothing was committed then, unless the reply was lost *and* the log could not be read afterwards either.
    /// [`LakeError::SchemaMismatch`] if files that do not fit the draft's schema or partitions would remain; [`LakeError::Type`].
    pub fn commit(mut self, lake: &Lake, base: Option<&Table>) -> Result<Outcome, LakeError> {
        let change = Change::new(&self, lake, base)?;
        self.drop_unchanged();
        let what = format!("the commit to dataset {}", self.dataset);
        let version = base.map_or(0, |table| table.version() + 1);
        let result = match change {
            Change::Created(schema) => self.create(lake, schema),
            Change::ColumnsAdded(table, columns) => self.add_columns(lake, table, columns),
            Change::Replaced(table, schema) => self.replace_schema(lake, table, &schema),
        };
        let error = match result {
            Ok(Attempt::Committed(done)) => {
                checkpoint(lake, &done);
                return Ok(Outcome::Committed(version));
            }
            Ok(Attempt::Conflicted) => None,
            Err(error) => Some(error),
        };
        // a lost reply looks like a lost race, and a lost race sometimes looks like an error: reading the committed version tells them
        // apart
        match (lake.entry(&self.dataset, version), error) {
            (Ok(Some(entry)), _) if entry.info.as_ref().is_some_and(|info| info.run_id == self.info.run_id) => {
                Ok(Outcome::Committed(version))
            }
            (Ok(Some(_)), _) | (Ok(None), None) => Ok(Outcome::Lost(version)),
            (_, Some(error)) => Err(LakeError::kernel(what, error)),
            (Err(error), None) => Err(error),
        }
    }

    fn create(&self, lake: &Lake, schema: StructType) -> KernelResult<Attempt> {
        let mut builder = create_table(lake.url(&self.dataset), Arc::new(schema), ENGINE, true)
            .with_table_properties([("delta.feature.domainMetadata", "supported")]);
        if !self.partition_by.is_empty() {
            let columns = self.partition_by.iter().map(|column| encode_column(column.as_str()));
            builder = builder.with_data_layout(DataLayout::partitioned(columns));
        }
        let txn = builder.build(lake.engine(), Box::new(FileSystemCommitter::new()))?;
        self.finish(lake, txn)
    }

    fn add_columns(&self, lake: &Lake, table: &Table, columns: Vec<StructField>) -> KernelResult<Attempt> {
        let operation = match (self.adds.is_empty(), self.removes.is_empty()) {
            (_, true) => UpdateTableOperation::Write,
            (true, false) => UpdateTableOperation::Delete,
            (false, false) => UpdateTableOperation::Merge,
        };
        let builder = table.snapshot.clone().update_table(operation, ENGINE, true);
        self.update(lake, table, columns.into_iter().fold(builder, UpdateTableTransactionBuilder::add_column))
    }

    fn replace_schema(&self, lake: &Lake, table: &Table, schema: &StructType) -> KernelResult<Attempt> {
        let mut builder = with_new_schema(&table.snapshot, schema, &self.partition_by)?
            .update_table(UpdateTableOperation::Write, ENGINE, true)
            .with_operation_parameters([("mode", Some("Overwrite")), ("overwriteSchema", Some("true"))]);
        // the kernel writes a table's metadata only where it has changed some; every column is nullable, so this changes nothing
        if let Some(field) = schema.fields().next() {
            builder = builder.set_nullable(KernelColumn::new([field.name()]));
        }
        self.update(lake, table, builder)
    }

    fn update(&self, lake: &Lake, table: &Table, builder: UpdateTableTransactionBuilder) -> KernelResult<Attempt> {
        let mut txn = builder.build(lake.engine(), Box::new(FileSystemCommitter::new()))?;
        if !self.removes.is_empty() {
            let removed: HashSet<&str> = self.removes.iter().map(|file| file.path.as_str()).collect();
            for files in table.select(lake, &removed)? {
                txn.remove_files(files);
            }
        }
        self.finish(lake, txn)
    }

    fn finish<S>(&self, lake: &Lake, mut txn: Transaction<S>) -> KernelResult<Attempt> {
        for file in &self.adds {
            txn.add_files(file.add_action()?);
        }
        for (input, version) in &self.consumed {
            txn = txn.with_transaction_id(input.clone(), *version);
        }
        let json = |value: Result<String, serde_json::Error>| value.map_err(KernelError::generic_err);
        let meta = json(serde_json::to_string(&self.meta))?;
        let info = json(serde_json::to_string(&self.info))?;
        txn = txn.with_domain_metadata(DOMAIN.into(), meta);
        let field = Arc::new(ArrowSchema::new(vec![Field::new("tidemark", DataType::Utf8, true)]));
        let row = RecordBatch::try_new(field, vec![Arc::new(StringArray::from(vec![info]))])?;
        let schema = StructType::try_new([StructField::nullable("tidemark", Delta::STRING)])?;
        txn = txn.with_commit_info(Box::new(ArrowEngineData::new(row)), Arc::new(schema));
        match txn.commit(lake.engine())? {
            CommitResult::Committed(done) => Ok(Attempt::Committed(Box::new(done))),
            CommitResult::Conflicted(_) => Ok(Attempt::Conflicted),
            CommitResult::Retryable(retry) => Err(retry.error),
        }
    }
}

enum Attempt {
    Committed(Box<CommittedTransaction>),
    Conflicted,
}

/// Writes a checkpoint of the log every [`CHECKPOINT_EVERY`] commits. The commit is valid even if this fails; a later commit tries again.
fn checkpoint(lake: &Lake, done: &CommittedTransaction) {
    if done.post_commit_stats().commits_since_checkpoint < CHECKPOINT_EVERY {
        return;
    }
    if let Some(snapshot) = done.post_commit_snapshot()
        && let Err(error) = snapshot.checkpoint(lake.engine(), None)
    {
        tracing::warn!(version = done.commit_version(), error = %error, "no checkpoint was written");
    }
}
