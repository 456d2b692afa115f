//! Source `files`: the decoding of one stored object into raw frames. It lists nothing, writes nothing and holds no
//! object whole (but see [`Input::Stream`]).
//!
//! | layer | file | turns |
//! |---|---|---|
//! | stored bytes | `compression` | gzip, zstd or plain into the bytes that were compressed |
//! | text | `text` | byte order mark and Windows-1252 into UTF-8; refuses what is no text |
//! | records | `csv`, `ndjson`, `parquet` | bytes into rows |
//! | frames | `frame` | rows into raw frames with their origin |
//! | positions | `position` | where a frame begins into what it takes to read on from there another time |

mod compression;
mod csv;
mod error;
mod frame;
pub(crate) mod listing;
mod ndjson;
pub(crate) mod object;
mod parquet;
mod position;
pub(crate) mod progress;
mod text;
mod window;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;

use polars::prelude::DataFrame;
use tidemark_pipeline::{Csv, Format};

pub use error::{FileFault, ReadError};
pub use position::Position;

/// Where the bytes of an object come from.
pub enum Input {
    /// Read once, front to back; from [`Position::stored`] on where reading goes on. Parquet needs to seek: a stream of it is held in
    /// memory, up to 1 GiB.
    Stream(Box<dyn Read + Send>),
    /// On this machine; Parquet is mapped into memory rather than read.
    File(File),
}

/// A raw frame, and where it begins.
#[derive(Debug)]
pub struct Batch {
    pub rows: DataFrame,
    pub from: Position,
}

/// What one object held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Records, the broken ones included; blank lines and the header are none.
    pub rows: u64,
    /// Records that went out with `_fault`.
    pub broken: u64,
    /// Bytes as stored (compressed where the object is).
    pub bytes: u64,
}

/// How much is held at a time, and where a record stops being believable.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes asked of the input at a time.
    chunk: usize,
    /// Rows of a frame.
    rows: usize,
    /// Bytes of text of a frame; one record may exceed it.
    text: usize,
    /// Bytes of a line.
    line: usize,
    /// Bytes, and lines, over which a quoted field may go on after the line it starts in.
    quoted_bytes: usize,
    quoted_lines: u64,
    /// Bytes of the text kept of a line that is longer than `line`.
    excerpt: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            chunk: 1 << 20,
            rows: 1 << 16,
            text: 8 << 20,
            line: 64 << 20,
            quoted_bytes: 1 << 20,
            quoted_lines: 10_000,
            excerpt: 1 << 20,
        }
    }
}

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
    read().map_err(|fault: error::Fault| error::Stop::from(fault).at(object))
}

fn read_with<E>(
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
            let text = text::open(input, tidemark_pipeline::Encoding::Utf8, from)?;
            let stored = text.stored.clone();
            ndjson::read(limits, text, object, from, emit).map(|stats| (stats, stored))
        }
        Format::Parquet => {
            let (file, stored) = parquet::open(input)?;
            parquet::read(limits, file, object, from, emit).map(|stats| (stats, stored))
        }
    };
    let (stats, stored) = read().map_err(|stopped: error::Stop<E>| stopped.at(object))?;
    Ok(ReadStats { bytes: stored.total(), ..stats })
}

/// The format a name promises: `.csv`, `.tsv` (its delimiter is still the definition's), `.ndjson`, `.jsonl`, `.json`
/// (newline-delimited), `.parquet`, each also with `.gz` or `.zst` after it; letters in any case.
pub fn format_of(object: &str) -> Option<Format> {
    let name = object.rsplit(['/', '\\']).next()?.to_ascii_lowercase();
    let plain = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let (stem, extension) = plain.rsplit_once('.')?;
    match extension {
        _ if stem.is_empty() => None,
        "csv" | "tsv" => Some(Format::Csv),
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}
