//! Which keys have versions in more than one partition: found from their narrow columns alone, bucket by bucket.

use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Context, Failure};
use tidemark_lake::{DataFile, Lake, Table, Work};
use tidemark_pipeline::{ColumnName, Contract};
use tidemark_transform::merge::bucket;
use tidemark_transform::order::strays;

use crate::pass::Position;
use crate::room::Room;
use crate::spread::{Laid, Spread};
use crate::{frame_failure, polars_failure};

/// The columns that decide where a row of a keyed dataset lies, of the rows that stand and then of those that come, in the order of
/// their arrival.
pub(crate) struct Narrow<'a> {
    key: &'a [ColumnName],
    latest_by: Option<&'a ColumnName>,
    partition: &'a ColumnName,
    names: Vec<&'a str>,
    buckets: usize,
    rows: Spread<'a, usize>,
}

/// What is kept of it for the next invocation: the buckets too, since that one may have other memory.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaidNarrow {
    buckets: usize,
    pub rows: Laid<usize>,
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
    pub(crate) fn new(contract: &'a Contract, rows: u64, memory: usize, room: Room<'a>) -> Option<Narrow<'a>> {
        // a narrow row is some 64 bytes, and a bucket is sorted and joined with itself
        let buckets =
            (usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(64 * 6)).div_ceil(memory.max(1)).max(1);
        Narrow::of(contract, buckets, Spread::new(room, memory / 8))
    }

    fn of(contract: &'a Contract, buckets: usize, rows: Spread<'a, usize>) -> Option<Narrow<'a>> {
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
        let latest_by = contract.latest_by.as_ref();
        Some(Narrow { key: &contract.key, latest_by, partition: &by.name, names, buckets, rows })
    }

    pub(crate) fn lay(&mut self) -> Result<LaidNarrow, Failure> {
        Ok(LaidNarrow { buckets: self.buckets, rows: self.rows.lay()? })
    }

    /// What was laid by an earlier invocation; `None` if it cannot be.
    pub(crate) fn taken_up(
        laid: LaidNarrow,
        contract: &'a Contract,
        lake: &'a Lake,
        work: &'a Work,
        memory: usize,
    ) -> Option<Narrow<'a>> {
        Narrow::of(contract, laid.buckets, Spread::taken_up(laid.rows, lake, work, memory / 8)?)
    }

    pub(crate) fn buckets(&self) -> usize {
        self.buckets
    }

    /// Takes in the rows that stand; before any that come. Gives how far it came before it was late.
    pub(crate) fn stand(
        &mut self,
        context: &Context<'_>,
        table: &Table,
        files: &[DataFile],
        from: Position,
    ) -> Result<Position, Failure> {
        for (nth, file) in files.iter().enumerate().skip(from.files) {
            let batches = table.batches(context.lake, file)?;
            let count = batches.len();
            let done = if nth == from.files { from.batches } else { 0 };
            for (batch, rows) in (done..).zip(batches.skip(done)) {
                self.push(&rows?, false)?;
                if context.is_late() {
                    return Ok(Position::after(nth, batch, count));
                }
            }
        }
        Ok(Position { files: files.len(), batches: 0 })
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
            self.rows.push(nth, part)?;
        }
        Ok(())
    }

    /// The keys of one bucket with versions in more than one partition; the bucket is empty then.
    pub(crate) fn strays(&mut self, bucket: usize) -> Result<Option<Strays>, Failure> {
        let Some(rows) = self.rows.take(&bucket).whole()? else { return Ok(None) };
        let rows = strays(rows, self.key, self.latest_by, self.partition).map_err(frame_failure)?;
        let sum = |name: &str| {
            let sum = rows.column(name).and_then(|column| Ok(column.i64()?.iter().flatten().sum::<i64>()));
            sum.map(i64::unsigned_abs).map_err(|error| polars_failure("strays cannot be counted", error))
        };
        Ok(Some(Strays { stood: sum(STOOD)?, came: sum(CAME)?, rows }))
    }
}
