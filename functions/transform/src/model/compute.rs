//! Computes a model's rows of some of its partitions.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use polars::prelude::{Column, DataFrame, DataType, LazyFrame, PolarsError, TimeUnit, col};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_lake::{LakeError, Partition, Writer, schema_to_json};
use tidemark_pipeline::{Children, DatasetName, ModelKind, PartitionPeriod, Partitioning, When};
use tidemark_transform::{Exploder, bag, sql};

use super::definition::Model;
use super::receipts::{Receipt, Task};
use crate::errors::{contract_error, frame_error, polars_error, sql_error};
use crate::partition_value::text;
use crate::tables::Tables;

impl Model<'_> {
    /// Computes some partitions, and writes them.
    pub(super) fn compute(&self, context: &Context<'_>, tables: &Tables, task: &Task) -> Result<Receipt, Error> {
        let mut inputs = Vec::new();
        let mut read = 0;
        for input in &task.inputs {
            let bytes: u64 = input.files.iter().map(|file| file.bytes).sum();
            let table = tables.at(context.lake, &input.dataset, input.version)?;
            inputs.push((input.dataset.clone(), table.scan(context.lake, &input.files)?));
            read += bytes;
            context.progress.advance(bytes);
        }
        let rows = self.run_query(inputs)?;
        let schema = (**rows.schema()).clone();
        let mut receipt = Receipt {
            is_rebuild: task.is_rebuild,
            files: Vec::new(),
            rows: 0,
            read,
            schema: schema_to_json(&self.model.name, &schema)?,
        };
        for (partition, part) in self.split(rows, task)? {
            let mut writer = Writer::new(context.lake, &self.model.name, &schema, partition);
            receipt.rows += part.height() as u64;
            writer.write(&part)?;
            receipt.files.extend(writer.finish(false)?);
        }
        Ok(receipt)
    }

    /// Computes the result over some rows of the inputs, sorted by all columns.
    fn run_query(&self, tables: Vec<(DatasetName, LazyFrame)>) -> Result<DataFrame, Error> {
        let inputs = || self.model.inputs.iter().map(DatasetName::as_str).collect::<Vec<_>>().join(" or ");
        let failed = |error: PolarsError| match LakeError::from_query(&inputs(), error) {
            Ok(damage) => Error::from(damage),
            Err(error) => Error::new(ErrorKind::Definition, self.label()).hint("correct the SQL").because(error),
        };
        let rows = match &self.model.kind {
            ModelKind::Sql(text) => {
                let query = sql::query(&text.text, tables).map_err(|error| sql_error(&self.label(), error))?;
                storable(sql::stream(query).map_err(failed)?).map_err(failed)?
            }
            ModelKind::Explode(children) => self.explode(children, tables, failed)?,
        };
        bag::sort(&rows).map_err(frame_error)
    }

    fn explode(
        &self,
        children: &Children,
        tables: Vec<(DatasetName, LazyFrame)>,
        failed: impl Fn(PolarsError) -> Error,
    ) -> Result<DataFrame, Error> {
        let partition = self.model.partition_by.as_ref().map(|name| name.as_str());
        let exploder = Exploder::new(children, partition).map_err(contract_error)?;
        let Some((dataset, parents)) = tables.into_iter().next() else { return Ok(DataFrame::empty()) };
        let needs: Vec<_> = exploder.needs().into_iter().map(col).collect();
        let parents = sql::stream(parents.select(needs)).map_err(failed)?;
        // step clean quarantines such rows, but it may not have run yet since the contract changed
        exploder.explode(&parents).map_err(|error| {
            Error::new(
                ErrorKind::Retry,
                format!("{}: dataset {dataset} does not fit its current contract yet", self.label()),
            )
            .hint("run its step clean first")
            .because(error)
        })
    }

    /// Splits the result by partition, keeping only the partitions to be computed.
    fn split(&self, rows: DataFrame, task: &Task) -> Result<BTreeMap<Partition, DataFrame>, Error> {
        let (Some(column), Some(own)) = (&self.model.partition_by, self.own) else {
            let whole = (rows.height() > 0).then_some((Partition::default(), rows));
            return Ok(whole.into_iter().collect());
        };
        let column = column.as_str();
        let failed = |error| polars_error(self.label(), error);
        if rows.column(column).is_err() {
            let message = format!("{}: the SQL does not return column {column} of partition_by", self.label());
            return Err(Error::new(ErrorKind::Definition, message));
        }
        let window = task.periods.as_ref().map(|periods| self.window(own, periods));
        let mut parts = BTreeMap::new();
        for part in rows.partition_by_stable([column], true).map_err(failed)? {
            let value = part
                .column(column)
                .and_then(|values| values.get(0).map(|value| value.into_static()))
                .map_err(failed)?;
            let text = text(&value);
            let period = own.period(text.as_deref());
            // a day within a month is not the month
            let day: Option<Date> = text.as_deref().and_then(|text| text.parse().ok());
            let is_first = |period: &PartitionPeriod| period.first_day().is_none_or(|first| day == Some(first));
            if let Some(window) = &window
                && !period.as_ref().is_some_and(|period| window.contains(period) && is_first(period))
            {
                let text = text.as_deref().unwrap_or("NULL");
                let message = format!(
                    "{}: the result has {column} = {text}, which is not a partition of the inputs read",
                    self.label()
                );
                return Err(Error::new(ErrorKind::Definition, message).hint(
                    "an incremental model has the partitions of its inputs: set partition_by to their partition column, or remove \
                     incremental",
                ));
            }
            let is_due = match (&task.periods, &period) {
                (Some(periods), Some(period)) => periods.contains(period),
                (Some(_), None) => false,
                (None, _) if self.model.when == When::Changed => true,
                (None, None) => false,
                (None, Some(period)) => {
                    let watermarks = task.inputs.iter().map(|input| (&input.dataset, input.watermark));
                    self.is_complete(own, period, watermarks)
                }
            };
            if is_due {
                // an empty text is in the same partition as NULL
                match parts.entry(Partition::new([(column, text.as_deref())])) {
                    Entry::Vacant(entry) => {
                        entry.insert(part);
                    }
                    Entry::Occupied(mut entry) => {
                        entry.get_mut().vstack_mut(&part).map_err(failed)?;
                    }
                }
            }
        }
        Ok(parts)
    }

    /// The partitions of the model for which the query may return rows when `periods` are computed: all that read the same input
    /// partitions.
    fn window(&self, own: &Partitioning, periods: &BTreeSet<PartitionPeriod>) -> BTreeSet<PartitionPeriod> {
        let read = self.inputs.values().flat_map(|input| {
            periods.iter().flat_map(|period| input.read_by(period, self.lookback())).collect::<BTreeSet<_>>()
        });
        read.flat_map(|period| own.reading(&period, 0)).collect()
    }
}

/// Casts SQL result types to types a table can hold: counts to int64, other time precisions to microseconds UTC.
fn storable(rows: DataFrame) -> Result<DataFrame, PolarsError> {
    let columns = rows.columns().iter().map(|column| {
        let ty = match column.dtype() {
            DataType::UInt8 | DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::UInt64 | DataType::Int128 => DataType::Int64,
            DataType::Datetime(unit, zone) if *unit != TimeUnit::Microseconds || zone.is_none() => {
                let micros = column.cast(&DataType::Datetime(TimeUnit::Microseconds, zone.clone()))?;
                return match zone {
                    Some(_) => Ok(micros),
                    None => {
                        micros.cast(&DataType::Datetime(TimeUnit::Microseconds, Some(polars::prelude::TimeZone::UTC)))
                    }
                };
            }
            DataType::Duration(_) => DataType::Int64,
            DataType::Time | DataType::Null => DataType::String,
            _ => return Ok(column.clone()),
        };
        column.strict_cast(&ty)
    });
    let columns = columns.collect::<Result<Vec<Column>, PolarsError>>()?;
    DataFrame::new(rows.height(), columns)
}
