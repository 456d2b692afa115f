//! Data files as lazy frames.

use std::io::Cursor;
use std::sync::Arc;

use polars::io::parquet::metadata::FileMetadataRef;
use polars::prelude::{
    Column, DataFrame, DataType, Expr, HiveOptions, IntoLazy as _, LazyFrame, LiteralValue, NULL, ParquetReader,
    ScanArgsParquet, ScanSources, Schema, SchemaExt as _, SerReader as _, UnionArgs, col, concat, lit,
};

use crate::datafile::{DataFile, Partition};
use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;
use crate::schema::encode_column;
use crate::table::Table;

impl Table {
    /// The rows of some of the table's files, with all columns of the table in its order: those a file does not have yet are NULL,
    /// those of the partition come from the log. Nothing is decoded before the plan is run, and only the columns it needs.
    pub fn scan(&self, lake: &Lake, files: &[DataFile]) -> Result<LazyFrame, LakeError> {
        let failed = |error| LakeError::polars(format!("dataset {} cannot be scanned", self.dataset()), error);
        let partition_by = self.partition_by();
        let is_stored = |name: &str| !partition_by.iter().any(|column| column.as_str() == name);
        let stored: Schema = self
            .schema()
            .iter_fields()
            .filter(|field| is_stored(field.name()))
            .map(|mut field| {
                field.set_name(encode_column(field.name()).into());
                field
            })
            .collect();
        let stored = Arc::new(stored);
        let mut frames = Vec::new();
        let mut rest = files;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|file| file.partition == first.partition).count();
            let (now, later) = rest.split_at(same);
            rest = later;
            let buffers: Result<Vec<_>, LakeError> = now.iter().map(|file| self.bytes(lake, file)).collect();
            let args = ScanArgsParquet {
                schema: Some(stored.clone()),
                allow_missing_columns: true,
                cache: false,
                glob: false,
                hive_options: HiveOptions::new_disabled(),
                ..ScanArgsParquet::default()
            };
            let frame = LazyFrame::scan_parquet_sources(ScanSources::Buffers(buffers?.into()), args).map_err(failed)?;
            frames.push(frame.select(self.columns(&first.partition)));
        }
        if frames.is_empty() {
            return Ok(DataFrame::empty_with_schema(self.schema()).lazy());
        }
        let args = UnionArgs { rechunk: false, maintain_order: true, ..UnionArgs::default() };
        concat(frames, args).map_err(failed)
    }

    /// The rows of one file, decoded.
    pub fn read(&self, lake: &Lake, files: &[DataFile]) -> Result<DataFrame, LakeError> {
        self.scan(lake, files)?.collect().map_err(|source| LakeError::Corrupt {
            what: format!("a data file of dataset {}", self.dataset()),
            source: Box::new(source),
        })
    }

    /// The bytes of a data file; a body that is not as long as the log says is an error, not a short file.
    fn bytes(&self, lake: &Lake, file: &DataFile) -> Result<polars_buffer::Buffer<u8>, LakeError> {
        let key = Key::Data(self.dataset(), &file.path).path();
        let bytes = lake.store().map(&key).map_err(|source| match source {
            source @ object_store::Error::NotFound { .. } => LakeError::Corrupt {
                what: format!("{key} (the log names it, and it is gone)"),
                source: Box::new(source),
            },
            source => LakeError::store(key.to_string(), source),
        })?;
        if bytes.len() as u64 != file.bytes {
            let found = format!("{} bytes found, {} written", bytes.len(), file.bytes);
            return Err(LakeError::Corrupt { what: key.to_string(), source: found.into() });
        }
        Ok(bytes)
    }

    fn columns(&self, partition: &Partition) -> Vec<Expr> {
        let of_partition = |name: &str| partition.values().iter().find(|(column, _)| column == name);
        self.schema()
            .iter_fields()
            .map(|field| match of_partition(field.name()) {
                Some((_, value)) => constant(value.as_deref(), field.dtype()).alias(field.name().clone()),
                None => {
                    let encoded = encode_column(field.name());
                    if encoded == field.name().as_str() {
                        col(encoded)
                    } else {
                        col(encoded).alias(field.name().clone())
                    }
                }
            })
            .collect()
    }
}

/// A partition's value as the log writes it, as a value of its type.
fn constant(value: Option<&str>, ty: &DataType) -> Expr {
    let Some(text) = value else { return lit(NULL).cast(ty.clone()) };
    let parsed = match ty {
        DataType::String => Some(lit(text.to_owned())),
        DataType::Boolean => text.parse::<bool>().ok().map(lit),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => text.parse::<i64>().ok().map(lit),
        DataType::Date => text.parse::<jiff::civil::Date>().ok().map(|day| lit(days(day)).cast(DataType::Int32)),
        _ => None,
    };
    parsed.unwrap_or_else(|| Expr::Literal(LiteralValue::untyped_null())).cast(ty.clone())
}

/// Days since 1970-01-01, as Arrow and Parquet count them.
fn days(day: jiff::civil::Date) -> i32 {
    (day - jiff::civil::date(1970, 1, 1)).get_days()
}

/// Rows of one data file by the row group, so that memory holds one of them whatever the file's size.
pub struct Batches<'a> {
    table: &'a Table,
    partition: &'a Partition,
    bytes: polars_buffer::Buffer<u8>,
    metadata: FileMetadataRef,
    next: usize,
    offset: usize,
}

impl Table {
    /// The rows of one file, row group by row group, with all columns of the table (see [`Table::scan`]).
    pub fn batches<'a>(&'a self, lake: &Lake, file: &'a DataFile) -> Result<Batches<'a>, LakeError> {
        let bytes = self.bytes(lake, file)?;
        let metadata = ParquetReader::new(Cursor::new(bytes.clone())).get_metadata().cloned();
        let metadata = metadata.map_err(|error| self.damaged(error))?;
        Ok(Batches { table: self, partition: &file.partition, bytes, metadata, next: 0, offset: 0 })
    }

    fn damaged(&self, source: polars::error::PolarsError) -> LakeError {
        LakeError::Corrupt { what: format!("a data file of dataset {}", self.dataset()), source: Box::new(source) }
    }

    /// Gives stored rows the table's columns.
    fn complete(&self, stored: &DataFrame, partition: &Partition) -> Result<DataFrame, polars::error::PolarsError> {
        let rows = stored.height();
        let columns = self.schema().iter_fields().map(|field| {
            let name = field.name().clone();
            if let Some((_, value)) = partition.values().iter().find(|(column, _)| *column == name.as_str()) {
                return value_of(value.as_deref(), field.dtype(), rows).map(|column| column.with_name(name));
            }
            match stored.column(&encode_column(&name)) {
                Ok(column) => Ok(column.clone().with_name(name)),
                Err(_) => Ok(Column::full_null(name, rows, field.dtype())),
            }
        });
        DataFrame::new(rows, columns.collect::<Result<Vec<_>, _>>()?)
    }
}

fn value_of(value: Option<&str>, ty: &DataType, rows: usize) -> Result<Column, polars::error::PolarsError> {
    let one = DataFrame::empty().lazy().select([constant(value, ty).alias("value")]).collect()?;
    Ok(one.column("value")?.new_from_index(0, rows))
}

impl Batches<'_> {
    /// Batches the file has.
    pub fn count_all(&self) -> usize {
        self.metadata.row_groups.len()
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<DataFrame, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.metadata.row_groups.get(self.next)?.num_rows();
        let mut reader = ParquetReader::new(Cursor::new(self.bytes.clone())).with_slice(Some((self.offset, rows)));
        reader.set_metadata(self.metadata.clone());
        self.next += 1;
        self.offset += rows;
        let batch = reader.finish().and_then(|stored| self.table.complete(&stored, self.partition));
        Some(batch.map_err(|error| self.table.damaged(error)))
    }
}
