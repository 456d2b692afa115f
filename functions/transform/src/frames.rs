//! Frames put below each other, and as Parquet for the way from one task to another.

use std::io::Cursor;

use bytes::Bytes;
use polars::io::parquet::write::ParquetWriter;
use polars::prelude::{DataFrame, ParquetCompression, ParquetReader, SerReader as _, StatisticsOptions};
use polars_parquet::write::ZstdLevel;
use tidemark_flow::Error;

use crate::failures::polars_failure;

/// Frames of one schema below each other.
pub(crate) fn concat(frames: Vec<DataFrame>) -> Result<DataFrame, Error> {
    let mut frames = frames.into_iter();
    let Some(mut all) = frames.next() else { return Ok(DataFrame::empty()) };
    for frame in frames {
        all.vstack_mut_owned(frame).map_err(|error| polars_failure("rows of different columns", error))?;
    }
    Ok(all)
}

/// Rows as Parquet: small where they go over a network, quick where they stay on this machine.
pub(crate) fn encode(mut rows: DataFrame, is_small: bool) -> Result<Vec<u8>, Error> {
    let failed = |error| polars_failure("rows cannot be spilled", error);
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

/// Rows out of Parquet.
pub(crate) fn decode(encoded: Bytes) -> Result<DataFrame, Error> {
    let failed = |error| polars_failure("spilled rows cannot be read back", error);
    ParquetReader::new(Cursor::new(encoded)).finish().map_err(failed)
}
