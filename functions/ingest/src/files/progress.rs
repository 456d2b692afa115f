//! What an ingest puts down when its time is over, for another invocation to go on with: which objects are done, and how far the next one
//! is. Never rows: what is in no closed file is read again.

use std::collections::VecDeque;

use bytes::Bytes;
use polars::prelude::Schema;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{DataFile, LakeError, schema_from_json, schema_to_json};
use tidemark_pipeline::DatasetName;

use crate::files::Position;
use crate::files::listing::Object;

/// An object that is new, and the files of its former version.
pub(crate) type New = (Object, Vec<DataFile>);

/// How far a plan's objects have been read.
pub(crate) struct Progress {
    /// Name and version of the plan's objects, in its order.
    objects: Vec<(String, String)>,
    /// Of the plan's objects, in its order, the first ones.
    pub finished: Vec<Finished>,
    /// Of the one after them.
    pub begun: Option<Begun>,
    /// Columns of the dataset, as far as the objects have told.
    pub schema: Schema,
}

/// What became of an object.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Finished {
    Whole {
        files: Vec<DataFile>,
        rows: u64,
        broken: u64,
    },
    /// It is another version now than it was when it was listed.
    Changing,
}

/// An object of which there are closed files, but not all.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    pub files: Vec<DataFile>,
    /// Where the frame begins that holds the first row which is in none of the files.
    pub from: Position,
}

impl Begun {
    /// Rows of the object that are in the files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

#[derive(Serialize)]
struct Written<'a> {
    objects: &'a [(String, String)],
    finished: &'a [Finished],
    begun: &'a Option<Begun>,
    schema: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    objects: Vec<(String, String)>,
    finished: Vec<Finished>,
    begun: Option<Begun>,
    schema: String,
}

impl Progress {
    pub fn none(news: &[New], schema: Schema) -> Progress {
        let objects = news.iter().map(|(object, _)| (object.name.clone(), object.version.clone())).collect();
        Progress { objects, finished: Vec::new(), begun: None, schema }
    }

    pub fn to_bytes(&self, dataset: &DatasetName) -> Result<Bytes, Failure> {
        let schema = schema_to_json(dataset, &self.schema).map_err(|error: LakeError| Failure::from(error))?;
        serde_json::to_vec(&Written { objects: &self.objects, finished: &self.finished, begun: &self.begun, schema })
            .map(Bytes::from)
            .map_err(|error| Failure::new(Kind::Bug, "the state of an ingest cannot be written").because(error))
    }

    /// What was put down. Of what is new it leaves the objects it is about; those that came since wait for the next plan. `None` for what
    /// does not make sense, or is about an object that is another now: then the work begins anew.
    pub fn from_bytes(bytes: &[u8], dataset: &DatasetName, news: &mut Vec<New>) -> Option<Progress> {
        let Found { objects, finished, begun, schema } = serde_json::from_slice(bytes).ok()?;
        let schema = schema_from_json(dataset, &schema)?;
        let is_sound = finished.len() <= objects.len()
            && begun.as_ref().is_none_or(|begun| {
                finished.len() < objects.len() && !begun.files.is_empty() && begun.from.rows() <= begun.rows()
            });
        let of = |(name, version): &(String, String)| {
            news.iter().position(|(object, _)| object.name == *name && object.version == *version)
        };
        // both are sorted by name
        let found: Vec<usize> = objects.iter().map(of).collect::<Option<_>>().filter(|_| is_sound)?;
        let mut at = 0..;
        news.retain(|_| at.next().is_some_and(|at| found.contains(&at)));
        Some(Progress { objects, finished, begun, schema })
    }
}

/// Where the frames begin whose rows are not all in closed files yet.
#[derive(Default)]
pub(crate) struct Marks(VecDeque<Position>);

impl Marks {
    /// A frame begins at `from`; `closed` rows of the object are in closed files.
    pub fn pass(&mut self, from: Position, closed: u64) {
        self.0.push_back(from);
        while self.0.get(1).is_some_and(|next| next.rows() <= closed) {
            self.0.pop_front();
        }
    }

    /// Where to go on behind the files.
    pub fn begun(mut self, files: Vec<DataFile>) -> Option<Begun> {
        let from = self.0.pop_front()?;
        (!files.is_empty()).then_some(Begun { files, from })
    }
}
