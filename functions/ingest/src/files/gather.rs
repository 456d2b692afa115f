//! What has become of the objects of a plan, put together. Pure.

use std::collections::BTreeMap;

use polars::prelude::{Schema, SchemaExt as _};
use tidemark_flow::{Balance, Error};
use tidemark_lake::DataFile;

use super::columns::widen;
use super::listing::NewObject;
use super::object::ObjectOutcome;

/// The columns of a dataset once objects have been read.
pub(super) struct Widened {
    pub schema: Schema,
    /// By the place of each object that has neither columns nor rows: the columns of the dataset before it, which its file has.
    pub empty: BTreeMap<usize, Schema>,
}

/// Adds the columns of objects, in their order, to those of the dataset.
///
/// # Errors
/// Objects that do not fit into one table.
pub(super) fn widened(base: &Schema, news: &[NewObject], outcomes: &[ObjectOutcome]) -> Result<Widened, Error> {
    let mut widened = Widened { schema: base.clone(), empty: BTreeMap::new() };
    for (nth, (NewObject { object, .. }, outcome)) in news.iter().zip(outcomes).enumerate() {
        match outcome {
            ObjectOutcome::Read { columns: Some(columns), .. } => widen(&mut widened.schema, columns, &object.name)?,
            ObjectOutcome::Read { columns: None, .. } => {
                widened.empty.insert(nth, widened.schema.clone());
            }
            ObjectOutcome::Changing => {}
        }
    }
    Ok(widened)
}

/// What objects have brought.
#[derive(Default)]
pub(super) struct ObjectTotals {
    pub balance: Balance,
    pub notes: Vec<String>,
    /// Objects that were read.
    pub partitions: u64,
    pub bytes_read: u64,
    pub adds: Vec<DataFile>,
    pub removes: Vec<DataFile>,
    /// An object is not read because it is still being written.
    pub is_incomplete: bool,
    /// And an earlier version of it stays.
    pub keeps_former: bool,
}

/// Puts together what has become of objects.
pub(super) fn gather(news: Vec<NewObject>, outcomes: Vec<ObjectOutcome>) -> ObjectTotals {
    let mut gathered = ObjectTotals::default();
    for (NewObject { object, former }, outcome) in news.into_iter().zip(outcomes) {
        match outcome {
            ObjectOutcome::Read { files, rows, broken, .. } => {
                if rows == 0 {
                    gathered.notes.push(format!("{} has no rows", object.name));
                }
                gathered.balance.rows_in += rows;
                gathered.balance.written += rows - broken;
                gathered.balance.quarantined += broken;
                gathered.bytes_read += object.bytes;
                gathered.partitions += 1;
                gathered.adds.extend(files);
                gathered.removes.extend(former);
            }
            ObjectOutcome::Changing => {
                gathered.notes.push(format!("{} is still being written; it waits for the next run", object.name));
                gathered.is_incomplete = true;
                gathered.keeps_former |= !former.is_empty();
            }
        }
    }
    gathered
}

/// Adds the columns that only files have which stay.
pub(super) fn keep_columns(schema: &mut Schema, standing: &Schema) {
    for field in standing.iter_fields() {
        if !schema.contains(field.name()) {
            schema.with_column(field.name().clone(), field.dtype().clone());
        }
    }
}
