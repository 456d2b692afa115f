//! One object of a source becomes data files of the raw dataset.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polars::prelude::{DataType, Schema, SchemaExt as _};
use tidemark_flow::{Failure, Kind, Ports};
use tidemark_lake::{DataFile, Opened, Partition, Store, Writer};
use tidemark_pipeline::{Csv, DatasetName, Format};

use crate::listing::{ARRIVED_IN, OBJECT, Object, VERSION, version_of};
use crate::source::files::{Input, ReadError, ReadStats, read as decode};

/// How the reading of an object ended.
pub(crate) enum Read {
    Whole {
        files: Vec<DataFile>,
        stats: ReadStats,
    },
    /// It is another version now than it was when it was listed.
    Changing,
}

/// Reads an object into files that nothing names yet. Columns that are new are added to `schema`.
pub(crate) fn read(
    ports: &Ports<'_>,
    raw: &DatasetName,
    store: &Store,
    object: &Object,
    csv: &Csv,
    arrived_in: i64,
    schema: &mut Schema,
) -> Result<Read, Failure> {
    let (meta, opened) = match store.open(&object.path) {
        Ok(opened) => opened,
        Err(object_store::Error::NotFound { .. }) => return Ok(Read::Changing),
        Err(error) => return Err(unreadable(object, error)),
    };
    if version_of(&meta) != object.version {
        return Ok(Read::Changing);
    }
    let read = Arc::new(AtomicU64::new(0));
    let input = match opened {
        // Parquet is mapped; everything else is read from front to back
        Opened::File(file) if object.format == Format::Parquet => Input::File(file),
        Opened::File(file) => Input::Stream(Box::new(Counted { inner: file, read: read.clone() })),
        Opened::Stream(inner) => Input::Stream(Box::new(Counted { inner, read: read.clone() })),
    };
    let partition = Partition::new([
        (OBJECT, Some(object.name.as_str())),
        (VERSION, Some(object.version.as_str())),
        (ARRIVED_IN, Some(arrived_in.to_string().as_str())),
    ]);
    let mut writer: Option<Writer<'_>> = None;
    let mut told = 0;
    let mut emit = |frame: polars::prelude::DataFrame| -> Result<(), Failure> {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                widen(schema, frame.schema(), object)?;
                let mut columns = (**frame.schema()).clone();
                columns.with_column(VERSION.into(), DataType::String);
                columns.with_column(ARRIVED_IN.into(), DataType::Int64);
                writer.insert(Writer::new(ports.lake, raw, &columns, partition.clone()))
            }
        };
        writer.write(&frame)?;
        let now = read.load(Ordering::Relaxed);
        ports.progress.advance(now - told);
        told = now;
        Ok(())
    };
    let outcome = decode(input, &object.name, object.format, csv, &mut emit);
    // an object that changes under our hands may well look broken: that it changes is the better explanation
    let same = match store.head(&object.path) {
        Ok(meta) => version_of(&meta) == object.version,
        Err(object_store::Error::NotFound { .. }) => false,
        Err(error) => return Err(unreadable(object, error)),
    };
    if !same {
        return Ok(Read::Changing);
    }
    let stats = outcome.map_err(|error| failure(object, error))?;
    // an object without a row is known all the same, so that it is not read again
    let writer = writer.unwrap_or_else(|| Writer::new(ports.lake, raw, schema, partition));
    Ok(Read::Whole { files: writer.finish(true)?, stats })
}

/// Adds the columns of a frame that the dataset does not have yet.
fn widen(schema: &mut Schema, frame: &Schema, object: &Object) -> Result<(), Failure> {
    for field in frame.iter_fields() {
        let name = field.name().as_str();
        let refused = |message: String, hint: &str| {
            Err(Failure::new(Kind::Data, format!("{}: {message}", object.name)).hint(hint))
        };
        if let Some(ty) = schema.get(name) {
            if ty != field.dtype() {
                let message = format!("column {name} is {:?}, but {ty:?} in the files before", field.dtype());
                return refused(
                    message,
                    "write the column with one type, or give the file a pipeline of its own; once all files have the new type, run \
                     with --full",
                );
            }
            continue;
        }
        if let Some(known) = schema.iter_names().find(|known| known.eq_ignore_ascii_case(name)) {
            let message = format!("column {name} differs from column {known} only in the case of its letters");
            return refused(message, "a table cannot tell them apart: rename one");
        }
        schema.with_column(field.name().clone(), field.dtype().clone());
    }
    Ok(())
}

fn unreadable(object: &Object, error: object_store::Error) -> Failure {
    Failure::of_store(format!("{} cannot be read", object.name), error)
}

fn failure(object: &Object, error: ReadError<Failure>) -> Failure {
    match error {
        ReadError::Emit(failure) => failure,
        ReadError::File(fault) => {
            Failure::new(Kind::Data, format!("{}: {}", fault.object, fault.message)).hint(fault.hint)
        }
        ReadError::Input { source, .. } => Failure::of_store(format!("{} cannot be read", object.name), source),
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.read.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}
