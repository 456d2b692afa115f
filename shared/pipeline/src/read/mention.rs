//! Places in the files of a pipeline where datasets are defined or read.

use crate::diagnostic::Place;
use crate::name::DatasetName;

/// A dataset, and a place where it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub dataset: DatasetName,
    pub at: Place,
}

/// Collects the datasets that a pipeline produces and reads.
#[derive(Default)]
pub(super) struct Mentions {
    pub outputs: Vec<Mention>,
    pub inputs: Vec<Mention>,
}

impl Mentions {
    /// Adds a dataset that this pipeline produces. Duplicate names are found by the graph.
    pub fn add_output(&mut self, dataset: &DatasetName, at: Place) {
        self.outputs.push(Mention { dataset: dataset.clone(), at });
    }

    /// Adds a dataset that this pipeline reads.
    pub fn add_input(&mut self, dataset: &DatasetName, at: Place) {
        self.inputs.push(Mention { dataset: dataset.clone(), at });
    }
}
