//! Parquet into raw frames, with its own columns and with types that a table supports.
//!
//! Types are those of the Parquet schema. The Arrow schema that some writers add to the metadata is ignored, so that a file means the same
//! whichever program wrote it. A panic of the decoder makes only the file fail.

mod guard;
mod json;
mod time;
mod types;

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use polars::io::mmap::MmapBytesReader;
use polars::prelude::*;
use tidemark_pipeline::raw;

use super::batch::Batch;
use super::columns::column_names;
use super::compression::{self, Stored, Unpacked};
use super::error::{Fault, Stop};
use super::frame;
use super::input::Input;
use super::limits::Limits;
use super::position::Position;
use super::stats::ReadStats;

const MAGIC: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";
/// Maximum size, in bytes, of a Parquet object that is not a plain local file and is held in memory.
const MAX_HELD: u64 = 1 << 30;

const DAMAGED: &str = "the file is damaged or truncated; write or copy it again";

/// Opens a plain file directly, and reads everything else into memory.
pub(super) fn open(input: Input) -> Result<(Box<dyn MmapBytesReader>, Stored), Fault> {
    let stream: Box<dyn Read + Send> = match input {
        Input::Stream(stream) => stream,
        Input::File(mut file) => {
            if let Some(length) = plain(&mut file)? {
                return Ok((Box::new(file), Stored::for_size(length)));
            }
            Box::new(file)
        }
    };
    let Unpacked { bytes, stored, .. } = compression::open(stream)?;
    let mut held = Vec::new();
    bytes.take(MAX_HELD + 1).read_to_end(&mut held)?;
    if held.len() as u64 > MAX_HELD {
        let message = "a Parquet file that is compressed as a whole or streamed may have 1 GiB at most".to_owned();
        return Err(Fault::file(message, "use the plain file: Parquet is compressed inside"));
    }
    check_magic(&held[..held.len().min(4)], &held[held.len().saturating_sub(4)..])?;
    Ok((Box::new(Cursor::new(held)), stored))
}

/// The length of a Parquet file that can be mapped into memory. None for a compressed file or a pipe.
fn plain(file: &mut File) -> Result<Option<u64>, Fault> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0))?;
    let head = compression::head(file, 4)?;
    let length = metadata.len();
    let packed = compression::is_packed(&head);
    if !packed {
        file.seek(SeekFrom::Start(length.saturating_sub(4)))?;
        check_magic(&head, &compression::head(file, 4)?)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok((!packed).then_some(length))
}

fn check_magic(head: &[u8], tail: &[u8]) -> Result<(), Fault> {
    match (head, tail) {
        (MAGIC, MAGIC) => Ok(()),
        (ENCRYPTED, _) | (_, ENCRYPTED) => {
            Err(Fault::file("the Parquet file is encrypted", "write it without Parquet's modular encryption"))
        }
        (b"", _) => Err(Fault::file("the file is empty, not Parquet", DAMAGED)),
        (MAGIC, _) => Err(Fault::file("the Parquet file has no footer at its end", DAMAGED)),
        _ => Err(Fault::file("this is not a Parquet file: it does not start with PAR1", "check `format`")),
    }
}

pub(super) fn read<E>(
    limits: &Limits,
    mut file: Box<dyn MmapBytesReader>,
    object: &str,
    from: Option<&Position>,
    emit: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<ReadStats, Stop<E>> {
    let file = &mut file;
    let metadata = guard::decode("the footer", || {
        let mut metadata = FileMetadata::clone(ParquetReader::new(&mut *file).get_metadata()?);
        metadata.key_value_metadata = None;
        Ok(metadata)
    })?;
    let mut stats = from.map(Position::stats).unwrap_or_default();
    // rows that an earlier read has emitted, and that are still to be skipped
    let mut passed = usize::try_from(stats.rows).unwrap_or(usize::MAX);
    for group in 0..metadata.row_groups.len() {
        let height = metadata.row_groups[group].num_rows();
        if passed >= height {
            passed -= height;
            continue;
        }
        // One row group at a time, as if it were the whole file: its rows count from 0.
        let mut part = metadata.clone();
        part.row_groups = vec![metadata.row_groups[group].clone()];
        part.num_rows = height;
        let part = Arc::new(part);
        let step = rows_per_frame(&part, limits)?;
        for start in (std::mem::take(&mut passed)..part.num_rows).step_by(step) {
            let height = step.min(part.num_rows - start);
            let what = format!("row group {}, from row {} on", group + 1, stats.rows + 1);
            let columns = decode(file, &part, start, height, &what)?;
            let rows = raw_frame(columns, height, stats.rows, object, &what)?;
            let from = Position::new(&stats, None);
            stats.rows += height as u64;
            emit(Batch { rows, from }).map_err(Stop::Emit)?;
        }
    }
    if stats.rows == 0 {
        let columns = decode(file, &Arc::new(metadata), 0, 0, "the schema")?;
        let rows = raw_frame(columns, 0, 0, object, "the schema")?;
        emit(Batch { rows, from: Position::new(&stats, None) }).map_err(Stop::Emit)?;
    }
    Ok(stats)
}

/// How many rows of a row group are decoded at a time, by the average row size in its metadata.
fn rows_per_frame(group: &FileMetadata, limits: &Limits) -> Result<usize, Fault> {
    let bytes: usize = group.row_groups.iter().map(|group| group.total_byte_size()).sum();
    let of_a_row = (bytes / group.num_rows.max(1)).max(1);
    if of_a_row > limits.line {
        let message = format!("a row has {} MiB on average, more than {} MiB", of_a_row >> 20, limits.line >> 20);
        return Err(Fault::file(message, "remove the column with these values"));
    }
    Ok((limits.text / of_a_row).clamp(1, limits.rows))
}

fn decode(
    file: &mut Box<dyn MmapBytesReader>,
    metadata: &Arc<FileMetadata>,
    start: usize,
    height: usize,
    what: &str,
) -> Result<DataFrame, Fault> {
    guard::decode(what, || {
        let mut reader =
            ParquetReader::new(file).read_parallel(ParallelStrategy::None).with_slice(Some((start, height)));
        reader.set_metadata(metadata.clone());
        reader.finish()
    })
}

/// Builds a raw frame of decoded columns, with valid names and types, and the origin columns. `before` is the number of rows before it.
fn raw_frame(decoded: DataFrame, height: usize, before: u64, object: &str, what: &str) -> Result<DataFrame, Fault> {
    let names = column_names(decoded.columns().iter().map(|column| column.name().as_str()))?;
    let mut columns = Vec::with_capacity(names.len() + raw::ORIGIN.len());
    for (column, name) in decoded.columns().iter().zip(names) {
        // The decoder does not check the number of values against the footer.
        if column.len() != height {
            let message = format!("{what}: column {name:?} has {} of {height} values", column.len());
            return Err(Fault::file(message, DAMAGED));
        }
        let held = guard::decode(what, || types::to_table_type(column.as_materialized_series()))?;
        columns.push(held.with_name(name.into()).into_column());
    }
    let first = before as i64 + 1;
    columns.extend(frame::origin(object, (first..first + height as i64).collect(), &[], None));
    frame::build(height, columns)
}
