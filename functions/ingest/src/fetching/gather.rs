//! Records of pages into raw rows on their way to files, and what is to be known of them all.

use jiff::Timestamp;
use polars::prelude::*;
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{DataFile, Writer};
use tidemark_pipeline::http::Since;
use tidemark_transform::Times;

use super::bookmark::{self, Tail};
use crate::source::files::{FAULT, OBJECT, ROW, TEXT};
use crate::source::http::page::fault;

/// Number of the page in its window; `_row` is the record's number in the page.
pub(crate) const PAGE: &str = "_page";

/// Bytes of text, and records, of a frame.
const FRAME_BYTES: usize = 8 << 20;
const FRAME_ROWS: usize = 1 << 16;

/// Records whose times may be asked for later are forgotten down to the tail when there are more.
const TAIL: usize = 1 << 16;

/// The time column of the records.
pub(crate) struct Clocked<'a> {
    pub since: &'a Since,
    pub times: Times,
    /// What one is, in the column's numbers: microseconds.
    pub unit: i64,
    /// Later than this no record can be.
    pub now: Timestamp,
}

/// Everything a window has brought.
pub(crate) struct Gathered<'a> {
    writer: Writer<'a>,
    object: &'a str,
    clocked: Option<&'a Clocked<'a>>,
    texts: StringChunkedBuilder,
    origin: Vec<(i64, i64)>,
    faults: Vec<(usize, &'static str)>,
    bytes: usize,
    pub records: u64,
    pub broken: u64,
    /// Records without a time that can be read, and with one that is still to come.
    pub missing: u64,
    pub ahead: u64,
    pub first_missing: Option<(u32, usize)>,
    pub greatest: Option<Timestamp>,
    /// All of them.
    pub all: Tail,
    /// Time and hash of those that may be part of the next tail.
    late: Vec<(i64, u128)>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(writer: Writer<'a>, object: &'a str, clocked: Option<&'a Clocked<'a>>) -> Gathered<'a> {
        Gathered {
            writer,
            object,
            clocked,
            texts: StringChunkedBuilder::new(TEXT.into(), 0),
            origin: Vec::new(),
            faults: Vec::new(),
            bytes: 0,
            records: 0,
            broken: 0,
            missing: 0,
            ahead: 0,
            first_missing: None,
            greatest: None,
            all: Tail::default(),
            late: Vec::new(),
        }
    }

    /// Takes in the records of a page.
    pub(crate) fn page(&mut self, page: u32, records: &[&str]) -> Result<(), Failure> {
        let mut hashes = Vec::with_capacity(records.len());
        for (nth, record) in records.iter().enumerate() {
            if let Some(fault) = fault(record) {
                self.faults.push((self.origin.len(), fault));
                self.broken += 1;
            }
            self.texts.append_value(record);
            self.origin.push((i64::from(page), nth as i64 + 1));
            self.bytes += record.len();
            let hash = hash_of(record);
            self.all.add(hash);
            hashes.push(hash);
        }
        self.records += records.len() as u64;
        self.clock(page, records, &hashes)?;
        if self.bytes >= FRAME_BYTES || self.origin.len() >= FRAME_ROWS {
            self.write()?;
        }
        Ok(())
    }

    fn clock(&mut self, page: u32, records: &[&str], hashes: &[u128]) -> Result<(), Failure> {
        let Some(clocked) = self.clocked else { return Ok(()) };
        let texts = StringChunked::from_slice(TEXT.into(), records);
        let times = clocked.times.of(&texts).map_err(|error| unreadable(error))?;
        for (nth, (time, hash)) in times.into_iter().zip(hashes).enumerate() {
            let Some(time) = time.and_then(|time| time.checked_mul(clocked.unit)) else {
                self.missing += 1;
                self.first_missing.get_or_insert((page, nth + 1));
                continue;
            };
            self.late.push((time, *hash));
            let Ok(time) = Timestamp::from_microsecond(time) else { continue };
            // a typing error of the year 2099 must not hide what comes until then
            if time > clocked.now {
                self.ahead += 1;
            }
            self.greatest = self.greatest.max(Some(time.min(clocked.now)));
        }
        if self.late.len() > TAIL {
            let from = bookmark::from(clocked.since, self.greatest).map_or(i64::MIN, Timestamp::as_microsecond);
            self.late.retain(|(time, _)| *time >= from);
        }
        Ok(())
    }

    /// What the next request would bring if nothing were new; `None` where that cannot be known.
    pub(crate) fn tail(&self, reached: Option<Timestamp>) -> Option<Tail> {
        let Some(clocked) = self.clocked else { return Some(self.all) };
        let from = bookmark::from(clocked.since, reached)?.as_microsecond();
        let mut tail = Tail::default();
        self.late.iter().filter(|(time, _)| *time >= from).for_each(|(_, hash)| tail.add(*hash));
        (self.missing == 0).then_some(tail)
    }

    /// The records up to a time, with their times: what had been seen when that was the latest, and what has come late.
    pub(crate) fn up_to(&self, time: Timestamp) -> impl Iterator<Item = (Timestamp, u128)> {
        let end = time.as_microsecond();
        let before = self.late.iter().filter(move |(time, _)| *time <= end);
        before.filter_map(|(time, hash)| Some((Timestamp::from_microsecond(*time).ok()?, *hash)))
    }

    fn write(&mut self) -> Result<(), Failure> {
        let height = self.origin.len();
        if height == 0 {
            return Ok(());
        }
        let texts = std::mem::replace(&mut self.texts, StringChunkedBuilder::new(TEXT.into(), 0)).finish();
        let mut faults: Vec<Option<&str>> = vec![None; height];
        for (row, fault) in self.faults.drain(..) {
            faults[row] = Some(fault);
        }
        let (pages, rows): (Vec<i64>, Vec<i64>) = self.origin.drain(..).unzip();
        self.bytes = 0;
        let object = Scalar::new(DataType::String, AnyValue::StringOwned(self.object.into()));
        let columns = vec![
            texts.into_column(),
            faults.into_iter().collect::<StringChunked>().with_name(FAULT.into()).into_column(),
            Column::new_scalar(OBJECT.into(), object, height),
            Int64Chunked::from_vec(PAGE.into(), pages).into_column(),
            Int64Chunked::from_vec(ROW.into(), rows).into_column(),
        ];
        let frame = DataFrame::new(height, columns).map_err(unreadable)?;
        Ok(self.writer.write(&frame)?)
    }

    /// The files, all on the store.
    pub(crate) fn finish(mut self) -> Result<Vec<DataFile>, Failure> {
        self.write()?;
        Ok(self.writer.finish(false)?)
    }
}

/// 128 bits of BLAKE3.
pub(crate) fn hash_of(record: &str) -> u128 {
    let hash = blake3::hash(record.as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

fn unreadable(error: PolarsError) -> Failure {
    Failure::new(Kind::Bug, "the records of a page make no table").because(error)
}
