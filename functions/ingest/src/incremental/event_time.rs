//! The column of a record that says when it was last changed.

use jiff::Timestamp;
use polars::prelude::StringChunked;
use tidemark_flow::{Error, ErrorKind};
use tidemark_transform::Times;

use super::window::TimeBounds;

/// The event time column of the records, and the time bounds of the source.
pub(crate) struct EventTimeColumn<'a> {
    pub bounds: &'a dyn TimeBounds,
    pub times: Times,
    /// Microseconds per unit of the column: 1 for times, 1,000 or 1,000,000 for epoch numbers.
    pub unit: i64,
    pub now: Timestamp,
}

impl EventTimeColumn<'_> {
    /// The event time of each record, in microseconds since 1970. None for a record without a valid time.
    pub(crate) fn times(&self, records: &StringChunked) -> Result<Vec<Option<i64>>, Error> {
        let times = self
            .times
            .parse(records)
            .map_err(|error| Error::new(ErrorKind::Bug, "the times of the records cannot be read").because(error))?;
        Ok(times.into_iter().map(|time| time.and_then(|time| time.checked_mul(self.unit))).collect())
    }
}
