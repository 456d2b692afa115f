//! Statistics of a data file, as the Delta log keeps them: rows, nulls, least and greatest values.

use std::sync::Arc;

use delta_kernel::KernelResult;
use delta_kernel::arrow::array::{ArrayRef, BooleanArray, Int64Array, StructArray};
use delta_kernel::arrow::datatypes::{Field, Fields};
use polars::prelude::{AnyValue, DataFrame, DataType, PolarsResult, Schema, SchemaExt as _};
use serde::{Deserialize, Serialize};

use crate::datafile::Partition;
use crate::datafile::bound::Bound;
use crate::schema::encode_column;

/// Columns whose least and greatest texts tell nothing: whole records.
const TEXTS: [&str; 2] = ["_text", "_fault"];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileStats(Vec<ColumnStats>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnStats {
    name: String,
    ordered: bool,
    nulls: u64,
    range: Option<(Bound, Bound)>,
}

impl FileStats {
    /// Of all columns but those of the partition, which Delta keeps elsewhere.
    pub(crate) fn new(schema: &Schema, partition: &Partition) -> FileStats {
        let is_partition = |name: &str| partition.values().iter().any(|(column, _)| encode_column(column) == name);
        let column = |field: polars::prelude::Field| ColumnStats {
            ordered: !matches!(field.dtype(), DataType::Boolean | DataType::Binary)
                && !TEXTS.contains(&field.name().as_str()),
            name: field.name().to_string(),
            nulls: 0,
            range: None,
        };
        FileStats(schema.iter_fields().filter(|field| !is_partition(field.name())).map(column).collect())
    }

    /// Takes in one row group, which has the columns of the schema.
    pub(crate) fn add(&mut self, group: &DataFrame) -> PolarsResult<()> {
        for stats in &mut self.0 {
            let column = group.column(&stats.name)?;
            stats.nulls += column.null_count() as u64;
            if !stats.ordered || column.null_count() == column.len() {
                continue;
            }
            let (low, high) = (column.min_reduce()?.into_value(), column.max_reduce()?.into_value());
            let bound = |value: &AnyValue<'_>| match value.is_nan() {
                true => None,
                false => Bound::of(value, column.dtype()),
            };
            let (Some(low), Some(high)) = (bound(&low), bound(&high)) else {
                stats.ordered = false;
                continue;
            };
            stats.range = Some(match stats.range.take() {
                None => (low, high),
                Some((min, max)) => (if low < min { low } else { min }, if high > max { high } else { max }),
            });
        }
        Ok(())
    }

    /// A struct of `numRecords`, `nullCount`, `minValues`, `maxValues`, `tightBounds`, with one row.
    pub(crate) fn to_arrow(&self, rows: u64) -> KernelResult<ArrayRef> {
        let long = |value: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![value.cast_signed()])) };
        let nulls = self.0.iter().map(|column| (column.name.as_str(), long(column.nulls)));
        let bounds = |is_max: bool| {
            let known = self.0.iter().filter(|column| column.ordered);
            let bounds = known.filter_map(move |column| {
                let (min, max) = column.range.as_ref()?;
                let bound = if is_max { max.greatest()? } else { min.least()? };
                Some((column.name.as_str(), bound))
            });
            bounds.collect::<Vec<_>>()
        };
        let mut fields = vec![("numRecords", long(rows))];
        fields.extend(record(nulls.collect()).map(|nulls| ("nullCount", nulls)));
        fields.extend(record(bounds(false)).map(|values| ("minValues", values)));
        fields.extend(record(bounds(true)).map(|values| ("maxValues", values)));
        let tight: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        fields.push(("tightBounds", tight));
        record(fields).ok_or_else(|| delta_kernel::KernelError::generic("statistics without fields"))
    }
}

fn record(columns: Vec<(&str, ArrayRef)>) -> Option<ArrayRef> {
    if columns.is_empty() {
        return None;
    }
    let fields: Fields =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    let values = columns.into_iter().map(|(_, values)| values).collect();
    Some(Arc::new(StructArray::new(fields, values, None)))
}
