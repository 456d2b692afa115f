//! Data files: Parquet with bounded row groups, named by content, described to the log by statistics.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use delta_kernel::arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::scan::state::ScanFile;
use delta_kernel::{EngineData, KernelResult};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    Column, DataFrame, DataType, Field, ParquetCompression, ParquetWriter, PlSmallStr, PolarsError, Scalar, Schema,
    SchemaExt as _, StatisticsOptions,
};
use polars_parquet::write::ZstdLevel;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::{ColumnName, DatasetName};

use crate::error::LakeError;
use crate::key::{Key, data_path};
use crate::lake::Lake;
use crate::schema::{decode_column, encode_column, encoded};

mod bound;
mod stats;

use stats::FileStats;

/// The values of a table's partition columns, in the table's order; `None` is NULL. As the Delta log writes them: text as it is,
/// dates `2011-12-08`, integers in decimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(Vec<(String, Option<String>)>);

impl Partition {
    /// Delta cannot tell an empty text from NULL, so it is NULL from the beginning.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Partition {
        let value = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
        Partition(values.into_iter().map(|(column, text)| (column.to_owned(), value(text))).collect())
    }

    pub fn values(&self) -> &[(String, Option<String>)] {
        &self.0
    }

    /// The value of one column; `None` if it is NULL or no partition column.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.as_deref())
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (column, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{column}={}", value.as_deref().unwrap_or("NULL"))?;
        }
        Ok(())
    }
}

/// A data file, written or found in the log. One that was written can be kept, as the receipt it is, for a later invocation to commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Under the table.
    pub path: String,
    pub partition: Partition,
    pub rows: u64,
    /// On the store.
    pub bytes: u64,
    /// Of a file just written; a file found in the log has them there.
    stats: Option<Arc<FileStats>>,
}

impl DataFile {
    pub(crate) fn from_scan(file: ScanFile, columns: &[ColumnName]) -> DataFile {
        let value = |column: &ColumnName| {
            let value = file.partition_values.get(&encode_column(column.as_str())).cloned();
            (column.to_string(), value)
        };
        DataFile {
            partition: Partition(columns.iter().map(value).collect()),
            rows: file.stats.map_or(0, |stats| stats.num_records),
            bytes: file.size.unsigned_abs(),
            path: file.path,
            stats: None,
        }
    }

    /// The `add` action of this file, one row of the kernel's add-files schema.
    pub(crate) fn add_action(&self) -> KernelResult<Box<dyn EngineData>> {
        let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
        let mut values = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        for (column, value) in self.partition.values() {
            values.keys().append_value(encode_column(column));
            values.values().append_option(value.as_deref());
        }
        values.append(true)?;
        let long = |value: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![value.cast_signed()])) };
        let path: ArrayRef = Arc::new(StringArray::from(vec![self.path.as_str()]));
        let values: ArrayRef = Arc::new(values.finish());
        // content decides the path, so the file has no time of its own: 0, and the same commit for the same rows
        let mut columns = vec![
            ("path", path),
            ("partitionValues", values),
            ("size", long(self.bytes)),
            ("modificationTime", long(0)),
        ];
        if let Some(stats) = &self.stats {
            columns.push(("stats", stats.to_arrow(self.rows)?));
        }
        Ok(Box::new(ArrowEngineData::new(RecordBatch::try_from_iter(columns)?)))
    }
}

/// Rows after which it is asked whether a group is full.
const BLOCK_ROWS: usize = 8 * 1024;
/// Rows of a row group, at most. With 64 Ki rows a group of ten columns is some 5 MB.
const GROUP_ROWS: usize = 64 * 1024;
/// Bytes of a row group in memory after which it is closed, so that long texts stay bounded too.
const GROUP_BYTES: usize = 16 << 20;
/// Compressed bytes after which a file is closed and the next begun.
const FILE_BYTES: usize = 64 << 20;

/// Writes the frames of one partition into as many files as it takes. Nothing of it is part of the dataset before a commit says so.
///
/// The same rows in the same order give the same bytes and the same paths, however they are cut into frames.
pub struct Writer<'a> {
    lake: &'a Lake,
    dataset: &'a DatasetName,
    partition: Partition,
    /// Encoded names.
    schema: Schema,
    open: Option<OpenFile>,
    done: Vec<DataFile>,
    pending: Vec<DataFrame>,
    pending_rows: usize,
    pending_bytes: usize,
}

struct OpenFile {
    writer: BatchedWriter<Sink>,
    sink: Sink,
    stats: FileStats,
    rows: u64,
}

/// Bytes of the file so far. The Parquet writer owns its sink, and we need the bytes back.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> Writer<'a> {
    /// `schema`: all columns of the dataset that the files shall have, partition columns included. Delta leaves those out of its
    /// statistics and lets a file hold them; holding them makes every file whole by itself.
    pub fn new(lake: &'a Lake, dataset: &'a DatasetName, schema: &Schema, partition: Partition) -> Writer<'a> {
        let schema = encoded(schema);
        Writer {
            lake,
            dataset,
            partition,
            schema,
            open: None,
            done: Vec::new(),
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
        }
    }

    /// Takes rows, which must have all columns of the schema; those of the partition may be missing.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), LakeError> {
        // in blocks that lie the same whatever the frames are, so that rows alone decide where a group ends
        let mut offset = 0;
        while offset < frame.height() {
            let taken = (BLOCK_ROWS - self.pending_rows % BLOCK_ROWS).min(frame.height() - offset);
            let block = frame.slice(offset as i64, taken);
            offset += taken;
            self.pending_rows += taken;
            self.pending_bytes += content_bytes(&block);
            self.pending.push(block);
            let is_full = self.pending_rows >= GROUP_ROWS || self.pending_bytes >= GROUP_BYTES;
            if is_full && self.pending_rows.is_multiple_of(BLOCK_ROWS) {
                self.close_group()?;
            }
        }
        Ok(())
    }

    /// The files, all on the store. Without any row there is one file of none if `even_empty`.
    pub fn finish(mut self, even_empty: bool) -> Result<Vec<DataFile>, LakeError> {
        self.close_group()?;
        if even_empty && self.open.is_none() && self.done.is_empty() {
            self.open = Some(self.begin()?);
        }
        self.close_file()?;
        Ok(self.done)
    }

    fn failed(&self, error: PolarsError) -> LakeError {
        LakeError::polars(format!("a data file of dataset {} cannot be written", self.dataset), error)
    }

    fn begin(&self) -> Result<OpenFile, LakeError> {
        let sink = Sink::default();
        let level = ZstdLevel::try_new(1).map_err(|error| self.failed(error))?;
        let writer = ParquetWriter::new(sink.clone())
            .with_compression(ParquetCompression::Zstd(Some(level)))
            .with_statistics(StatisticsOptions::default())
            .batched(&self.schema)
            .map_err(|error| self.failed(error))?;
        Ok(OpenFile { writer, sink, stats: FileStats::new(&self.schema, &self.partition), rows: 0 })
    }

    fn close_group(&mut self) -> Result<(), LakeError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut group: Option<DataFrame> = None;
        for frame in self.pending.drain(..) {
            let columns = self.schema.iter_fields().map(|field| {
                let name = decode_column(field.name());
                match frame.column(&name) {
                    Ok(column) => Ok(column.clone().with_name(field.name().clone())),
                    Err(error) => match self.partition.values().iter().find(|(column, _)| *column == name) {
                        Some((_, value)) => constant(&field, value.as_deref(), frame.height()),
                        None => Err(error),
                    },
                }
            });
            let part = columns
                .collect::<Result<Vec<_>, PolarsError>>()
                .and_then(|columns| DataFrame::new(frame.height(), columns))
                .map_err(|error| LakeError::polars(format!("a frame does not fit dataset {}", self.dataset), error))?;
            match &mut group {
                None => group = Some(part),
                Some(group) => {
                    group.vstack_mut(&part).map_err(|error| {
                        LakeError::polars(format!("a frame does not fit dataset {}", self.dataset), error)
                    })?;
                }
            }
        }
        (self.pending_rows, self.pending_bytes) = (0, 0);
        let Some(mut group) = group else { return Ok(()) };
        // one chunk is one row group
        group.rechunk_mut_par();
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        file.stats.add(&group).map_err(|error| self.failed(error))?;
        file.writer.write_batch(&group).map_err(|error| self.failed(error))?;
        file.rows += group.height() as u64;
        let full = file.sink.len() >= FILE_BYTES;
        self.open = Some(file);
        if full { self.close_file() } else { Ok(()) }
    }

    fn close_file(&mut self) -> Result<(), LakeError> {
        let Some(file) = self.open.take() else { return Ok(()) };
        file.writer.finish().map_err(|error| self.failed(error))?;
        let content = file.sink.take();
        let path = data_path(&self.partition, self.done.len(), &content);
        let key = Key::Data(self.dataset, &path).path();
        let bytes = content.len() as u64;
        self.lake.store().put(&key, content).map_err(|source| LakeError::store(key.to_string(), source))?;
        self.done.push(DataFile {
            path,
            partition: self.partition.clone(),
            rows: file.rows,
            bytes,
            stats: Some(Arc::new(file.stats)),
        });
        Ok(())
    }
}

/// Bytes of the values of a frame, which, unlike the memory it takes, depends on the values alone.
fn content_bytes(frame: &DataFrame) -> usize {
    let texts = |column: &Column| match column.dtype() {
        DataType::String => {
            column.str().map_or(0, |texts| texts.downcast_iter().map(|array| array.total_bytes_len()).sum())
        }
        DataType::Binary => {
            column.binary().map_or(0, |texts| texts.downcast_iter().map(|array| array.total_bytes_len()).sum())
        }
        _ => 0,
    };
    frame.columns().iter().map(texts).sum::<usize>() + frame.height() * frame.width() * 8
}

/// A partition's value in every row.
fn constant(field: &Field, value: Option<&str>, rows: usize) -> Result<Column, PolarsError> {
    let column = match (value, field.dtype()) {
        (None, ty) => return Ok(Column::full_null(field.name().clone(), rows, ty)),
        (Some(text), DataType::Int64) => text.parse::<i64>().ok().map(Scalar::from),
        (Some(text), DataType::String) => Some(Scalar::from(PlSmallStr::from(text))),
        _ => None,
    };
    match column {
        Some(value) => Ok(Column::new_scalar(field.name().clone(), value, rows)),
        None => Err(polars::prelude::polars_err!(SchemaMismatch: "partition column {} is in no frame", field.name())),
    }
}
