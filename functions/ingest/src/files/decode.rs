//! Decodes one stored object into raw frames. It lists nothing, writes nothing and never holds a whole object in memory (with one
//! exception: [`Input::Stream`] of Parquet).

use std::convert::Infallible;
use std::io::Read;

use tidemark_pipeline::{Csv, Encoding, Format};

use super::batch::Batch;
use super::error::{Fault, ReadError, Stop};
use super::input::Input;
use super::limits::Limits;
use super::position::Position;
use super::stats::ReadStats;
use super::{compression, csv, ndjson, parquet, text};

/// Reads one object and emits its raw frames in order, each of at most 64 Ki rows and about 8 MiB of text, whatever
/// the object's size. `object` is the name that goes into `_object` and into messages.
///
/// A raw frame has the object's own columns (NDJSON has none), then `_text`, `_fault`, `_object`, `_row`. If the columns are
/// known, at least one frame is emitted, an empty one if there are no rows. An empty CSV file without given columns emits no frame.
///
/// With `from`, the position of a [`Batch`] of the same object, reading resumes with that batch. The returned counts still cover the whole
/// object.
///
/// # Errors
/// A [`ReadError`] may come after frames were emitted. The caller must then drop them, since the object was not read to its end.
pub fn read<E>(
    input: Input,
    object: &str,
    format: Format,
    csv: &Csv,
    from: Option<&Position>,
    emit: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<ReadStats, ReadError<E>> {
    read_with(&Limits::default(), input, object, format, csv, from, emit)
}

/// The first bytes of an object, decompressed: enough to guess its format.
///
/// # Errors
/// As [`read`].
pub fn head(input: Input, object: &str, bytes: usize) -> Result<Vec<u8>, ReadError<Infallible>> {
    let stream: Box<dyn Read + Send> = match input {
        Input::Stream(stream) => stream,
        Input::File(file) => Box::new(file),
    };
    let read = || Ok(compression::head(&mut compression::open(stream)?.bytes, bytes)?);
    read().map_err(|fault: Fault| Stop::from(fault).at(object))
}

pub(super) fn read_with<E>(
    limits: &Limits,
    input: Input,
    object: &str,
    format: Format,
    dialect: &Csv,
    from: Option<&Position>,
    emit: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<ReadStats, ReadError<E>> {
    let read = || match format {
        Format::Csv => {
            let text = text::open(input, dialect.encoding, from)?;
            let stored = text.stored.clone();
            csv::read(limits, text, object, dialect, from, emit).map(|stats| (stats, stored))
        }
        Format::Ndjson => {
            let text = text::open(input, Encoding::Utf8, from)?;
            let stored = text.stored.clone();
            ndjson::read(limits, text, object, from, emit).map(|stats| (stats, stored))
        }
        Format::Parquet => {
            let (file, stored) = parquet::open(input)?;
            parquet::read(limits, file, object, from, emit).map(|stats| (stats, stored))
        }
    };
    let (stats, stored) = read().map_err(|stopped: Stop<E>| stopped.at(object))?;
    Ok(ReadStats { bytes: stored.total(), ..stats })
}
