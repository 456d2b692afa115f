//! The raw dataset of a pipeline, whatever its source: its schema, current state and watermark.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use polars::prelude::{DataType, Field, Schema};
use tidemark_flow::{Context, Error, ErrorKind, Trigger};
use tidemark_lake::{DataFile, Meta, Partition, Table};
use tidemark_pipeline::raw::{ARRIVED_IN, FAULT, OBJECT, PARTITION_BY, ROW, TEXT, VERSION};
use tidemark_pipeline::{ColumnName, DatasetName, Pipeline};

/// The current state of the raw dataset.
pub(crate) struct RawDataset {
    /// None before the first commit.
    pub table: Option<Table>,
    pub files: Vec<DataFile>,
    /// The metadata in the log: watermark, fingerprint and bookmark.
    pub meta: Meta,
}

impl RawDataset {
    pub(crate) fn open(context: &Context<'_>, name: &DatasetName) -> Result<RawDataset, Error> {
        Ok(match context.lake.table(name)? {
            Some(table) => {
                let (files, meta) = (table.files(context.lake)?, table.meta(context.lake)?);
                RawDataset { table: Some(table), files, meta }
            }
            None => RawDataset { table: None, files: Vec::new(), meta: Meta::default() },
        })
    }

    /// The version that the next commit will create.
    pub(crate) fn next_version(&self) -> i64 {
        self.table.as_ref().map_or(0, |table| table.version() + 1)
    }
}

/// Columns every raw dataset has, whatever its source.
pub(crate) fn schema() -> Schema {
    let text = |name: &str| Field::new(name.into(), DataType::String);
    let number = |name: &str| Field::new(name.into(), DataType::Int64);
    [text(TEXT), text(FAULT), text(OBJECT), number(ROW), text(VERSION), number(ARRIVED_IN)].into_iter().collect()
}

/// The partition columns of a raw dataset.
pub(crate) fn partition_by() -> Result<Vec<ColumnName>, Error> {
    PARTITION_BY
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::new(ErrorKind::Bug, "a raw dataset's partition cannot be named").because(error))
}

/// The partition of one version of an object.
pub(crate) fn partition(object: &str, version: &str, arrived_in: i64) -> Partition {
    Partition::new([
        (OBJECT, Some(object)),
        (VERSION, Some(version)),
        (ARRIVED_IN, Some(arrived_in.to_string().as_str())),
    ])
}

/// The version of the raw dataset in which a file was added.
pub(crate) fn arrived_in(file: &DataFile) -> Option<i64> {
    file.partition.get(ARRIVED_IN).and_then(|text| text.parse().ok())
}

/// Up to which time the raw dataset is complete once everything in the source has been read: the latest time of the schedule, or the last
/// midnight (UTC) if there is no schedule.
pub(crate) fn watermark(pipeline: &Pipeline, trigger: &Trigger) -> Option<Timestamp> {
    match &pipeline.schedule {
        Some(schedule) => schedule.previous(trigger.scheduled_time),
        None => trigger.scheduled_time.to_zoned(TimeZone::UTC).start_of_day().ok().map(|day| day.timestamp()),
    }
}
