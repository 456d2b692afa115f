//! What of a source is new, and how reading it is cut into tasks. Pure.

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

/// Bytes, as stored, and objects that are read by one task: more only where one object has more. The same everywhere, so that tasks are
/// cut the same.
const TASK_BYTES: u64 = 8 << 20;
const TASK_OBJECTS: usize = 64;

/// What is new in the source.
pub(crate) struct Plan {
    pub standing: RawDataset,
    pub news: Vec<NewObject>,
    /// Everything is read again, so the columns of before do not bind.
    pub is_rebuild: bool,
    /// Files of objects that are no more, taken away only when everything is read again.
    pub gone: Vec<DataFile>,
    pub watermark: Option<Timestamp>,
    /// Of the listing.
    pub notes: Vec<String>,
}

impl Plan {
    /// The version of the raw dataset whose columns bind.
    pub(super) fn base(&self) -> Option<&Table> {
        self.standing.table.as_ref().filter(|_| !self.is_rebuild)
    }

    /// Columns that the dataset has before any object is read.
    pub(super) fn columns(&self) -> Schema {
        self.base().map_or_else(raw_dataset::schema, |table| table.schema().clone())
    }

    /// Reading all new objects.
    fn reads(&self) -> Vec<Task> {
        let (base, arrived_in) = (self.base().map(Table::version), self.standing.next_version());
        let mut groups: Vec<(u64, Vec<Object>)> = Vec::new();
        for NewObject { object, .. } in &self.news {
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

    /// The tasks of the next stage: all objects are read, then the files of those without columns are written, which have the columns of
    /// all objects before them.
    pub(super) fn tasks(&self, raw: &DatasetName, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        let reads = self.reads();
        if receipts.len() < reads.len() {
            return Ok(reads);
        }
        if receipts.len() > reads.len() {
            return Ok(Vec::new());
        }
        let widened = widened(&self.columns(), &self.news, &outcomes(raw, receipts)?)?;
        let mut tasks: Vec<Task> = Vec::new();
        for (place, columns) in widened.empty {
            let object = self.news[place].object.clone();
            let text = schema_to_json(raw, &columns)?;
            match tasks.last_mut() {
                Some(Task::Empty { objects, columns, .. }) if *columns == text && objects.len() < TASK_OBJECTS => {
                    objects.push(object);
                }
                _ => {
                    let arrived_in = self.standing.next_version();
                    tasks.push(Task::Empty { objects: vec![object], columns: text, arrived_in });
                }
            }
        }
        Ok(tasks)
    }
}

/// What has become of the objects of a plan, in their order.
pub(super) fn outcomes(raw: &DatasetName, receipts: &[Receipt]) -> Result<Vec<ObjectOutcome>, Error> {
    let mut outcomes = Vec::new();
    for receipt in receipts {
        if let Receipt::Read(read) = receipt {
            outcomes.extend(read.read(raw)?);
        }
    }
    // those without columns come in the order of the objects
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
