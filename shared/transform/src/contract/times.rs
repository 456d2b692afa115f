//! Reads one time column from JSON records in the same way as the contract.

use polars::prelude::*;
use tidemark_pipeline::definition;

use super::cast::Cast;
use super::fault::Faults;
use super::json::Layout;
use crate::error::ContractError;

/// Reads the column that says when a record was changed.
#[derive(Debug)]
pub struct Times {
    cast: Cast,
    layout: Layout,
}

impl Times {
    /// A column of type date, datetime or int64.
    ///
    /// # Errors
    /// As [`super::Cleaner::new`].
    pub fn new(column: &definition::Column) -> Result<Times, ContractError> {
        let from = column.from.as_deref().unwrap_or(column.name.as_str());
        Ok(Times { cast: Cast::new(column)?, layout: Layout::new(std::iter::once(from)) })
    }

    /// One value per record: microseconds since 1970 in UTC, or the number itself. None if a record has no readable value.
    pub fn parse(&self, records: &StringChunked) -> PolarsResult<Vec<Option<i64>>> {
        let mut faults = Faults::new(records.len());
        let (columns, _) = self.layout.columns(&[("time", &self.cast)], records, &mut faults);
        let Some(series) = columns.first() else { return Ok(vec![None; records.len()]) };
        let scale = if *series.dtype() == DataType::Date { 86_400_000_000 } else { 1 };
        let numbers = series.to_physical_repr().cast(&DataType::Int64)?;
        Ok(numbers.i64()?.iter().map(|number| number.and_then(|number| number.checked_mul(scale))).collect())
    }
}
