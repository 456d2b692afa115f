//! Merges the existing, incoming and removed rows of one partition. In memory if they fit, else range by range of
//! the rows' order; the result is the same to the byte.

use polars::prelude::{DataFrame, IdxCa, IdxSize, PlSmallStr, Schema};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_lake::{DataFile, Partition, Table, Writer};
use tidemark_pipeline::{ColumnName, Contract, DatasetName};
use tidemark_transform::order::{Ranges, without};
use tidemark_transform::{bag, merge};

use crate::errors::{frame_error, polars_error};
use crate::frames::concat;
use crate::spill::{Spill, SpillBuffer, Spilled};
use crate::spill_manifest::SpillManifest;

/// When two rows count as the same row.
#[derive(Clone, Copy)]
pub(crate) enum Identity<'a> {
    /// By all columns: a bag, which may hold equal rows several times.
    Bag,
    Key {
        key: &'a [ColumnName],
        latest_by: Option<&'a ColumnName>,
    },
}

impl<'a> Identity<'a> {
    pub(crate) fn for_contract(contract: &'a Contract) -> Identity<'a> {
        match contract.key.as_slice() {
            [] => Identity::Bag,
            key => Identity::Key { key, latest_by: contract.latest_by.as_ref() },
        }
    }
}

/// How many rows of a partition were written, updated and so on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub written: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deduplicated: u64,
    pub deleted: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, more: Counts) {
        self.written += more.written;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.deduplicated += more.deduplicated;
        self.deleted += more.deleted;
    }
}

/// The existing, incoming and removed rows of one partition.
pub(crate) struct Parts<'a> {
    /// The dataset and its existing files of the partition.
    pub existing: Option<(&'a Table, &'a [DataFile])>,
    pub incoming: Spilled<'a>,
    /// Rows of a bag whose source was removed.
    pub removed: Spilled<'a>,
    /// Keys whose newest version is in another partition: none of their rows stays here.
    pub superseded: Option<DataFrame>,
}

/// Copies of the rows in memory during a merge (read, concatenated, encoded, sorted, gathered, written). Measured.
const COPIES: usize = 8;
/// Rows of the sample from which the bounds of ranges are taken.
const SAMPLE: usize = 20_000;
/// Estimated bytes in memory for each byte of Parquet, if nothing better is known.
const INFLATION: u64 = 8;

/// Merges into one dataset.
pub(crate) struct Merging<'a> {
    pub context: &'a Context<'a>,
    pub dataset: &'a DatasetName,
    pub schema: &'a Schema,
    pub identity: Identity<'a>,
    pub buffer: &'a SpillBuffer,
}

impl Merging<'_> {
    /// Writes the merged partition. Writes no file if no rows remain.
    pub(crate) fn write(&self, partition: &Partition, parts: &Parts<'_>) -> Result<(Vec<DataFile>, Counts), Error> {
        let mut writer = Writer::new(self.context.lake, self.dataset, self.schema, partition.clone());
        let mut counts = Counts::default();
        if self.bytes(parts).saturating_mul(COPIES) <= self.memory() {
            let existing = self.all(self.existing(parts))?;
            let incoming = parts.incoming.whole()?;
            self.merge(
                &mut writer,
                &mut counts,
                existing,
                incoming,
                parts.removed.whole()?,
                parts.superseded.as_ref(),
            )?;
        } else {
            self.merge_in_ranges(&mut writer, &mut counts, parts)?;
        }
        Ok((writer.finish(false)?, counts))
    }

    fn memory(&self) -> usize {
        usize::try_from(self.context.memory).unwrap_or(usize::MAX)
    }

    /// Bytes of all rows in memory.
    fn bytes(&self, parts: &Parts<'_>) -> usize {
        let Spilled { bytes, rows, .. } = parts.incoming;
        let existing: u64 = parts.existing.map_or(0, |(_, files)| match rows {
            0 => files.iter().map(|file| file.bytes * INFLATION).sum(),
            rows => files.iter().map(|file| file.rows).sum::<u64>() * (bytes / rows + 1),
        });
        usize::try_from(bytes + parts.removed.bytes + existing).unwrap_or(usize::MAX)
    }

    /// The existing rows, batch by batch, in the columns of the current contract.
    fn existing<'p>(&'p self, parts: &'p Parts<'_>) -> Box<dyn Iterator<Item = Result<DataFrame, Error>> + 'p> {
        match parts.existing {
            Some((table, files)) => self.batches(table, files),
            None => Box::new(std::iter::empty()),
        }
    }

    fn batches<'p>(
        &'p self,
        table: &'p Table,
        files: &'p [DataFile],
    ) -> Box<dyn Iterator<Item = Result<DataFrame, Error>> + 'p> {
        let names: Vec<PlSmallStr> = self.schema.iter_names().cloned().collect();
        let batches = files.iter().flat_map(move |file| -> Box<dyn Iterator<Item = Result<DataFrame, Error>>> {
            match table.batches(self.context.lake, file) {
                Ok(batches) => Box::new(batches.map(|rows| rows.map_err(Error::from))),
                Err(error) => Box::new(std::iter::once(Err(error.into()))),
            }
        });
        Box::new(batches.map(move |rows| {
            let failed = |error| polars_error("the dataset lacks a column of its contract", error);
            rows?.select(names.clone()).map_err(failed)
        }))
    }

    fn all(&self, rows: impl Iterator<Item = Result<DataFrame, Error>>) -> Result<Option<DataFrame>, Error> {
        let frames: Vec<_> = rows.collect::<Result<_, _>>()?;
        if frames.is_empty() { Ok(None) } else { concat(frames).map(Some) }
    }

    /// Splits the rows into ranges of their output order, and merges range after range.
    fn merge_in_ranges(&self, writer: &mut Writer<'_>, counts: &mut Counts, parts: &Parts<'_>) -> Result<(), Error> {
        let wanted = self.bytes(parts).saturating_mul(COPIES).div_ceil(self.memory().max(1)) + 1;
        let ranges = Ranges::from_sample(&self.sample(parts)?, self.order(), wanted).map_err(frame_error)?;
        let bytes = self.bytes(parts) as u64;
        let buffer = || self.buffer.for_task(bytes, self.memory() / COPIES / 2);
        let buffers = [buffer(), buffer(), buffer()];
        let spread = |buffer: &SpillBuffer, rows: &mut dyn Iterator<Item = Result<DataFrame, Error>>| {
            let mut spill = Spill::new(buffer);
            for frame in rows {
                for (range, rows) in ranges.split(&frame?).map_err(frame_error)? {
                    spill.push(range, rows)?;
                }
            }
            spill.finish()
        };
        let existing = spread(&buffers[0], &mut self.existing(parts))?;
        let incoming = spread(&buffers[1], &mut parts.incoming.frames())?;
        let removed = spread(&buffers[2], &mut parts.removed.frames())?;
        for range in 0..ranges.count() {
            let taken = |buffer: &SpillBuffer, rows: &SpillManifest<usize>| match rows.get(&range) {
                Some(chunks) => buffer.take(chunks)?.whole(),
                None => Ok(None),
            };
            let existing = taken(&buffers[0], &existing)?;
            let (incoming, removed) = (taken(&buffers[1], &incoming)?, taken(&buffers[2], &removed)?);
            self.merge(writer, counts, existing, incoming, removed, parts.superseded.as_ref())?;
        }
        Ok(())
    }

    /// The columns by which the rows of the dataset are ordered.
    fn order(&self) -> Vec<String> {
        match self.identity {
            Identity::Bag => self.schema.iter_names().map(|name| name.to_string()).collect(),
            Identity::Key { key, .. } => key.iter().map(|name| name.to_string()).collect(),
        }
    }

    /// A sample of rows from all parts of the input.
    fn sample(&self, parts: &Parts<'_>) -> Result<DataFrame, Error> {
        const CHUNKS: usize = 16;
        let mut frames = Vec::new();
        let mut take = |frame: DataFrame| {
            let step = (frame.height() * CHUNKS / SAMPLE).max(1);
            let rows = IdxCa::from_vec("row".into(), (0..frame.height() as IdxSize).step_by(step).collect());
            frames.push(frame.take(&rows).map_err(|error| polars_error("rows cannot be sampled", error))?);
            Ok::<_, Error>(())
        };
        for frame in parts.incoming.some(CHUNKS) {
            take(frame?)?;
        }
        // as many files as chunks, and only the first batch of each
        if let Some((table, files)) = parts.existing {
            for file in files.iter().step_by(files.len().div_ceil(CHUNKS).max(1)) {
                if let Some(frame) = self.batches(table, std::slice::from_ref(file)).next() {
                    take(frame?)?;
                }
            }
        }
        concat(frames)
    }

    /// Merges rows in memory.
    fn merge(
        &self,
        writer: &mut Writer<'_>,
        counts: &mut Counts,
        existing: Option<DataFrame>,
        incoming: Option<DataFrame>,
        removed: Option<DataFrame>,
        superseded: Option<&DataFrame>,
    ) -> Result<(), Error> {
        let nothing = || DataFrame::empty_with_schema(self.schema);
        let incoming = incoming.unwrap_or_else(nothing);
        match self.identity {
            Identity::Bag => {
                let (existing, removed) = (existing.unwrap_or_else(nothing), removed.unwrap_or_else(nothing));
                // rows that are both removed and incoming have stayed
                let (_, stayed) = bag::subtract(&incoming, &removed).map_err(frame_error)?;
                let (rest, found) = bag::subtract(&existing, &removed).map_err(frame_error)?;
                if found != removed.height() as u64 {
                    let message = format!(
                        "dataset {}: {} rows should be removed, but only {found} of them exist",
                        self.dataset,
                        removed.height()
                    );
                    return Err(Error::new(ErrorKind::Data, message)
                        .hint("another program changed the dataset; run with --full"));
                }
                let written = incoming.height() as u64 - stayed;
                counts.add(Counts { written, unchanged: stayed, deleted: found - stayed, ..Counts::default() });
                writer.write(&bag::add(&rest, &incoming).map_err(frame_error)?)?;
            }
            Identity::Key { key, latest_by } => {
                let stay = |rows: DataFrame| match superseded {
                    Some(superseded) => without(rows, superseded, key).map_err(frame_error),
                    None => Ok(rows),
                };
                let existing = existing.map(stay).transpose()?;
                let incoming = stay(incoming)?;
                let merged = merge::merge(existing.as_ref(), &incoming, key, latest_by).map_err(frame_error)?;
                counts.add(Counts {
                    written: merged.written,
                    updated: merged.updated,
                    unchanged: merged.unchanged,
                    deduplicated: merged.deduplicated,
                    deleted: 0,
                });
                writer.write(&merged.rows)?;
            }
        }
        Ok(())
    }
}
