//! Which keys have versions in more than one partition: found from their narrow columns alone, bucket by bucket.

use polars::prelude::{Column, DataFrame, DataType, Field, Schema};
use tidemark_flow::{Failure, Ports};
use tidemark_lake::{DataFile, Table};
use tidemark_pipeline::{ColumnName, Contract};
use tidemark_transform::merge::bucket;
use tidemark_transform::order::strays;

use crate::spread::{Spread, concat};
use crate::{frame_failure, polars_failure};

/// The columns that decide where a row of a keyed dataset lies, of the rows that stand and then of those that come, in the order of
/// their arrival.
pub(crate) struct Narrow<'a> {
    ports: &'a Ports<'a>,
    key: &'a [ColumnName],
    latest_by: Option<&'a ColumnName>,
    partition: &'a ColumnName,
    names: Vec<&'a str>,
    buckets: usize,
    rows: Spread<usize>,
}

/// Keys and the partitions they have to leave.
pub(crate) struct Strays {
    pub rows: DataFrame,
    /// Standing rows that go.
    pub stood: u64,
    /// Incoming rows that a newer one in another partition supersedes.
    pub came: u64,
}

const CAME: &str = "_came";
const STOOD: &str = "_stood";

impl<'a> Narrow<'a> {
    /// `None` for a dataset in which a key cannot be in two partitions. `rows`: how many there will be.
    pub(crate) fn new(ports: &'a Ports<'a>, contract: &'a Contract, rows: u64) -> Option<Narrow<'a>> {
        let by = contract.partition_by.as_ref()?;
        // a key that decides the partition cannot move
        if contract.key.is_empty() || contract.key.contains(&by.column) {
            return None;
        }
        let mut names: Vec<&str> = Vec::new();
        for name in contract.key.iter().chain(&contract.latest_by).chain([&by.name]) {
            if !names.contains(&name.as_str()) {
                names.push(name.as_str());
            }
        }
        let memory = usize::try_from(ports.memory).unwrap_or(usize::MAX);
        // a narrow row is some 64 bytes, and a bucket is sorted and joined with itself
        let buckets =
            (usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(64 * 6)).div_ceil(memory.max(1)).max(1);
        Some(Narrow {
            ports,
            key: &contract.key,
            latest_by: contract.latest_by.as_ref(),
            partition: &by.name,
            names,
            buckets,
            rows: Spread::new(memory / 8),
        })
    }

    /// Takes in the rows that stand; before any that come.
    pub(crate) fn stand(&mut self, table: &Table, files: &[DataFile]) -> Result<(), Failure> {
        for file in files {
            for batch in table.batches(self.ports.lake, file)? {
                self.push(&batch?, false)?;
            }
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, rows: &DataFrame, came: bool) -> Result<(), Failure> {
        let failed = |error| polars_failure("rows cannot be narrowed", error);
        let mut rows = rows.select(self.names.iter().copied()).map_err(failed)?;
        rows.with_column(Column::new_scalar(CAME.into(), came.into(), rows.height())).map_err(failed)?;
        let parts = match self.buckets {
            1 => vec![rows],
            buckets => bucket(&rows, self.key, buckets).map_err(frame_failure)?,
        };
        for (nth, part) in parts.into_iter().enumerate().filter(|(_, part)| part.height() > 0) {
            self.rows.push(nth, part, &self.ports.scratch)?;
        }
        Ok(())
    }

    /// The keys with versions in more than one partition.
    pub(crate) fn strays(mut self) -> Result<Strays, Failure> {
        let mut found = Vec::new();
        for nth in 0..self.buckets {
            if let Some(rows) = self.rows.take(&nth).whole()? {
                found.push(strays(rows, self.key, self.latest_by, self.partition).map_err(frame_failure)?);
            }
        }
        if found.is_empty() {
            let none =
                [STOOD, CAME].map(|name| Field::new(name.into(), DataType::Int64)).into_iter().collect::<Schema>();
            return Ok(Strays { rows: DataFrame::empty_with_schema(&none), stood: 0, came: 0 });
        }
        let rows = concat(found)?;
        let sum = |name: &str| {
            let sum = rows.column(name).and_then(|column| Ok(column.i64()?.iter().flatten().sum::<i64>()));
            sum.map(i64::unsigned_abs).map_err(|error| polars_failure("strays cannot be counted", error))
        };
        Ok(Strays { stood: sum(STOOD)?, came: sum(CAME)?, rows })
    }
}
