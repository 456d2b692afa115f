//! The new objects of a source, and how reading them is divided into tasks. Pure.

use jiff::Timestamp;
use polars::prelude::Schema;
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Table, fingerprint, schema_to_json};
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
/// A task also ends after about one object in this many, chosen by its name. So an object that appears or disappears between two
/// invocations changes only the tasks near it, and the receipts of all others are found again.
const BOUNDARY_ONE_IN: u8 = 32;

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
        let groups = groups(self.new_objects.iter().map(|new| &new.object));
        groups.into_iter().map(|objects| Task::Read { objects, base, arrived_in }).collect()
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

/// Objects in their order, divided into those of one task each.
fn groups<'o>(objects: impl Iterator<Item = &'o Object>) -> Vec<Vec<Object>> {
    let mut groups: Vec<Vec<Object>> = Vec::new();
    let (mut bytes, mut is_open) = (0, false);
    for object in objects {
        match groups.last_mut() {
            Some(group) if is_open && bytes + object.bytes <= TASK_BYTES && group.len() < TASK_OBJECTS => {
                bytes += object.bytes;
                group.push(object.clone());
            }
            _ => {
                bytes = object.bytes;
                groups.push(vec![object.clone()]);
            }
        }
        is_open = !ends_task(&object.name);
    }
    groups
}

/// Whether a task ends after the object with this name.
fn ends_task(name: &str) -> bool {
    let last = fingerprint(name);
    let last = last.get(last.len().saturating_sub(2)..).unwrap_or_default();
    u8::from_str_radix(last, 16).is_ok_and(|byte| byte % BOUNDARY_ONE_IN == 0)
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

#[cfg(test)]
mod tests {
    use tidemark_pipeline::Format;

    use super::*;

    fn object(number: usize, bytes: u64) -> Object {
        let name = format!("in/{number:06}.csv");
        Object { path: name.as_str().into(), name, bytes, version: number.to_string(), format: Format::Csv }
    }

    fn divided(objects: &[Object]) -> Vec<Vec<String>> {
        let groups = groups(objects.iter());
        groups.into_iter().map(|group| group.into_iter().map(|object| object.name).collect()).collect()
    }

    #[test]
    fn a_removed_object_changes_few_tasks() {
        for bytes in [1_000, 400_000] {
            let objects: Vec<Object> = (0..4_000).map(|number| object(number, bytes)).collect();
            let before = divided(&objects);
            assert!((60..2_000).contains(&before.len()), "{}", before.len());
            for at in [0, 1, 777, 2_000, 3_999] {
                let mut others = objects.clone();
                others.remove(at);
                let after = divided(&others);
                let changed = after.iter().filter(|group| !before.contains(group)).count();
                assert!(changed <= 16, "{bytes} {at}: {changed} of {}", after.len());
            }
        }
    }

    #[test]
    fn a_task_is_bounded() {
        let objects: Vec<Object> = (0..500).map(|number| object(number, (number as u64 % 7) << 20)).collect();
        let groups = groups(objects.iter());
        assert_eq!(groups.iter().flatten().count(), objects.len());
        for group in &groups {
            let bytes: u64 = group.iter().map(|object| object.bytes).sum();
            assert!(group.len() == 1 || bytes <= TASK_BYTES && group.len() <= TASK_OBJECTS);
        }
    }
}
