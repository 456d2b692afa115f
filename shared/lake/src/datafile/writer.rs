//! Writes frames as data files: Parquet with bounded row groups, named by a hash of the content, with statistics for the log.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    Column, DataFrame, DataType, Field, ParquetCompression, ParquetReader, ParquetWriter, PlSmallStr, PolarsError,
    Scalar, Schema, SchemaExt as _, SerReader as _, StatisticsOptions,
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

/// Rows of a block; whether a row group is full is checked after each block.
const BLOCK_ROWS: usize = 8 * 1024;
/// Maximum rows of a row group. With 64 Ki rows a group of ten columns is some 5 MB.
const GROUP_ROWS: usize = 64 * 1024;

/// Writes the frames of one partition into as many files as needed. The files become part of the dataset only through a commit.
///
/// The same rows in the same order give the same bytes and the same paths, however they are cut into frames.
pub struct Writer<'a> {
    lake: &'a Lake,
    dataset: &'a DatasetName,
    partition: Partition,
    /// The schema with encoded column names.
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
    /// `schema`: all columns of the files, partition columns included. Delta leaves those out of its
    /// statistics and lets a file hold them; with them, every file is readable on its own.
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

    /// Continues after files of the same partition that an earlier writer has closed ([`Writer::closed`]). The rows written next are those
    /// that follow theirs, so the files are the same as if one writer had written all of them.
    pub fn after(mut self, closed: Vec<DataFile>) -> Writer<'a> {
        self.done = closed;
        self
    }

    /// The finished files, in order. Rows not yet in any of them are lost when the writer is dropped.
    pub fn closed(&self) -> &[DataFile] {
        &self.done
    }

    /// Returns the finished files ([`Writer::closed`]) and drops the rows not yet in a file.
    pub fn into_closed(self) -> Vec<DataFile> {
        self.done
    }

    /// Returns the finished files ([`Writer::closed`]), and the rows not yet in a file as Parquet for [`Writer::write_rest`] of a later
    /// writer; None if there are none. They take up to one file plus one row group.
    pub fn into_closed_and_rest(mut self) -> Result<(Vec<DataFile>, Option<Vec<u8>>), LakeError> {
        self.write_group()?;
        let Some(file) = self.open.take() else { return Ok((self.done, None)) };
        file.writer.finish().map_err(|error| self.failed(error))?;
        Ok((self.done, Some(file.sink.take())))
    }

    /// Appends the rows that an earlier writer of the same files had not yet in a file, one row group at a time.
    pub fn write_rest(&mut self, rest: &Bytes) -> Result<(), LakeError> {
        let metadata = ParquetReader::new(Cursor::new(rest.clone())).get_metadata().cloned();
        let metadata = metadata.map_err(|error| self.failed(error))?;
        let mut offset = 0;
        for group in &metadata.row_groups {
            let slice = (offset, group.num_rows());
            let mut reader = ParquetReader::new(Cursor::new(rest.clone())).with_slice(Some(slice));
            reader.set_metadata(metadata.clone());
            let mut rows = reader.finish().map_err(|error| self.failed(error))?;
            let names: Vec<_> = rows.get_column_names().into_iter().map(|name| decode_column(name)).collect();
            rows.set_column_names(&names).map_err(|error| self.failed(error))?;
            offset += group.num_rows();
            self.write(&rows)?;
        }
        Ok(())
    }

    /// Appends rows. They must have all columns of the schema, except that partition columns may be missing.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), LakeError> {
        // blocks do not depend on how the rows are cut into frames, so that the rows alone decide where a row group ends
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

    /// Writes the rest and returns all files. If there were no rows, writes one empty file if `even_empty`, else none.
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

    /// Writes the pending rows as a row group, and closes the file if it is large enough.
    fn close_group(&mut self) -> Result<(), LakeError> {
        self.write_group()?;
        let is_full = self.open.as_ref().is_some_and(|file| file.sink.len() >= self.lake.file_size().bytes);
        if is_full { self.close_file() } else { Ok(()) }
    }

    /// Writes the pending rows as a row group.
    fn write_group(&mut self) -> Result<(), LakeError> {
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
        self.open = Some(file);
        Ok(())
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

/// Bytes of the values of a frame. Unlike its memory size, this depends on the values alone.
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

/// A column that holds a partition value in every row.
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
