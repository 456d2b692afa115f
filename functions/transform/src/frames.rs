//! Concatenation of frames, and their Parquet encoding for spilled rows.

use std::io::Cursor;

use bytes::Bytes;
use polars::io::parquet::write::ParquetWriter;
use polars::prelude::{DataFrame, ParquetCompression, ParquetReader, SerReader as _, StatisticsOptions};
use polars_parquet::write::ZstdLevel;
use tidemark_flow::Error;

use crate::errors::polars_error;

/// Concatenates frames of one schema.
pub(crate) fn concat(frames: Vec<DataFrame>) -> Result<DataFrame, Error> {
    let mut frames = frames.into_iter();
    let Some(mut all) = frames.next() else { return Ok(DataFrame::empty()) };
    for frame in frames {
        all.vstack_mut_owned(frame).map_err(|error| polars_error("rows of different columns", error))?;
    }
    Ok(all)
}

/// Encodes rows as Parquet: compressed well if `is_small` (for a network), else fast (for the local disk).
pub(crate) fn encode(mut rows: DataFrame, is_small: bool) -> Result<Vec<u8>, Error> {
    let failed = |error| polars_error("rows cannot be spilled", error);
    let compression = match is_small {
        true => ParquetCompression::Zstd(Some(ZstdLevel::try_new(1).map_err(failed)?)),
        false => ParquetCompression::Lz4Raw,
    };
    let mut encoded = Vec::new();
    ParquetWriter::new(&mut encoded)
        .with_compression(compression)
        .with_statistics(StatisticsOptions::empty())
        .finish(&mut rows)
        .map_err(failed)?;
    Ok(encoded)
}

/// Decodes rows from Parquet.
pub(crate) fn decode(encoded: Bytes) -> Result<DataFrame, Error> {
    let failed = |error| polars_error("spilled rows cannot be read back", error);
    ParquetReader::new(Cursor::new(encoded)).finish().map_err(failed)
}
