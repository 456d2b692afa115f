//! The records of an overlap, which the source returns again. Those that are in the raw dataset already, byte for byte, are not written
//! again; those that are not, although their time had been read before, came late. No state is kept for this: the rows of the last runs are
//! read, and only if the answer has records in the overlap.

use std::collections::HashMap;

use jiff::Timestamp;
use tidemark_flow::Error;
use tidemark_lake::{DataFile, Lake};
use tidemark_pipeline::DatasetName;
use tidemark_pipeline::raw::TEXT;

use super::digest::{OverlapDigest, hash_of};
use super::event_time::EventTimeColumn;
use super::late::Late;
use super::window;
use crate::raw_dataset::arrived_in;

/// Maximum number of files, and bytes, that are read.
const FILES: usize = 32;
const BYTES: u64 = 64 << 20;

/// The rows of the raw dataset in which records of the overlap are looked up.
pub(crate) struct Overlap<'a> {
    lake: &'a Lake,
    dataset: &'a DatasetName,
    version: i64,
    column: &'a EventTimeColumn<'a>,
    /// The latest event time already read, and how many records can be returned again.
    reached: Timestamp,
    records: u64,
    from: i64,
}

impl<'a> Overlap<'a> {
    /// For the raw dataset at `version`. Returns None if there is no overlap.
    pub(crate) fn new(
        lake: &'a Lake,
        dataset: &'a DatasetName,
        version: Option<i64>,
        column: Option<&'a EventTimeColumn<'a>>,
        reached: Option<Timestamp>,
        digest: Option<OverlapDigest>,
    ) -> Option<Overlap<'a>> {
        let (version, column, reached, digest) = (version?, column?, reached?, digest?);
        let from = window::since(column.bounds, Some(reached))?.as_microsecond();
        Some(Overlap { lake, dataset, version, column, reached, records: digest.records, from })
    }

    /// Reads the newest rows until all records of the overlap have been found.
    fn seen(&self) -> Result<SeenRecords, Error> {
        let arrived = |file: &DataFile| arrived_in(file).unwrap_or(0);
        let table = self.lake.table_at(self.dataset, self.version)?;
        let mut files = table.files(self.lake)?;
        files.sort_by_key(|file| std::cmp::Reverse(arrived(file)));
        let (mut seen, mut bytes) = (SeenRecords::default(), 0);
        for file in files.iter().take(FILES) {
            bytes += file.bytes;
            if seen.records.len() as u64 >= self.records || bytes > BYTES {
                break;
            }
            for rows in table.batches(self.lake, file)? {
                let rows = rows?;
                let Ok(texts) = rows.column(TEXT).and_then(|texts| texts.str()) else { continue };
                for (text, time) in texts.iter().zip(self.column.times(texts)?) {
                    if let (Some(text), Some(time)) = (text, time)
                        && time >= self.from
                    {
                        seen.records.entry(hash_of(text)).or_insert_with(|| arrived(file));
                        seen.times.entry(time).or_insert_with(|| arrived(file));
                    }
                }
            }
        }
        seen.is_whole = seen.records.len() as u64 >= self.records;
        Ok(seen)
    }
}

/// The records of the last runs that the source may return again.
#[derive(Default)]
struct SeenRecords {
    /// By hash: the last version in which the record arrived.
    records: HashMap<u128, i64>,
    /// By time: the last version in which a record with this time arrived.
    times: HashMap<i64, i64>,
    /// Whether all records of the overlap have been found.
    is_whole: bool,
}

impl SeenRecords {
    /// Whether the identical record is there, and no record of the same time has arrived after it (which writing it again might undo).
    fn has(&self, hash: u128, time: i64) -> bool {
        self.records.get(&hash).is_some_and(|arrived| self.times.get(&time) == Some(arrived))
    }
}

/// Filters out records that are in the raw dataset already.
pub(crate) struct OverlapFilter<'a> {
    overlap: Option<Overlap<'a>>,
    /// Read on first use.
    seen: Option<SeenRecords>,
    /// Records that are in the raw dataset already, byte for byte.
    pub repeated: u64,
    pub late: Late,
}

impl<'a> OverlapFilter<'a> {
    /// Without an overlap, all records are new.
    pub(crate) fn new(overlap: Option<Overlap<'a>>) -> OverlapFilter<'a> {
        OverlapFilter { overlap, seen: None, repeated: 0, late: Late::default() }
    }

    /// Whether a record is not in the raw dataset yet.
    pub(crate) fn is_new(&mut self, hash: u128, time: Option<i64>) -> Result<bool, Error> {
        let Some(overlap) = &self.overlap else { return Ok(true) };
        let Some(time) = time.filter(|time| *time <= overlap.reached.as_microsecond()) else { return Ok(true) };
        let seen = match &self.seen {
            Some(seen) => seen,
            None => self.seen.insert(overlap.seen()?),
        };
        let is_seen = seen.has(hash, time);
        self.repeated += u64::from(is_seen);
        // only if the overlap was found completely is it certain that the record came late
        if !is_seen && seen.is_whole {
            self.late.add(time);
        }
        Ok(!is_seen)
    }
}
