//! The partition a clean row belongs to.

use polars::prelude::*;
use tidemark_pipeline::definition::{Every, PartitionBy};

use super::cast::Calendar;
use crate::error::ContractError;

#[derive(Debug)]
pub(super) struct Partition {
    column: String,
    name: String,
    every: Option<Every>,
    zone: Calendar,
}

impl Partition {
    pub(super) fn new(by: &PartitionBy, schema: &Schema) -> Result<Partition, ContractError> {
        let column = by.column.to_string();
        let Some(dtype) = schema.get(&column) else { return Err(ContractError::Partition(column)) };
        let wrong = |rule, problem: String, value: &str| ContractError::Rule {
            column: column.clone(),
            rule,
            problem,
            value: value.to_owned(),
        };
        if by.every.is_some() && !matches!(dtype, DataType::Date | DataType::Datetime(..)) {
            return Err(wrong("partition_by.every", "is for a date or datetime".to_owned(), &dtype.to_string()));
        }
        let name = by.name.to_string();
        if by.every.is_some() && schema.contains(&name) {
            return Err(wrong("partition_by.as", "is a column already".to_owned(), &name));
        }
        let zone = Calendar::new(by.timezone.as_deref()).map_err(|error| {
            let name = by.timezone.as_deref().unwrap_or_default();
            wrong("partition_by.timezone", format!("is not known ({error})"), name)
        })?;
        Ok(Partition { name, column, every: by.every, zone })
    }

    /// The name of the column that `every` adds.
    pub(super) fn own_column(&self) -> Option<&str> {
        self.every.map(|_| self.name.as_str())
    }

    /// The days of typed rows, in the partition's time zone; None if the partition column is not a date.
    pub(super) fn days(&self, typed: &DataFrame) -> PolarsResult<Option<Series>> {
        let column = typed.column(&self.column)?.as_materialized_series();
        Ok(match column.dtype() {
            DataType::Date => Some(column.clone()),
            DataType::Datetime(..) if self.every.is_some() => {
                let mut zone = self.zone.clone();
                let instants = column.to_physical_repr();
                let days: Int32Chunked =
                    instants.i64()?.iter().map(|instant| instant.map(|instant| zone.day(instant))).collect();
                Some(days.into_date().into_series())
            }
            _ => None,
        })
    }

    /// The partitions that days are in.
    pub(super) fn for_days(&self, days: &Series) -> PolarsResult<Series> {
        if self.every != Some(Every::Month) {
            return Ok(days.clone());
        }
        let day_of_month = days.date()?.day();
        let physical = days.to_physical_repr();
        let firsts: Int32Chunked = physical
            .i32()?
            .iter()
            .zip(day_of_month.iter())
            .map(|(day, of_month)| Some(day? - i32::from(of_month?) + 1))
            .collect();
        Ok(firsts.into_date().into_series())
    }
}
