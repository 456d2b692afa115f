//! Records of pages into raw rows on their way to files, and what is to be known of them all.

use jiff::Timestamp;
use polars::prelude::*;
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{DataFile, Writer};
use tidemark_pipeline::http::Since;
use tidemark_pipeline::raw::{FAULT, OBJECT, PAGE, ROW, TEXT};
use tidemark_transform::Times;

use crate::http::page::fault;
use crate::incremental::bookmark::{self, Tail};
use crate::incremental::seen::{Known, Late, Overlap};

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
    pub now: Timestamp,
}

impl Clocked<'_> {
    /// When each record was changed, in microseconds since 1970; `None` where it has no time that can be read.
    pub(crate) fn of(&self, records: &StringChunked) -> Result<Vec<Option<i64>>, Failure> {
        let times = self.times.of(records).map_err(unreadable)?;
        Ok(times.into_iter().map(|time| time.and_then(|time| time.checked_mul(self.unit))).collect())
    }
}

/// A record that waits to be written.
struct Waiting {
    page: i64,
    row: i64,
    hash: u128,
    time: Option<i64>,
    fault: Option<&'static str>,
}

/// Everything a window has brought.
pub(crate) struct Gathered<'a> {
    writer: Writer<'a>,
    object: &'a str,
    clocked: Option<&'a Clocked<'a>>,
    texts: StringChunkedBuilder,
    waiting: Vec<Waiting>,
    bytes: usize,
    /// What may have come before, and what of it has.
    overlap: Option<Overlap<'a>>,
    known: Option<Known>,
    /// Records that are there already, to the letter.
    pub repeated: u64,
    pub late: Late,
    pub records: u64,
    pub broken: u64,
    /// Records without a time that can be read, and with one that is still to come.
    pub missing: u64,
    pub ahead: u64,
    pub first_missing: Option<(u32, usize)>,
    /// The greatest time, but none after the window was begun.
    pub greatest: Option<Timestamp>,
    pub begun_at: Timestamp,
    /// All of them.
    pub all: Tail,
    /// Time and hash of those that may be part of the next tail.
    recent: Vec<(i64, u128)>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(
        writer: Writer<'a>,
        object: &'a str,
        clocked: Option<&'a Clocked<'a>>,
        overlap: Option<Overlap<'a>>,
        begun_at: Timestamp,
    ) -> Gathered<'a> {
        Gathered {
            writer,
            object,
            clocked,
            texts: StringChunkedBuilder::new(TEXT.into(), 0),
            waiting: Vec::new(),
            bytes: 0,
            overlap,
            known: None,
            repeated: 0,
            late: Late::default(),
            records: 0,
            broken: 0,
            missing: 0,
            ahead: 0,
            first_missing: None,
            greatest: None,
            begun_at,
            all: Tail::default(),
            recent: Vec::new(),
        }
    }

    /// Takes in the records of a page, each with its hash.
    pub(crate) fn page(&mut self, page: u32, records: &[&str], hashes: &[u128]) -> Result<(), Failure> {
        let times = match self.clocked {
            Some(clocked) => clocked.of(&StringChunked::from_slice(TEXT.into(), records))?,
            None => vec![None; records.len()],
        };
        for (nth, ((record, &hash), time)) in records.iter().zip(hashes).zip(times).enumerate() {
            let row = nth as i64 + 1;
            self.all.add(hash);
            self.texts.append_value(record);
            self.bytes += record.len();
            self.waiting.push(Waiting { page: i64::from(page), row, hash, time, fault: fault(record) });
            if let Some(clocked) = self.clocked {
                match time {
                    Some(time) => self.clock(clocked, time, hash),
                    None => {
                        self.missing += 1;
                        self.first_missing.get_or_insert((page, nth + 1));
                    }
                }
            }
        }
        self.records += records.len() as u64;
        self.forget();
        if self.bytes >= FRAME_BYTES || self.waiting.len() >= FRAME_ROWS {
            self.write()?;
        }
        Ok(())
    }

    fn clock(&mut self, clocked: &Clocked<'_>, time: i64, hash: u128) {
        self.recent.push((time, hash));
        let Ok(time) = Timestamp::from_microsecond(time) else { return };
        if time > clocked.now {
            self.ahead += 1;
        }
        // a typing error of the year 2099 must not hide what comes until then, nor what changes late in a long window what had changed
        // before it on a page that was read already
        self.greatest = self.greatest.max(Some(time.min(self.begun_at)));
    }

    /// Lets go of what cannot be part of the next tail.
    fn forget(&mut self) {
        if let Some(clocked) = self.clocked
            && self.recent.len() > TAIL
        {
            let from = bookmark::from(clocked.since, self.greatest).map_or(i64::MIN, Timestamp::as_microsecond);
            self.recent.retain(|(time, _)| *time >= from);
        }
    }

    /// What the next request would bring if nothing were new; `None` where that cannot be known.
    pub(crate) fn tail(&self, reached: Option<Timestamp>) -> Option<Tail> {
        let Some(clocked) = self.clocked else { return Some(self.all) };
        let from = bookmark::from(clocked.since, reached)?.as_microsecond();
        let mut tail = Tail::default();
        self.recent.iter().filter(|(time, _)| *time >= from).for_each(|(_, hash)| tail.add(*hash));
        (self.missing == 0).then_some(tail)
    }

    /// Writes what waits.
    pub(crate) fn write(&mut self) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let texts = std::mem::replace(&mut self.texts, StringChunkedBuilder::new(TEXT.into(), 0)).finish();
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let news = self.news(&waiting)?;
        let waiting: Vec<&Waiting> =
            waiting.iter().zip(&news).filter(|(_, is_new)| **is_new).map(|(row, _)| row).collect();
        let texts = match waiting.len() == news.len() {
            true => texts,
            false => texts.filter(&BooleanChunked::from_slice("news".into(), &news)).map_err(unreadable)?,
        };
        let (height, faults) = (waiting.len(), waiting.iter().filter(|row| row.fault.is_some()).count());
        self.broken += faults as u64;
        let object = Scalar::new(DataType::String, AnyValue::StringOwned(self.object.into()));
        let column = |name: &str, of: fn(&Waiting) -> i64| {
            Int64Chunked::from_vec(name.into(), waiting.iter().map(|row| of(row)).collect()).into_column()
        };
        let columns = vec![
            texts.into_column(),
            waiting.iter().map(|row| row.fault).collect::<StringChunked>().with_name(FAULT.into()).into_column(),
            Column::new_scalar(OBJECT.into(), object, height),
            column(PAGE, |row| row.page),
            column(ROW, |row| row.row),
        ];
        let frame = DataFrame::new(height, columns).map_err(unreadable)?;
        Ok(self.writer.write(&frame)?)
    }

    /// Which of the records are not there yet.
    fn news(&mut self, waiting: &[Waiting]) -> Result<Vec<bool>, Failure> {
        let (Some(overlap), Some(clocked)) = (&self.overlap, self.clocked) else {
            return Ok(vec![true; waiting.len()]);
        };
        let reached = overlap.reached.as_microsecond();
        let mut news = Vec::with_capacity(waiting.len());
        for Waiting { hash, time, .. } in waiting {
            let Some(time) = time.filter(|time| *time <= reached) else {
                news.push(true);
                continue;
            };
            let known = match &self.known {
                Some(known) => known,
                None => self.known.insert(overlap.known(clocked)?),
            };
            let is_known = known.has(*hash, time);
            self.repeated += u64::from(is_known);
            if !is_known && known.is_whole() {
                self.late.add(time);
            }
            news.push(!is_known);
        }
        Ok(news)
    }

    /// The files, all on the store, once everything has been written.
    pub(crate) fn finish(self) -> Result<Vec<DataFile>, Failure> {
        Ok(self.writer.finish(false)?)
    }
}

/// 128 bits of BLAKE3.
pub(crate) fn hash_of(content: impl AsRef<[u8]>) -> u128 {
    let hash = blake3::hash(content.as_ref());
    hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

fn unreadable(error: PolarsError) -> Failure {
    Failure::new(Kind::Bug, "the records of a page make no table").because(error)
}
