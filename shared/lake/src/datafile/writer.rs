//! Frames to data files: Parquet with bounded row groups, named by content, described to the log by statistics.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    Column, DataFrame, DataType, Field, ParquetCompression, ParquetWriter, PlSmallStr, PolarsError, Scalar, Schema,
    SchemaExt as _, StatisticsOptions,
};
use polars_parquet::write::ZstdLevel;
use tidemark_pipeline::DatasetName;

use super::DataFile;
use super::stats::StatsCollector;
use crate::error::LakeError;
use crate::key::{Key, data_path};
use crate::lake::Lake;
use crate::partition::Partition;
use crate::schema::{decode_column, encoded};

/// Rows after which it is asked whether a group is full.
const BLOCK_ROWS: usize = 8 * 1024;
/// Rows of a row group, at most. With 64 Ki rows a group of ten columns is some 5 MB.
const GROUP_ROWS: usize = 64 * 1024;

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
    stats: StatsCollector,
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

    /// Goes on behind files of the same partition that an earlier writer has closed ([`Writer::closed`]). The rows to come are those
    /// after theirs: then the files come out as if one writer had written them all.
    pub fn after(mut self, closed: Vec<DataFile>) -> Writer<'a> {
        self.done = closed;
        self
    }

    /// The files that are on the store and will not change, in order. Rows that are in none of them are lost with the writer.
    pub fn closed(&self) -> &[DataFile] {
        &self.done
    }

    /// Those files, without what comes after them.
    pub fn into_closed(self) -> Vec<DataFile> {
        self.done
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
            let is_full = self.pending_rows >= GROUP_ROWS || self.pending_bytes >= self.lake.file_size().group_bytes;
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
        Ok(OpenFile { writer, sink, stats: StatsCollector::new(&self.schema, &self.partition), rows: 0 })
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
        let full = file.sink.len() >= self.lake.file_size().bytes;
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
            stats: Some(Arc::new(file.stats.close())),
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
