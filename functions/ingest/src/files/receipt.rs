//! What an ingest puts down when its time is over, for another invocation to go on with: which objects are done, and how far the next one
//! is. Never rows: what is in no closed file is read again.

use std::sync::Arc;

use bytes::Bytes;
use polars::prelude::Schema;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{DataFile, schema_from_json, schema_to_json};
use tidemark_pipeline::DatasetName;

use super::listing::NewObject;
use super::object::{ObjectOutcome, PartialObject};
use super::position::Position;

/// How far a plan's objects have been read.
pub(crate) struct Receipt {
    /// Name and version of the plan's objects, in its order.
    objects: Vec<(String, String)>,
    /// Of the plan's objects, in its order, the first ones.
    pub outcomes: Vec<ObjectOutcome>,
    /// Of the one after them.
    pub partial: Option<PartialObject>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    objects: Vec<(String, String)>,
    outcomes: Vec<WrittenOutcome>,
    partial: Option<WrittenPartial>,
    /// The columns that objects have, each set once.
    columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrittenOutcome {
    Read {
        files: Vec<DataFile>,
        rows: u64,
        broken: u64,
        /// Place in `columns`.
        columns: Option<usize>,
    },
    Changing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPartial {
    files: Vec<DataFile>,
    from: Position,
}

impl Receipt {
    /// Of a plan of which nothing has been read.
    pub fn new(objects: &[NewObject]) -> Receipt {
        let objects = objects.iter().map(|new| (new.object.name.clone(), new.object.version.clone())).collect();
        Receipt { objects, outcomes: Vec::new(), partial: None }
    }

    pub fn to_bytes(&self, dataset: &DatasetName) -> Result<Bytes, Failure> {
        let mut columns = Vec::new();
        let mut place_of = |schema: &Schema| -> Result<usize, Failure> {
            let text = schema_to_json(dataset, schema)?;
            Ok(columns.iter().position(|known| *known == text).unwrap_or_else(|| {
                columns.push(text);
                columns.len() - 1
            }))
        };
        let mut outcomes = Vec::with_capacity(self.outcomes.len());
        for outcome in &self.outcomes {
            outcomes.push(match outcome {
                ObjectOutcome::Changing => WrittenOutcome::Changing,
                ObjectOutcome::Read { files, rows, broken, columns } => WrittenOutcome::Read {
                    files: files.clone(),
                    rows: *rows,
                    broken: *broken,
                    columns: columns.as_deref().map(&mut place_of).transpose()?,
                },
            });
        }
        let partial = self.partial.as_ref();
        let partial = partial.map(|PartialObject { files, from }| (files.clone(), from.clone()));
        let partial = partial.map(|(files, from)| WrittenPartial { files, from });
        serde_json::to_vec(&Written { objects: self.objects.clone(), outcomes, partial, columns })
            .map(Bytes::from)
            .map_err(|error| Failure::new(Kind::Bug, "the state of an ingest cannot be written").because(error))
    }

    /// What was put down. Of what is new it leaves the objects it is about; those that came since wait for the next plan. `None` for what
    /// does not make sense, or is about an object that is another now: then the work begins anew.
    pub fn from_bytes(bytes: &[u8], dataset: &DatasetName, news: &mut Vec<NewObject>) -> Option<Receipt> {
        let Written { objects, outcomes, partial, columns } = serde_json::from_slice(bytes).ok()?;
        let columns: Vec<Arc<Schema>> =
            columns.iter().map(|text| schema_from_json(dataset, text).map(Arc::new)).collect::<Option<_>>()?;
        let read = |outcome| match outcome {
            WrittenOutcome::Changing => Some(ObjectOutcome::Changing),
            WrittenOutcome::Read { files, rows, broken, columns: None } => {
                Some(ObjectOutcome::Read { files, rows, broken, columns: None })
            }
            WrittenOutcome::Read { files, rows, broken, columns: Some(place) } => {
                Some(ObjectOutcome::Read { files, rows, broken, columns: Some(columns.get(place)?.clone()) })
            }
        };
        let outcomes: Vec<ObjectOutcome> = outcomes.into_iter().map(read).collect::<Option<_>>()?;
        let partial = partial.map(|WrittenPartial { files, from }| PartialObject { files, from });
        let is_sound = outcomes.len() <= objects.len()
            && partial.as_ref().is_none_or(|partial| {
                outcomes.len() < objects.len() && !partial.files.is_empty() && partial.from.rows() <= partial.rows()
            });
        let place_of = |(name, version): &(String, String)| {
            news.iter().position(|new| new.object.name == *name && new.object.version == *version)
        };
        // both are sorted by name
        let found: Vec<usize> = objects.iter().map(place_of).collect::<Option<_>>().filter(|_| is_sound)?;
        let mut at = 0..;
        news.retain(|_| at.next().is_some_and(|at| found.contains(&at)));
        Some(Receipt { objects, outcomes, partial })
    }
}
