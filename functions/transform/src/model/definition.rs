//! What all of step `model` knows: the definition, and whose days its partitions are.

use tidemark_flow::{Failure, Kind};
use tidemark_lake::Partition;
use tidemark_pipeline::{DatasetName, Made, Model as Definition, Pipeline};

use crate::calendar::{Calendar, Day};

/// Step `model <name>` of one pipeline.
pub struct Model<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) model: &'a Definition,
    /// Of the SQL and what else decides the result; another one means that everything must be computed again.
    pub(super) fingerprint: String,
    pub(super) calendar: Calendar,
}

impl<'a> Model<'a> {
    pub fn new(pipeline: &'a Pipeline, model: &'a Definition, fingerprint: String) -> Model<'a> {
        let by = pipeline.contract.as_ref().and_then(|contract| contract.partition_by.as_ref());
        Model { pipeline, model, fingerprint, calendar: Calendar::of(by) }
    }

    /// Partitions before one that decide it too.
    pub(super) fn lookback(&self) -> u32 {
        self.model.incremental.map_or(0, |incremental| incremental.lookback_days)
    }

    /// What a partition of an input is to the model.
    pub(super) fn day(&self, input: &DatasetName, partition: &Partition) -> Result<Day, Failure> {
        let day = match partition.values() {
            [(_, value)] => self.day_of(value.as_deref()),
            _ => None,
        };
        day.ok_or_else(|| {
            let message = format!("{}: partition {partition} of dataset {input} is no date", self.what());
            Failure::new(Kind::Definition, message).hint("leave incremental out, or partition the input by a date")
        })
    }

    /// The partition of a value; `None` where the value is no date and has to be one.
    pub(super) fn day_of(&self, value: Option<&str>) -> Option<Day> {
        match (value, &self.model.made) {
            (None, _) => Some(Day::None),
            (Some(value), Made::Sql(_)) => value.parse().ok().map(Day::First),
            (Some(value), Made::Explode(_)) => Some(Day::Value(value.to_owned())),
        }
    }

    /// The model, for a message.
    pub(super) fn what(&self) -> String {
        match &self.model.made {
            Made::Sql(sql) => format!("model {} ({}:{})", self.model.name, sql.file, sql.line),
            Made::Explode(_) => format!("model {} ([contract.explode] of {})", self.model.name, self.pipeline.name),
        }
    }
}
