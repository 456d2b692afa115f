//! Writes one object of a source to data files of the raw dataset, independently of other objects.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polars::prelude::{DataType, Schema};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_lake::{DataFile, LakeError, Opened, Partition, Store, Writer};
use tidemark_pipeline::raw::{ARRIVED_IN, VERSION};
use tidemark_pipeline::{Csv, DatasetName, Format};

use super::batch::Batch;
use super::columns::widen;
use super::copied::{Counted, NotCopied, copied};
use super::decode;
use super::error::ReadError;
use super::input::Input;
use super::listing::{Object, version_of};
use super::position::Position;
use super::stats::ReadStats;
use crate::raw_dataset::partition;
use crate::resume_marks::ResumeMarks;

/// The result of reading an object: complete, or stopped at the deadline.
pub(crate) enum ObjectRead {
    Done(ObjectOutcome),
    /// The deadline has passed. None if no file is closed yet, so that there is nothing to resume from.
    Late(Option<PartialObject>),
}

/// The outcome of an object.
#[derive(Debug, PartialEq)]
pub(crate) enum ObjectOutcome {
    Read {
        /// Empty if the object has no columns.
        files: Vec<DataFile>,
        rows: u64,
        broken: u64,
        /// The object's own columns and the origin columns. None for an object without columns and rows.
        columns: Option<Arc<Schema>>,
    },
    /// The object has changed since it was listed.
    Changing,
}

/// A partly read object: the files closed so far, and where to resume.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartialObject {
    pub files: Vec<DataFile>,
    /// Start of the frame with the first row that is in none of the files.
    pub from: Position,
}

impl PartialObject {
    /// Rows of the object that are in the files.
    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// Reads objects of one source.
pub(crate) struct ObjectReader<'a> {
    pub context: &'a Context<'a>,
    pub raw: &'a DatasetName,
    pub store: &'a Store,
    pub csv: &'a Csv,
    /// Columns of the dataset before any object of the plan is added.
    pub base: &'a Schema,
    pub arrived_in: i64,
}

/// Why the writer stops consuming frames.
enum Halt {
    Failed(Error),
    Late,
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

impl From<LakeError> for Halt {
    fn from(error: LakeError) -> Halt {
        Halt::Failed(error.into())
    }
}

impl ObjectReader<'_> {
    /// Reads an object into files that are not committed yet, from its start or from where an earlier invocation stopped.
    pub(crate) fn read(&self, object: &Object, partial: Option<PartialObject>) -> Result<ObjectRead, Error> {
        const CHANGING: ObjectRead = ObjectRead::Done(ObjectOutcome::Changing);
        let (files, from) = match partial {
            Some(PartialObject { files, from }) => (files, Some(from)),
            None => (Vec::new(), None),
        };
        let at = from.as_ref().and_then(Position::stored).unwrap_or(0);
        let (meta, opened) = match self.store.open_from(&object.path, at) {
            Ok(opened) => opened,
            Err(error) if is_changed(&error) => return Ok(CHANGING),
            Err(error) => return Err(unreadable(object, error)),
        };
        if version_of(&meta) != object.version {
            return Ok(CHANGING);
        }
        let read = Arc::new(AtomicU64::new(0));
        let input = match self.input(object, opened, &read) {
            Err(ReadError::Input { source, .. }) if is_changing(&source) => return Ok(CHANGING),
            input => input.map_err(|error| object_error(object, error))?,
        };
        let marks = ResumeMarks::default();
        let mut files =
            ObjectWriter { reader: self, object, columns: None, files, writer: None, marks, read, reported: 0 };
        let mut emit = |batch| files.write(batch);
        let outcome = decode::read(input, &object.name, object.format, self.csv, from.as_ref(), &mut emit);
        if matches!(outcome, Err(ReadError::Emit(Halt::Late))) {
            // whether it has changed meanwhile is checked when it is opened to resume
            return Ok(ObjectRead::Late(files.into_partial()));
        }
        if let Err(ReadError::Input { source, .. }) = &outcome
            && is_changing(source)
        {
            return Ok(CHANGING);
        }
        // an object that changes while it is read may look broken; then it is reported as changing, not as broken
        let same = match self.store.head(&object.path) {
            Ok(meta) => version_of(&meta) == object.version,
            Err(error) if is_changed(&error) => false,
            Err(error) => return Err(unreadable(object, error)),
        };
        if !same {
            return Ok(CHANGING);
        }
        let ReadStats { rows, broken, .. } = outcome.map_err(|error| object_error(object, error))?;
        let columns = files.columns.clone();
        Ok(ObjectRead::Done(ObjectOutcome::Read { files: files.finish()?, rows, broken, columns }))
    }

    /// Writes an empty file for an object without columns and rows, which records that it has been read.
    pub(crate) fn write_empty(&self, object: &Object, columns: &Schema) -> Result<Vec<DataFile>, Error> {
        Ok(Writer::new(self.context.lake, self.raw, columns, self.partition(object)).finish(true)?)
    }

    fn input(&self, object: &Object, opened: Opened, read: &Arc<AtomicU64>) -> Result<Input, ReadError<Halt>> {
        let read = read.clone();
        Ok(match opened {
            // Parquet is mapped; everything else is read from front to back
            Opened::File(file) if object.format == Format::Parquet => Input::File(file),
            Opened::File(file) => Input::Stream(Box::new(Counted { inner: file, read })),
            // Parquet needs seeking, and the object may be larger than memory
            Opened::Stream(inner) if object.format == Format::Parquet => {
                let scratch = self.context.scratch;
                Input::File(copied(Counted { inner, read }, scratch).map_err(|error| match error {
                    NotCopied::Unread(source) => ReadError::Input { object: object.name.clone(), source },
                    NotCopied::Unwritten(error) => {
                        let message = format!("{} cannot be copied to {}", object.name, scratch.display());
                        let copy_error = Error::new(ErrorKind::Refused, message)
                            .hint("give the function more ephemeral storage, or free some");
                        ReadError::Emit(Halt::Failed(copy_error.because(error)))
                    }
                })?)
            }
            Opened::Stream(inner) => Input::Stream(Box::new(Counted { inner, read })),
        })
    }

    fn partition(&self, object: &Object) -> Partition {
        partition(&object.name, &object.version, self.arrived_in)
    }
}

/// Writes the frames of one object to files.
struct ObjectWriter<'a> {
    reader: &'a ObjectReader<'a>,
    object: &'a Object,
    columns: Option<Arc<Schema>>,
    /// Files closed by an earlier invocation, until they are passed to the writer.
    files: Vec<DataFile>,
    writer: Option<Writer<'a>>,
    marks: ResumeMarks<Position>,
    /// Bytes read of the object, and how many of them have been reported as progress.
    read: Arc<AtomicU64>,
    reported: u64,
}

impl ObjectWriter<'_> {
    fn write(&mut self, batch: Batch) -> Result<(), Halt> {
        let Batch { rows, from } = batch;
        if self.writer.is_none() {
            self.begin(rows.schema())?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        // rows that are in closed files already
        let done = usize::try_from(closed_rows(writer).saturating_sub(from.rows())).unwrap_or(usize::MAX);
        let rest = rows.slice(done.min(rows.height()) as i64, rows.height());
        writer.write(&rest)?;
        let context = self.reader.context;
        let now = self.read.load(Ordering::Relaxed);
        context.progress.advance(now - self.reported);
        self.reported = now;
        if context.deadline.is_some() {
            self.marks.add(from.rows(), from, closed_rows(writer));
            if context.is_late() {
                return Err(Halt::Late);
            }
        }
        Ok(())
    }

    fn begin(&mut self, frame: &Arc<Schema>) -> Result<(), Error> {
        let ObjectReader { context, raw, base, .. } = self.reader;
        // conflicts with the objects before it are checked after all have been read
        widen(&mut Schema::clone(base), frame, &self.object.name)?;
        let mut columns = Schema::clone(frame);
        columns.with_column(VERSION.into(), DataType::String);
        columns.with_column(ARRIVED_IN.into(), DataType::Int64);
        let writer = Writer::new(context.lake, raw, &columns, self.reader.partition(self.object));
        self.writer = Some(writer.after(std::mem::take(&mut self.files)));
        self.columns = Some(frame.clone());
        Ok(())
    }

    /// The state to resume from, if any file is closed.
    fn into_partial(self) -> Option<PartialObject> {
        let files = self.writer.map(Writer::into_closed).unwrap_or_default();
        let from = self.marks.into_first()?;
        (!files.is_empty()).then_some(PartialObject { files, from })
    }

    fn finish(self) -> Result<Vec<DataFile>, Error> {
        Ok(self.writer.map(|writer| writer.finish(true)).transpose()?.unwrap_or_default())
    }
}

fn closed_rows(writer: &Writer<'_>) -> u64 {
    writer.closed().iter().map(|file| file.rows).sum()
}

/// Whether a store error means that an object has been deleted or replaced.
fn is_changed(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. })
}

/// The same for an error that came up while the body was read.
fn is_changing(error: &io::Error) -> bool {
    let first = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    std::iter::successors(first, |error| error.source())
        .any(|error| error.downcast_ref::<object_store::Error>().is_some_and(is_changed))
}

fn unreadable(object: &Object, error: object_store::Error) -> Error {
    Error::from_store(format!("{} cannot be read", object.name), error)
}

fn object_error(object: &Object, error: ReadError<Halt>) -> Error {
    match error {
        ReadError::Emit(Halt::Failed(error)) => error,
        ReadError::Emit(Halt::Late) => {
            Error::new(ErrorKind::Bug, format!("{} passed the deadline unnoticed", object.name))
        }
        ReadError::File(fault) => {
            Error::new(ErrorKind::Data, format!("{}: {}", fault.object, fault.message)).hint(fault.hint)
        }
        ReadError::Input { source, .. } => Error::from_store(format!("{} cannot be read", object.name), source),
    }
}
