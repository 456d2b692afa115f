//! One object of a source becomes data files of the raw dataset.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polars::prelude::{DataType, Schema, SchemaExt as _};
use tidemark_flow::{Context, Failure, Kind};
use tidemark_lake::{DataFile, LakeError, Opened, Partition, Store, Writer};
use tidemark_pipeline::raw::{ARRIVED_IN, OBJECT, VERSION};
use tidemark_pipeline::{Csv, DatasetName, Format};

use crate::files::listing::{Object, version_of};
use crate::files::progress::{Begun, Finished, Marks};
use crate::files::{Batch, Input, Position, ReadError, ReadStats, read as decode};

/// Bytes of a stream that are copied at a time.
const COPIED: usize = 1 << 20;

/// How the reading of an object ended.
pub(crate) enum Read {
    Finished(Finished),
    /// The time is over. `None`: it is not worth going on, no file is closed.
    Late(Option<Begun>),
}

/// What all objects of a source have in common.
pub(crate) struct Reading<'a> {
    pub context: &'a Context<'a>,
    pub raw: &'a DatasetName,
    pub store: &'a Store,
    pub csv: &'a Csv,
    pub arrived_in: i64,
}

/// Why no more frames are taken.
enum Halt {
    Failed(Failure),
    Late,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Halt {
        Halt::Failed(failure)
    }
}

impl From<LakeError> for Halt {
    fn from(error: LakeError) -> Halt {
        Halt::Failed(error.into())
    }
}

impl Reading<'_> {
    /// Reads an object into files that nothing names yet, from its start or from where it was left. Columns that are new are added to
    /// `schema`.
    pub(crate) fn read(&self, object: &Object, begun: Option<Begun>, schema: &mut Schema) -> Result<Read, Failure> {
        let (files, from) = match begun {
            Some(Begun { files, from }) => (files, Some(from)),
            None => (Vec::new(), None),
        };
        let at = from.as_ref().and_then(Position::stored).unwrap_or(0);
        let (meta, opened) = match self.store.open_from(&object.path, at) {
            Ok(opened) => opened,
            Err(error) if is_changed(&error) => return Ok(Read::Finished(Finished::Changing)),
            Err(error) => return Err(unreadable(object, error)),
        };
        if version_of(&meta) != object.version {
            return Ok(Read::Finished(Finished::Changing));
        }
        let read = Arc::new(AtomicU64::new(0));
        let input = match self.input(object, opened, &read) {
            Err(ReadError::Input { source, .. }) if is_changing(&source) => {
                return Ok(Read::Finished(Finished::Changing));
            }
            input => input.map_err(|error| failure(object, error))?,
        };
        let mut taking =
            Taking { reading: self, object, schema, files, writer: None, marks: Marks::default(), read, told: 0 };
        let mut emit = |batch| taking.take(batch);
        let outcome = decode(input, &object.name, object.format, self.csv, from.as_ref(), &mut emit);
        if matches!(outcome, Err(ReadError::Emit(Halt::Late))) {
            // whether it is the same still is seen by whoever opens it to go on
            return Ok(Read::Late(taking.marks.begun(taking.writer.map(Writer::into_closed).unwrap_or_default())));
        }
        if let Err(ReadError::Input { source, .. }) = &outcome
            && is_changing(source)
        {
            return Ok(Read::Finished(Finished::Changing));
        }
        // an object that changes under our hands may well look broken: that it changes is the better explanation
        let same = match self.store.head(&object.path) {
            Ok(meta) => version_of(&meta) == object.version,
            Err(error) if is_changed(&error) => false,
            Err(error) => return Err(unreadable(object, error)),
        };
        if !same {
            return Ok(Read::Finished(Finished::Changing));
        }
        let ReadStats { rows, broken, .. } = outcome.map_err(|error| failure(object, error))?;
        Ok(Read::Finished(Finished::Whole { files: taking.finish()?, rows, broken }))
    }

    fn input(&self, object: &Object, opened: Opened, read: &Arc<AtomicU64>) -> Result<Input, ReadError<Halt>> {
        let read = read.clone();
        Ok(match opened {
            // Parquet is mapped; everything else is read from front to back
            Opened::File(file) if object.format == Format::Parquet => Input::File(file),
            Opened::File(file) => Input::Stream(Box::new(Counted { inner: file, read })),
            // it wants to be sought in, and may be larger than the memory
            Opened::Stream(inner) if object.format == Format::Parquet => {
                Input::File(copied(Counted { inner, read }, object, &self.context.scratch)?)
            }
            Opened::Stream(inner) => Input::Stream(Box::new(Counted { inner, read })),
        })
    }

    fn partition(&self, object: &Object) -> Partition {
        Partition::new([
            (OBJECT, Some(object.name.as_str())),
            (VERSION, Some(object.version.as_str())),
            (ARRIVED_IN, Some(self.arrived_in.to_string().as_str())),
        ])
    }
}

/// The frames of one object on their way into files.
struct Taking<'a> {
    reading: &'a Reading<'a>,
    object: &'a Object,
    schema: &'a mut Schema,
    /// Closed by an earlier invocation, until the writer has them.
    files: Vec<DataFile>,
    writer: Option<Writer<'a>>,
    marks: Marks,
    /// Bytes of the object so far, and how many of them have been told.
    read: Arc<AtomicU64>,
    told: u64,
}

impl<'a> Taking<'a> {
    fn take(&mut self, batch: Batch) -> Result<(), Halt> {
        let Batch { rows, from } = batch;
        if self.writer.is_none() {
            self.begin(rows.schema())?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        // those that are in closed files already
        let done = usize::try_from(closed_rows(writer).saturating_sub(from.rows())).unwrap_or(usize::MAX);
        let rest = rows.slice(done.min(rows.height()) as i64, rows.height());
        writer.write(&rest)?;
        let context = self.reading.context;
        let now = self.read.load(Ordering::Relaxed);
        context.progress.advance(now - self.told);
        self.told = now;
        if context.deadline.is_some() {
            self.marks.pass(from, closed_rows(writer));
            if context.is_late() {
                return Err(Halt::Late);
            }
        }
        Ok(())
    }

    fn begin(&mut self, frame: &Schema) -> Result<(), Failure> {
        widen(self.schema, frame, self.object)?;
        let mut columns = frame.clone();
        columns.with_column(VERSION.into(), DataType::String);
        columns.with_column(ARRIVED_IN.into(), DataType::Int64);
        let Reading { context, raw, .. } = self.reading;
        let writer = Writer::new(context.lake, raw, &columns, self.reading.partition(self.object));
        self.writer = Some(writer.after(std::mem::take(&mut self.files)));
        Ok(())
    }

    fn finish(self) -> Result<Vec<DataFile>, Failure> {
        let Reading { context, raw, .. } = self.reading;
        // an object without a row is known all the same, so that it is not read again
        let empty = || Writer::new(context.lake, raw, self.schema, self.reading.partition(self.object));
        Ok(self.writer.unwrap_or_else(empty).finish(true)?)
    }
}

fn closed_rows(writer: &Writer<'_>) -> u64 {
    writer.closed().iter().map(|file| file.rows).sum()
}

/// A copy of a stream that can be sought in: a file without a name, which goes with its handle.
fn copied(mut stream: impl io::Read, object: &Object, scratch: &Path) -> Result<File, ReadError<Halt>> {
    let unwritten = |error: io::Error| {
        let message = format!("{} cannot be copied to {}", object.name, scratch.display());
        let failure =
            Failure::new(Kind::Refused, message).hint("give the function more ephemeral storage, or free some");
        ReadError::Emit(Halt::Failed(failure.because(error)))
    };
    let mut file = tempfile::tempfile_in(scratch).map_err(unwritten)?;
    let mut block = vec![0; COPIED];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(file),
            Ok(length) => file.write_all(&block[..length]).map_err(unwritten)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ReadError::Input { object: object.name.clone(), source }),
        }
    }
}

/// Whether a store says that an object is not there, or not the one that was meant.
fn is_changed(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. })
}

/// The same, where it came up in the middle of a body.
fn is_changing(error: &io::Error) -> bool {
    let first = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    std::iter::successors(first, |error| error.source())
        .any(|error| error.downcast_ref::<object_store::Error>().is_some_and(is_changed))
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

fn failure(object: &Object, error: ReadError<Halt>) -> Failure {
    match error {
        ReadError::Emit(Halt::Failed(failure)) => failure,
        ReadError::Emit(Halt::Late) => Failure::new(Kind::Bug, format!("{} is late, and nobody saw it", object.name)),
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
