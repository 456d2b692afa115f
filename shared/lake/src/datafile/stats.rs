//! Statistics of a data file, as the Delta log keeps them: row count, null counts, minimum and maximum values.

use std::sync::Arc;

use delta_kernel::KernelResult;
use delta_kernel::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray, StructArray, TimestampMicrosecondArray,
};
use delta_kernel::arrow::datatypes::{Field, Fields};
use polars::prelude::{AnyValue, DataFrame, DataType, PolarsResult, Schema, SchemaExt as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemark_pipeline::raw;

use crate::partition::Partition;
use crate::schema::encode_column;

/// Columns for which minimum and maximum are useless, because they hold whole records as text.
const TEXTS: [&str; 2] = [raw::TEXT, raw::FAULT];
/// Characters kept of a text minimum, which may be a prefix. A longer text maximum is left out, because a prefix is no upper bound.
const PREFIX: usize = 32;

/// Collects the statistics of a file while it is being written.
#[derive(Debug)]
pub(crate) struct StatsCollector(Vec<ColumnCollector>);

#[derive(Debug)]
struct ColumnCollector {
    name: String,
    ty: DataType,
    ordered: bool,
    nulls: u64,
    range: Option<(AnyValue<'static>, AnyValue<'static>)>,
}

/// Statistics of a finished file. Serializing and reading them back does not change what is written to the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileStats(Vec<ColumnStats>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnStats {
    name: String,
    nulls: u64,
    min: Option<Bound>,
    max: Option<Bound>,
}

/// A minimum or maximum value, for the types that have one. Floats are stored as bits, since decimal text may not round-trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    Byte(i8),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(u32),
    Double(u64),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Timestamp(i64),
    /// Unscaled value, precision and scale.
    Decimal(#[serde(serialize_with = "to_text", deserialize_with = "from_text")] i128, u8, i8),
    Text(String),
}

/// A receipt is built as a JSON value, which holds no number beyond 64 bits.
fn to_text<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

impl StatsCollector {
    /// Collector for all columns except the partition columns, whose values Delta keeps in the `add` action.
    pub(crate) fn new(schema: &Schema, partition: &Partition) -> StatsCollector {
        let is_partition = |name: &str| partition.values().iter().any(|(column, _)| encode_column(column) == name);
        let column = |field: polars::prelude::Field| ColumnCollector {
            ordered: !matches!(field.dtype(), DataType::Boolean | DataType::Binary)
                && !TEXTS.contains(&field.name().as_str()),
            name: field.name().to_string(),
            ty: field.dtype().clone(),
            nulls: 0,
            range: None,
        };
        StatsCollector(schema.iter_fields().filter(|field| !is_partition(field.name())).map(column).collect())
    }

    /// Adds one row group, which has the columns of the schema.
    pub(crate) fn add(&mut self, group: &DataFrame) -> PolarsResult<()> {
        for stats in &mut self.0 {
            let column = group.column(&stats.name)?;
            stats.nulls += column.null_count() as u64;
            if !stats.ordered || column.null_count() == column.len() {
                continue;
            }
            let (low, high) = (column.min_reduce()?.into_value(), column.max_reduce()?.into_value());
            if low.is_nan() || high.is_nan() || low.is_null() || high.is_null() {
                stats.ordered = false;
                continue;
            }
            stats.range = Some(match stats.range.take() {
                None => (low, high),
                Some((min, max)) => (if low < min { low } else { min }, if high > max { high } else { max }),
            });
        }
        Ok(())
    }

    /// Returns the statistics once all rows were added.
    pub(crate) fn close(self) -> FileStats {
        let column = |column: ColumnCollector| {
            let range = column.range.filter(|_| column.ordered);
            let bound = |value: &AnyValue<'static>, is_max| Bound::from_value(value, &column.ty, is_max);
            let (min, max) = match &range {
                Some((min, max)) => (bound(min, false), bound(max, true)),
                None => (None, None),
            };
            ColumnStats { name: column.name, nulls: column.nulls, min, max }
        };
        FileStats(self.0.into_iter().map(column).collect())
    }
}

impl FileStats {
    /// A one-row struct of `numRecords`, `nullCount`, `minValues`, `maxValues`, `tightBounds`, with one row.
    pub(crate) fn to_arrow(&self, rows: u64) -> KernelResult<ArrayRef> {
        let long = |value: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![value.cast_signed()])) };
        let mut fields = vec![("numRecords", long(rows))];
        let nulls = self.0.iter().map(|column| (column.name.as_str(), long(column.nulls))).collect();
        fields.extend(record(nulls).map(|nulls| ("nullCount", nulls)));
        for (name, of) in [("minValues", min as fn(&ColumnStats) -> &Option<Bound>), ("maxValues", max)] {
            let mut bounds = Vec::new();
            for column in &self.0 {
                if let Some(bound) = of(column) {
                    bounds.push((column.name.as_str(), bound.to_arrow()?));
                }
            }
            fields.extend(record(bounds).map(|values| (name, values)));
        }
        let tight: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        fields.push(("tightBounds", tight));
        record(fields).ok_or_else(|| delta_kernel::KernelError::generic("statistics without fields"))
    }
}

fn min(column: &ColumnStats) -> &Option<Bound> {
    &column.min
}

fn max(column: &ColumnStats) -> &Option<Bound> {
    &column.max
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

impl Bound {
    /// Returns None if the value cannot serve as a bound.
    fn from_value(value: &AnyValue<'_>, ty: &DataType, is_max: bool) -> Option<Bound> {
        Some(match (value, ty) {
            (AnyValue::Int8(v), _) => Bound::Byte(*v),
            (AnyValue::Int16(v), _) => Bound::Short(*v),
            (AnyValue::Int32(v), _) => Bound::Integer(*v),
            (AnyValue::Int64(v), _) => Bound::Long(*v),
            (AnyValue::Float32(v), _) if v.is_finite() => Bound::Float(v.to_bits()),
            (AnyValue::Float64(v), _) if v.is_finite() => Bound::Double(v.to_bits()),
            (AnyValue::Date(v), _) => Bound::Date(*v),
            (AnyValue::Datetime(v, ..) | AnyValue::DatetimeOwned(v, ..), _) => Bound::Timestamp(*v),
            (AnyValue::Decimal(v, ..), DataType::Decimal(precision, scale)) => {
                Bound::Decimal(*v, u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
            }
            (AnyValue::String(_) | AnyValue::StringOwned(_), _) => {
                let text = value.get_str()?;
                match text.char_indices().nth(PREFIX) {
                    None => Bound::Text(text.to_owned()),
                    Some(_) if is_max => return None,
                    Some((end, _)) => Bound::Text(text[..end].to_owned()),
                }
            }
            _ => return None,
        })
    }

    /// The value as an array of length one.
    fn to_arrow(&self) -> KernelResult<ArrayRef> {
        Ok(match self {
            Bound::Byte(v) => Arc::new(Int8Array::from(vec![*v])),
            Bound::Short(v) => Arc::new(Int16Array::from(vec![*v])),
            Bound::Integer(v) => Arc::new(Int32Array::from(vec![*v])),
            Bound::Long(v) => Arc::new(Int64Array::from(vec![*v])),
            Bound::Float(bits) => Arc::new(Float32Array::from(vec![f32::from_bits(*bits)])),
            Bound::Double(bits) => Arc::new(Float64Array::from(vec![f64::from_bits(*bits)])),
            Bound::Date(v) => Arc::new(Date32Array::from(vec![*v])),
            Bound::Timestamp(v) => Arc::new(TimestampMicrosecondArray::from(vec![*v]).with_timezone("UTC")),
            Bound::Decimal(v, precision, scale) => {
                Arc::new(Decimal128Array::from(vec![*v]).with_precision_and_scale(*precision, *scale)?)
            }
            Bound::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        })
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::*;

    /// Statistics that were serialized and read back give the same log entry, bit for bit.
    #[test]
    fn statistics_survive_serialization() {
        let cast = |name: &str, ty: DataType| Column::new(name.into(), [1i64, -3, 2]).cast(&ty).unwrap();
        let rows = DataFrame::new(
            3,
            vec![
                cast("i8", DataType::Int8),
                cast("i16", DataType::Int16),
                cast("i32", DataType::Int32),
                Column::new("i64".into(), [Some(i64::MIN), None, Some(i64::MAX)]),
                Column::new("f32".into(), [0.1f32, -0.0, 1e-45]),
                Column::new("f64".into(), [0.1 + 0.2, f64::MIN_POSITIVE / 3.0, -1e300]),
                Column::new("nan".into(), [0.1, f64::NAN, 0.3]),
                cast("date", DataType::Date),
                cast("at", DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
                cast("decimal", DataType::Decimal(38, 4)),
                cast("large", DataType::Decimal(38, 30)),
                Column::new("bool".into(), [true, false, true]),
                Column::new("text".into(), ["é \"quoted\" \n", "x", &"y".repeat(50)]),
                Column::full_null("null".into(), 3, &DataType::String),
            ],
        )
        .unwrap();
        let mut stats = StatsCollector::new(rows.schema(), &Partition::default());
        stats.add(&rows).unwrap();
        let stats = stats.close();
        // A receipt is converted to a `Value` first.
        let text = serde_json::to_value(&stats).unwrap().to_string();
        let again: FileStats = serde_json::from_value(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(stats, again);
        assert_eq!(&stats.to_arrow(3).unwrap(), &again.to_arrow(3).unwrap());
        let with_bounds = stats.0.iter().filter(|column| column.min.is_some()).count();
        assert_eq!(with_bounds, 12, "{text}");
    }
}
