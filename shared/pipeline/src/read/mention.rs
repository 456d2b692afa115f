//! Where a pipeline's files name datasets: what it makes, and what it reads.

use crate::diagnostic::Place;
use crate::name::DatasetName;

/// A dataset named at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub dataset: DatasetName,
    pub at: Place,
}

/// Where datasets are named, gathered on the way.
#[derive(Default)]
pub(super) struct Mentions {
    pub makes: Vec<Mention>,
    pub reads: Vec<Mention>,
}

impl Mentions {
    /// Notes a dataset this pipeline makes; a second one of the name is a mistake that the graph finds.
    pub fn make(&mut self, dataset: &DatasetName, at: Place) {
        self.makes.push(Mention { dataset: dataset.clone(), at });
    }

    pub fn read(&mut self, dataset: &DatasetName, at: Place) {
        self.reads.push(Mention { dataset: dataset.clone(), at });
    }
}
