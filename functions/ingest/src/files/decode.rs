//! The decoding of one stored object into raw frames. It lists nothing, writes nothing and holds no object whole (but see
//! [`Input::Stream`]).

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

/// Reads one object and hands out its raw frames in order, each of at most 64 Ki rows and about 8 MiB of text, whatever
/// the object's size. `object` is the name that goes into `_object` and into messages.
///
/// A raw frame has the object's own columns (NDJSON has none), then `_text`, `_fault`, `_object`, `_row`. As soon as the
/// columns are known at least one frame is handed out, an empty one if there are no rows; an empty CSV file without given
/// columns hands out nothing.
///
/// With `from`, which must be a [`Batch`]'s of the same object, reading goes on with that batch. What is returned is of the whole object
/// all the same.
///
/// # Errors
/// A [`ReadError`] may come after frames were handed out: what was handed out is then to be dropped, since the object was
/// not read to its end.
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

/// The first bytes of an object, unpacked: enough to guess what it is.
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
