//! The definition of step `model`, and the partitioning of the model and of its inputs.

use std::collections::BTreeMap;

use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::Partition;
use tidemark_pipeline::{DatasetName, Graph, Model as Definition, ModelKind, PartitionPeriod, Partitioning, Pipeline};

/// Step `model <name>` of one pipeline.
pub struct Model<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) model: &'a Definition,
    /// Fingerprint of the SQL and everything else that decides the result. If it differs, everything must be recomputed.
    pub(super) fingerprint: String,
    /// Partitioning of the model. None if it is not partitioned.
    pub(super) own: Option<&'a Partitioning>,
    /// Partitioning of those inputs that are partitioned.
    pub(super) inputs: BTreeMap<&'a DatasetName, &'a Partitioning>,
}

impl<'a> Model<'a> {
    pub fn new(graph: &'a Graph, pipeline: &'a Pipeline, model: &'a Definition, fingerprint: String) -> Model<'a> {
        let inputs = model.inputs.iter().filter_map(|input| Some((input, graph.partitioning(input)?))).collect();
        Model { pipeline, model, fingerprint, own: graph.partitioning(&model.name), inputs }
    }

    /// Number of days before a partition that it also depends on.
    pub(super) fn lookback(&self) -> u32 {
        self.model.incremental.map_or(0, |incremental| incremental.lookback_days)
    }

    /// The period of a partition of an input.
    pub(super) fn period_of_input(&self, input: &DatasetName, partition: &Partition) -> Result<PartitionPeriod, Error> {
        self.checked_period(self.inputs.get(input).copied(), input, partition)
    }

    /// The period of a partition of the model.
    pub(super) fn period(&self, partition: &Partition) -> Result<PartitionPeriod, Error> {
        self.checked_period(self.own, &self.model.name, partition)
    }

    fn checked_period(
        &self,
        partitioning: Option<&Partitioning>,
        dataset: &DatasetName,
        partition: &Partition,
    ) -> Result<PartitionPeriod, Error> {
        let period = match (partitioning, partition.values()) {
            (Some(partitioning), [(_, value)]) => partitioning.period(value.as_deref()),
            _ => None,
        };
        // SQL models are computed by date; exploded models take the partitions of their parents, whatever they are
        let is_usable = |period: &PartitionPeriod| {
            !matches!((period, &self.model.kind), (PartitionPeriod::Value(_), ModelKind::Sql(_)))
        };
        period.filter(is_usable).ok_or_else(|| {
            let message = format!("{}: partition {partition} of dataset {dataset} is not a date", self.label());
            Error::new(ErrorKind::Definition, message).hint("remove incremental, or partition the input by a date")
        })
    }

    /// Description of the model for messages.
    pub(super) fn label(&self) -> String {
        match &self.model.kind {
            ModelKind::Sql(sql) => format!("model {} ({}:{})", self.model.name, sql.file, sql.line),
            ModelKind::Explode(_) => {
                format!("model {} ([contract.explode] of {})", self.model.name, self.pipeline.name)
            }
        }
    }
}
