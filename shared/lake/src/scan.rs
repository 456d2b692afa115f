//! Reads data files as frames: many files lazily, or one file batch by batch.

use std::io::Cursor;
use std::sync::Arc;

use polars::io::parquet::metadata::FileMetadataRef;
use polars::prelude::{
    Column, DataFrame, Expr, HiveOptions, IntoLazy as _, LazyFrame, ParquetReader, PolarsError, ScanArgsParquet,
    ScanSources, SchemaExt as _, SerReader as _, col,
};
use polars_buffer::Buffer;

use crate::datafile::DataFile;
use crate::error::LakeError;
use crate::key::{Key, is_ours};
use crate::lake::Lake;
use crate::schema::{encode_column, encoded};
use crate::table::Table;

impl Table {
    /// The rows of some of the table's files, in their order, with all columns of the table in its order; columns that a file does not have
    /// yet are NULL. Nothing is decoded until the query is executed, and then only what it needs.
    pub fn scan(&self, lake: &Lake, files: &[DataFile]) -> Result<LazyFrame, LakeError> {
        if files.is_empty() {
            return Ok(DataFrame::empty_with_schema(self.schema()).lazy());
        }
        let buffers: Result<Vec<_>, LakeError> = files.iter().map(|file| self.bytes(lake, file)).collect();
        let args = ScanArgsParquet {
            schema: Some(Arc::new(encoded(self.schema()))),
            allow_missing_columns: true,
            cache: false,
            glob: false,
            hive_options: HiveOptions::new_disabled(),
            ..ScanArgsParquet::default()
        };
        let frame = LazyFrame::scan_parquet_sources(ScanSources::Buffers(buffers?.into()), args)
            .map_err(|error| LakeError::polars(format!("dataset {} cannot be scanned", self.dataset()), error))?;
        let is_plain = |name: &str| encode_column(name) == name;
        if self.schema().iter_names().all(|name| is_plain(name)) {
            return Ok(frame);
        }
        let columns: Vec<Expr> =
            self.schema().iter_names().map(|name| col(encode_column(name)).alias(name.clone())).collect();
        Ok(frame.select(columns))
    }

    /// Reads and decodes the rows of some files.
    pub fn read(&self, lake: &Lake, files: &[DataFile]) -> Result<DataFrame, LakeError> {
        self.scan(lake, files)?.collect().map_err(|error| self.damaged(error))
    }

    /// The rows of one file, row group by row group, with all columns of the table (see [`Table::scan`]).
    pub fn batches<'a>(&'a self, lake: &Lake, file: &DataFile) -> Result<Batches<'a>, LakeError> {
        let bytes = self.bytes(lake, file)?;
        let metadata = ParquetReader::new(Cursor::new(bytes.clone())).get_metadata().cloned();
        let metadata = metadata.map_err(|error| self.damaged(error))?;
        Ok(Batches { table: self, bytes, metadata, next: 0, offset: 0 })
    }

    /// The bytes of a data file; a size other than the one in the log is an error.
    fn bytes(&self, lake: &Lake, file: &DataFile) -> Result<Buffer<u8>, LakeError> {
        if !is_ours(&file.path) {
            return Err(LakeError::Foreign { dataset: self.dataset().clone(), path: file.path.clone() });
        }
        let key = Key::Data(self.dataset(), &file.path).path();
        let bytes = lake.store().map(&key).map_err(|source| match source {
            source @ object_store::Error::NotFound { .. } => {
                let what = format!("{key} (listed in the log, but missing)");
                LakeError::Corrupt { what, source: Box::new(source) }
            }
            source => LakeError::store(key.to_string(), source),
        })?;
        if bytes.len() as u64 != file.bytes {
            let found = format!("{} bytes found, {} written", bytes.len(), file.bytes);
            return Err(LakeError::Corrupt { what: key.to_string(), source: found.into() });
        }
        Ok(bytes)
    }

    fn damaged(&self, source: PolarsError) -> LakeError {
        LakeError::Corrupt { what: format!("a data file of dataset {}", self.dataset()), source: Box::new(source) }
    }

    /// Brings stored rows to the table's columns.
    fn complete(&self, stored: &DataFrame) -> Result<DataFrame, PolarsError> {
        let columns = self.schema().iter_fields().map(|field| match stored.column(&encode_column(field.name())) {
            Ok(column) => column.clone().with_name(field.name().clone()),
            Err(_) => Column::full_null(field.name().clone(), stored.height(), field.dtype()),
        });
        DataFrame::new(stored.height(), columns.collect())
    }
}

impl LakeError {
    /// Converts the error of a query over [`Table::scan`], if the cause is a data file that cannot be decoded.
    ///
    /// # Errors
    /// The unchanged error, if the query itself is at fault.
    pub fn from_query(datasets: &str, error: PolarsError) -> Result<LakeError, PolarsError> {
        // polars has no error variant for this; its Parquet reader prefixes the message
        if error.to_string().starts_with("parquet: ") {
            return Ok(LakeError::Corrupt { what: format!("a data file of {datasets}"), source: Box::new(error) });
        }
        Err(error)
    }
}

/// Iterates over a data file by row group, so that memory holds only one row group, whatever the file's size.
pub struct Batches<'a> {
    table: &'a Table,
    bytes: Buffer<u8>,
    metadata: FileMetadataRef,
    next: usize,
    offset: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<DataFrame, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.metadata.row_groups.get(self.next)?.num_rows();
        let mut reader = ParquetReader::new(Cursor::new(self.bytes.clone())).with_slice(Some((self.offset, rows)));
        reader.set_metadata(self.metadata.clone());
        self.next += 1;
        self.offset += rows;
        let batch = reader.finish().and_then(|stored| self.table.complete(&stored));
        Some(batch.map_err(|error| self.table.damaged(error)))
    }

    /// Skipped row groups are not decoded.
    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        let passed = self.metadata.row_groups.iter().skip(self.next).take(n);
        self.offset += passed.map(|group| group.num_rows()).sum::<usize>();
        self.next = (self.next + n).min(self.metadata.row_groups.len());
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.metadata.row_groups.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}
