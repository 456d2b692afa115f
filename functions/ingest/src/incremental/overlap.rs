//! The records of an overlap: those that are in the raw dataset already, byte for byte, are not written again; those that are not, although
//! their time had been read before, came late. No state is kept for it: the rows of the last runs are read, and only when a record may be new.

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

/// How much is read at most.
const FILES: usize = 32;
const BYTES: u64 = 64 << 20;

/// Where the overlap can be looked up.
pub(crate) struct Overlap<'a> {
    lake: &'a Lake,
    dataset: &'a DatasetName,
    version: i64,
    column: &'a EventTimeColumn<'a>,
    /// Up to when records have been seen, and how many of them can come again.
    reached: Timestamp,
    records: u64,
    from: i64,
}

impl<'a> Overlap<'a> {
    /// With the raw dataset at a version; `None` where there is no overlap.
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

    /// Reads the newest rows until all of the overlap has been met.
    fn seen(&self) -> Result<SeenRecords, Error> {
        let came = |file: &DataFile| arrived_in(file).unwrap_or(0);
        let table = self.lake.table_at(self.dataset, self.version)?;
        let mut files = table.files(self.lake)?;
        files.sort_by_key(|file| std::cmp::Reverse(came(file)));
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
                        seen.records.entry(hash_of(text)).or_insert_with(|| came(file));
                        seen.times.entry(time).or_insert_with(|| came(file));
                    }
                }
            }
        }
        seen.is_whole = seen.records.len() as u64 >= self.records;
        Ok(seen)
    }
}

/// The records of the last runs that may come again.
#[derive(Default)]
struct SeenRecords {
    /// In which version each came last.
    records: HashMap<u128, i64>,
    /// And any other of its time.
    times: HashMap<i64, i64>,
    /// None of them is missing.
    is_whole: bool,
}

impl SeenRecords {
    /// Whether a record is there as it is, and nothing of its time has come behind it that it might undo.
    fn has(&self, hash: u128, time: i64) -> bool {
        self.records.get(&hash).is_some_and(|came| self.times.get(&time) == Some(came))
    }
}

/// Tells the records that are new from those that are there already.
pub(crate) struct OverlapFilter<'a> {
    overlap: Option<Overlap<'a>>,
    /// What may have come before, once it is asked for.
    seen: Option<SeenRecords>,
    /// Records that are in the raw dataset already, byte for byte.
    pub repeated: u64,
    pub late: Late,
}

impl<'a> OverlapFilter<'a> {
    /// Without an overlap everything is new.
    pub(crate) fn new(overlap: Option<Overlap<'a>>) -> OverlapFilter<'a> {
        OverlapFilter { overlap, seen: None, repeated: 0, late: Late::default() }
    }

    /// Whether a record is not there yet.
    pub(crate) fn is_new(&mut self, hash: u128, time: Option<i64>) -> Result<bool, Error> {
        let Some(overlap) = &self.overlap else { return Ok(true) };
        let Some(time) = time.filter(|time| *time <= overlap.reached.as_microsecond()) else { return Ok(true) };
        let seen = match &self.seen {
            Some(seen) => seen,
            None => self.seen.insert(overlap.seen()?),
        };
        let is_seen = seen.has(hash, time);
        self.repeated += u64::from(is_seen);
        // a record that is not there is certain not to have been there only where none is missing
        if !is_seen && seen.is_whole {
            self.late.add(time);
        }
        Ok(!is_seen)
    }
}
