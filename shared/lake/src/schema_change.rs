//! How a commit changes a table's schema: its columns in order, their types, and its partition columns.

use std::collections::HashSet;
use std::sync::Arc;

use delta_kernel::actions::Metadata;
use delta_kernel::schema::{StructField, StructType};
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::table_configuration::TableConfiguration;
use delta_kernel::{KernelResult, Snapshot};
use polars::prelude::Schema;
use tidemark_pipeline::ColumnName;

use crate::draft::Draft;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::schema::{decode_column, encode_column, to_delta};
use crate::schema_mismatch::SchemaMismatch;
use crate::table::Table;

/// How a commit changes the schema of its table.
pub(crate) enum Change<'t> {
    /// The commit creates the table.
    Created(StructType),
    /// Existing columns stay as they are; these columns (maybe none) are appended.
    ColumnsAdded(&'t Table, Vec<StructField>),
    /// The schema is replaced. This is sound because no file with the old schema remains.
    Replaced(&'t Table, StructType),
}

impl<'t> Change<'t> {
    pub(crate) fn new(draft: &Draft, lake: &Lake, base: Option<&'t Table>) -> Result<Change<'t>, LakeError> {
        let wanted = to_delta(&draft.dataset, &draft.schema)?;
        let Some(table) = base else { return Ok(Change::Created(wanted)) };
        let current = table.snapshot.schema();
        let mismatch = schema_mismatch(table, &wanted, &draft.partition_by);
        let is_same_order = current.fields().map(StructField::name).eq(wanted.fields().map(StructField::name));
        if mismatch.is_none() && is_same_order {
            return Ok(Change::ColumnsAdded(table, Vec::new()));
        }
        let removed: HashSet<&str> = draft.removes.iter().map(|file| file.path.as_str()).collect();
        if table.files(lake)?.iter().all(|file| removed.contains(file.path.as_str())) {
            return Ok(Change::Replaced(table, wanted));
        }
        match mismatch {
            Some(mismatch) => Err(LakeError::SchemaMismatch { dataset: draft.dataset.clone(), mismatch }),
            None => {
                let new = wanted.fields().filter(|field| current.field(field.name()).is_none());
                Ok(Change::ColumnsAdded(table, new.cloned().collect()))
            }
        }
    }
}

impl Table {
    /// The first reason why this table's files do not fit a table with the given columns, partition columns included;
    /// None if that table has the same columns, in any order, or additional ones.
    ///
    /// # Errors
    /// [`LakeError::Type`] for a column that no table can hold.
    pub fn schema_mismatch(
        &self,
        schema: &Schema,
        partition_by: &[ColumnName],
    ) -> Result<Option<SchemaMismatch>, LakeError> {
        let wanted = to_delta(self.dataset(), schema)?;
        Ok(schema_mismatch(self, &wanted, partition_by))
    }
}

fn schema_mismatch(table: &Table, wanted: &StructType, partition_by: &[ColumnName]) -> Option<SchemaMismatch> {
    let partitioned_by = table.partition_by();
    if partitioned_by != partition_by {
        return Some(SchemaMismatch::Partition { table: partitioned_by, now: partition_by.to_vec() });
    }
    table.snapshot.schema().fields().find_map(|field| {
        let (column, table) = (decode_column(field.name()), field.data_type().to_string());
        match wanted.field(field.name()) {
            None => Some(SchemaMismatch::Missing { column, table }),
            Some(now) if now.data_type() != field.data_type() => {
                Some(SchemaMismatch::Type { column, table, now: now.data_type().to_string() })
            }
            Some(_) => None,
        }
    })
}

/// A snapshot of the table with a new schema. The kernel can create a table and add columns, but cannot overwrite a schema. Given a
/// snapshot that already has the new schema, it writes and checks the actions of a commit by that schema.
pub(crate) fn with_new_schema(
    current: &Snapshot,
    schema: &StructType,
    partition_by: &[ColumnName],
) -> KernelResult<SnapshotRef> {
    let configuration = current.table_configuration();
    let metadata = configuration.metadata();
    let metadata = Metadata::from_parts(
        metadata.id().into(),
        metadata.name().map(str::to_owned),
        metadata.description().map(str::to_owned),
        metadata.format_provider().into(),
        metadata.format_options().clone(),
        serde_json::to_string(schema)?,
        partition_by.iter().map(|column| encode_column(column.as_str())).collect(),
        metadata.created_time(),
        metadata.configuration().clone(),
    );
    let configuration = TableConfiguration::try_new(
        metadata,
        configuration.protocol().clone(),
        configuration.table_root().clone(),
        configuration.version(),
    )?;
    Ok(Arc::new(Snapshot::new(current.log_segment().clone(), configuration)?))
}
