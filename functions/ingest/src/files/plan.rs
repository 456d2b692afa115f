//! The new objects of a source, and how reading them is divided into tasks. Pure.

use jiff::Timestamp;
use polars::prelude::Schema;
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Table, schema_to_json};
use tidemark_pipeline::DatasetName;

use super::gather::widened;
use super::listing::{NewObject, Object};
use super::object::ObjectOutcome;
use super::receipt::{Receipt, Task};
use crate::raw_dataset::{self, RawDataset};

/// Maximum stored bytes and objects of one task. A single larger object is a task of its own. Fixed values, so that every process divides a
/// plan into the same tasks.
const TASK_BYTES: u64 = 8 << 20;
const TASK_OBJECTS: usize = 64;

/// The new objects of the source, and the raw dataset they are added to.
pub(crate) struct Plan {
    pub current: RawDataset,
    pub new_objects: Vec<NewObject>,
    /// Everything is read again, so the existing columns need not be kept.
    pub is_rebuild: bool,
    /// Files of objects that no longer exist. They are removed only when everything is read again.
    pub stale: Vec<DataFile>,
    pub watermark: Option<Timestamp>,
    /// Notes of the listing.
    pub notes: Vec<String>,
}

impl Plan {
    /// The version of the raw dataset whose columns are kept, if any.
    pub(super) fn base(&self) -> Option<&Table> {
        self.current.table.as_ref().filter(|_| !self.is_rebuild)
    }

    /// Columns of the dataset before any object is added.
    pub(super) fn columns(&self) -> Schema {
        self.base().map_or_else(raw_dataset::schema, |table| table.schema().clone())
    }

    /// The tasks that read all new objects.
    fn reads(&self) -> Vec<Task> {
        let (base, arrived_in) = (self.base().map(Table::version), self.current.next_version());
        let mut groups: Vec<(u64, Vec<Object>)> = Vec::new();
        for NewObject { object, .. } in &self.new_objects {
            match groups.last_mut() {
                Some((bytes, objects)) if *bytes + object.bytes <= TASK_BYTES && objects.len() < TASK_OBJECTS => {
                    *bytes += object.bytes;
                    objects.push(object.clone());
                }
                _ => groups.push((object.bytes, vec![object.clone()])),
            }
        }
        groups.into_iter().map(|(_, objects)| Task::Read { objects, base, arrived_in }).collect()
    }

    /// The tasks of the next stage. First all objects are read; then empty files are written for objects without columns, with the columns
    /// of all objects before them.
    pub(super) fn tasks(&self, raw: &DatasetName, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        let reads = self.reads();
        if receipts.len() < reads.len() {
            return Ok(reads);
        }
        if receipts.len() > reads.len() {
            return Ok(Vec::new());
        }
        let widened = widened(&self.columns(), &self.new_objects, &outcomes(raw, receipts)?)?;
        let mut tasks: Vec<Task> = Vec::new();
        for (place, columns) in widened.empty {
            let object = self.new_objects[place].object.clone();
            let text = schema_to_json(raw, &columns)?;
            match tasks.last_mut() {
                Some(Task::Empty { objects, columns, .. }) if *columns == text && objects.len() < TASK_OBJECTS => {
                    objects.push(object);
                }
                _ => {
                    let arrived_in = self.current.next_version();
                    tasks.push(Task::Empty { objects: vec![object], columns: text, arrived_in });
                }
            }
        }
        Ok(tasks)
    }
}

/// The outcomes of the objects of a plan, in order.
pub(super) fn outcomes(raw: &DatasetName, receipts: &[Receipt]) -> Result<Vec<ObjectOutcome>, Error> {
    let mut outcomes = Vec::new();
    for receipt in receipts {
        if let Receipt::Read(read) = receipt {
            outcomes.extend(read.read(raw)?);
        }
    }
    // files of objects without columns are in the order of the objects
    let mut empty = receipts.iter().flat_map(|receipt| match receipt {
        Receipt::Empty(files) => files.as_slice(),
        Receipt::Read(_) => &[],
    });
    for outcome in &mut outcomes {
        if let ObjectOutcome::Read { files, columns: None, .. } = outcome
            && let Some(written) = empty.next()
        {
            files.clone_from(written);
        }
    }
    match empty.next() {
        None => Ok(outcomes),
        Some(_) => Err(Error::new(ErrorKind::Bug, "an object has a file, and was not read")),
    }
}
