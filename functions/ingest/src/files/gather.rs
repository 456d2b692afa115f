//! Combines the outcomes of the objects of a plan. Pure.

use std::collections::BTreeMap;

use polars::prelude::{Schema, SchemaExt as _};
use tidemark_flow::{Balance, Error};
use tidemark_lake::DataFile;

use super::columns::widen;
use super::listing::NewObject;
use super::object::ObjectOutcome;

/// The columns of a dataset after objects have been read.
pub(super) struct Widened {
    pub schema: Schema,
    /// For each object without columns and rows, by its index: the columns of the dataset before it, which its empty file gets.
    pub empty: BTreeMap<usize, Schema>,
}

/// Adds the columns of objects, in order, to those of the dataset.
///
/// # Errors
/// Objects whose columns conflict.
pub(super) fn widened(base: &Schema, new_objects: &[NewObject], outcomes: &[ObjectOutcome]) -> Result<Widened, Error> {
    let mut widened = Widened { schema: base.clone(), empty: BTreeMap::new() };
    for (nth, (NewObject { object, .. }, outcome)) in new_objects.iter().zip(outcomes).enumerate() {
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

/// The totals of all objects of a plan.
#[derive(Default)]
pub(super) struct ObjectTotals {
    pub balance: Balance,
    pub notes: Vec<String>,
    /// Objects that were read.
    pub partitions: u64,
    pub bytes_read: u64,
    pub adds: Vec<DataFile>,
    pub removes: Vec<DataFile>,
    /// At least one object was not read because it is still being written.
    pub is_incomplete: bool,
    /// At least one of those has an earlier version, which is kept.
    pub keeps_previous: bool,
}

/// Sums up the outcomes of objects.
pub(super) fn gather(new_objects: Vec<NewObject>, outcomes: Vec<ObjectOutcome>) -> ObjectTotals {
    let mut totals = ObjectTotals::default();
    for (NewObject { object, previous }, outcome) in new_objects.into_iter().zip(outcomes) {
        match outcome {
            ObjectOutcome::Read { files, rows, broken, .. } => {
                if rows == 0 {
                    totals.notes.push(format!("{} has no rows", object.name));
                }
                totals.balance.rows_in += rows;
                totals.balance.written += rows - broken;
                totals.balance.quarantined += broken;
                totals.bytes_read += object.bytes;
                totals.partitions += 1;
                totals.adds.extend(files);
                totals.removes.extend(previous);
            }
            ObjectOutcome::Changing => {
                totals.notes.push(format!("{} is still being written; it waits for the next run", object.name));
                totals.is_incomplete = true;
                totals.keeps_previous |= !previous.is_empty();
            }
        }
    }
    totals
}

/// Adds the columns that only files kept from the current version have.
pub(super) fn keep_columns(schema: &mut Schema, current: &Schema) {
    for field in current.iter_fields() {
        if !schema.contains(field.name()) {
            schema.with_column(field.name().clone(), field.dtype().clone());
        }
    }
}
