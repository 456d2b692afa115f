//! What all of step `model` knows: the definition, and what the partitions of the model and of its inputs are.

use std::collections::BTreeMap;

use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::Partition;
use tidemark_pipeline::{DatasetName, Graph, Model as Definition, ModelKind, PartitionPeriod, Partitioning, Pipeline};

/// Step `model <name>` of one pipeline.
pub struct Model<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) model: &'a Definition,
    /// Of the SQL and what else decides the result; another one means that everything must be computed again.
    pub(super) fingerprint: String,
    /// Of the model; `None` if it is not partitioned.
    pub(super) own: Option<&'a Partitioning>,
    /// Of those of its inputs that are partitioned.
    pub(super) inputs: BTreeMap<&'a DatasetName, &'a Partitioning>,
}

impl<'a> Model<'a> {
    pub fn new(graph: &'a Graph, pipeline: &'a Pipeline, model: &'a Definition, fingerprint: String) -> Model<'a> {
        let inputs = model.inputs.iter().filter_map(|input| Some((input, graph.partitioning(input)?))).collect();
        Model { pipeline, model, fingerprint, own: graph.partitioning(&model.name), inputs }
    }

    /// Days before a partition that decide it too.
    pub(super) fn lookback(&self) -> u32 {
        self.model.incremental.map_or(0, |incremental| incremental.lookback_days)
    }

    /// The period of a partition of an input.
    pub(super) fn period_of_input(&self, input: &DatasetName, partition: &Partition) -> Result<PartitionPeriod, Error> {
        self.dated(self.inputs.get(input).copied(), input, partition)
    }

    /// The period of a partition of the model.
    pub(super) fn period(&self, partition: &Partition) -> Result<PartitionPeriod, Error> {
        self.dated(self.own, &self.model.name, partition)
    }

    fn dated(
        &self,
        partitioning: Option<&Partitioning>,
        dataset: &DatasetName,
        partition: &Partition,
    ) -> Result<PartitionPeriod, Error> {
        let period = match (partitioning, partition.values()) {
            (Some(partitioning), [(_, value)]) => partitioning.period(value.as_deref()),
            _ => None,
        };
        // SQL computes partitions by their days, children by whatever their parents have
        let is_usable = |period: &PartitionPeriod| {
            !matches!((period, &self.model.kind), (PartitionPeriod::Value(_), ModelKind::Sql(_)))
        };
        period.filter(is_usable).ok_or_else(|| {
            let message = format!("{}: partition {partition} of dataset {dataset} is no date", self.what());
            Error::new(ErrorKind::Definition, message).hint("leave incremental out, or partition the input by a date")
        })
    }

    /// The model, for a message.
    pub(super) fn what(&self) -> String {
        match &self.model.kind {
            ModelKind::Sql(sql) => format!("model {} ({}:{})", self.model.name, sql.file, sql.line),
            ModelKind::Explode(_) => {
                format!("model {} ([contract.explode] of {})", self.model.name, self.pipeline.name)
            }
        }
    }
}
