//! The column of a record that says when it was last changed.

use jiff::Timestamp;
use polars::prelude::StringChunked;
use tidemark_flow::{Error, ErrorKind};
use tidemark_transform::Times;

use super::window::TimeBounds;

/// The time column of the records, and how the source is asked by it.
pub(crate) struct EventTimeColumn<'a> {
    pub bounds: &'a dyn TimeBounds,
    pub times: Times,
    /// What one is, in the column's numbers: microseconds.
    pub unit: i64,
    pub now: Timestamp,
}

impl EventTimeColumn<'_> {
    /// When each record was changed, in microseconds since 1970; `None` where it has no time that can be read.
    pub(crate) fn times(&self, records: &StringChunked) -> Result<Vec<Option<i64>>, Error> {
        let times = self.times.parse(records).map_err(|error| {
            Error::new(ErrorKind::Bug, "the records make no table by which to read their times").because(error)
        })?;
        Ok(times.into_iter().map(|time| time.and_then(|time| time.checked_mul(self.unit))).collect())
    }
}
