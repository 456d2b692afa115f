//! The tasks of an ingest of files, and their receipts: files and counts, never rows.

use std::sync::Arc;

use polars::prelude::Schema;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, fingerprint, schema_from_json, schema_to_json};
use tidemark_pipeline::DatasetName;

use super::listing::Object;
use super::object::{ObjectOutcome, PartialObject};

/// A group of objects of the source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Task {
    /// Objects to read, one after another.
    Read {
        objects: Vec<Object>,
        /// Version of the raw dataset whose columns are kept, if any.
        base: Option<i64>,
        arrived_in: i64,
    },
    /// Objects without columns and rows. Their empty files get the columns of the dataset before them.
    Empty { objects: Vec<Object>, columns: String, arrived_in: i64 },
}

/// The outcomes of the objects of a task, in order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Receipt {
    Read(Outcomes),
    /// The files of each object.
    Empty(Vec<Vec<DataFile>>),
}

/// The progress of a task at the deadline. Rows that are in no closed file are read again.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partial {
    /// Outcomes of the first objects of the task.
    pub done: Outcomes,
    /// Progress of the object after them.
    pub object: Option<PartialObject>,
}

/// Outcomes of objects that were read.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcomes {
    outcomes: Vec<Outcome>,
    /// The distinct schemas of the objects, as JSON.
    columns: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Outcome {
    Read {
        files: Vec<DataFile>,
        rows: u64,
        broken: u64,
        /// Index into [`Outcomes::columns`].
        columns: Option<usize>,
    },
    Changing,
}

impl Task {
    /// Two tasks have the same name only if they are of the same kind and have the same objects and columns.
    pub(crate) fn name(&self) -> String {
        let (what, objects, columns) = match self {
            Task::Read { objects, .. } => ("read", objects, ""),
            Task::Empty { objects, columns, .. } => ("empty", objects, columns.as_str()),
        };
        let objects: Vec<_> = objects.iter().map(|object| (&object.name, &object.version)).collect();
        format!("{what}-{}", &fingerprint(&format!("{objects:?} {columns}"))[..32])
    }
}

impl Partial {
    /// Whether a task of `objects` objects can be resumed from it.
    pub(crate) fn is_valid(&self, objects: usize) -> bool {
        let done = self.done.len();
        let is_valid = |partial: &PartialObject| {
            done < objects && !partial.files.is_empty() && partial.from.rows() <= partial.rows()
        };
        done <= objects && self.object.as_ref().is_none_or(is_valid)
    }
}

impl Outcomes {
    pub(crate) fn len(&self) -> usize {
        self.outcomes.len()
    }

    pub(crate) fn push(&mut self, dataset: &DatasetName, outcome: ObjectOutcome) -> Result<(), Error> {
        let outcome = match outcome {
            ObjectOutcome::Changing => Outcome::Changing,
            ObjectOutcome::Read { files, rows, broken, columns } => {
                let columns = columns.map(|columns| self.place(dataset, &columns)).transpose()?;
                Outcome::Read { files, rows, broken, columns }
            }
        };
        self.outcomes.push(outcome);
        Ok(())
    }

    fn place(&mut self, dataset: &DatasetName, columns: &Schema) -> Result<usize, Error> {
        let text = schema_to_json(dataset, columns)?;
        Ok(self.columns.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.columns.push(text);
            self.columns.len() - 1
        }))
    }

    /// The outcomes, in the order they were added.
    pub(crate) fn read(&self, dataset: &DatasetName) -> Result<Vec<ObjectOutcome>, Error> {
        let unreadable = || Error::new(ErrorKind::Bug, "the columns of a receipt cannot be read");
        let columns = self.columns.iter().map(|text| schema_from_json(dataset, text).map(Arc::new));
        let columns: Vec<Arc<Schema>> = columns.collect::<Option<_>>().ok_or_else(unreadable)?;
        let outcomes = self.outcomes.iter().map(|outcome| match outcome {
            Outcome::Changing => Ok(ObjectOutcome::Changing),
            Outcome::Read { files, rows, broken, columns: place } => {
                let columns = place.map(|place| columns.get(place).cloned().ok_or_else(unreadable)).transpose()?;
                Ok(ObjectOutcome::Read { files: files.clone(), rows: *rows, broken: *broken, columns })
            }
        });
        outcomes.collect()
    }
}
