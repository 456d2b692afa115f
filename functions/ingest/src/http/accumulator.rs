//! Records of pages into raw rows on their way to files, and what is to be known of them all.

use polars::prelude::*;
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Writer};
use tidemark_pipeline::raw::{FAULT, OBJECT, PAGE, ROW, TEXT};

use super::page::{Page, fault};
use super::partial::PageStart;
use super::request::Next;
use crate::incremental::event_time::EventTimeColumn;
use crate::incremental::observed::Observed;
use crate::incremental::overlap::OverlapFilter;

/// Bytes of text, and records, of a frame.
const FRAME_BYTES: usize = 8 << 20;
const FRAME_ROWS: usize = 1 << 16;

/// A record that waits to be written.
struct Waiting {
    page: i64,
    row: i64,
    hash: u128,
    time: Option<i64>,
    fault: Option<&'static str>,
}

/// Everything that the pages of a window have brought.
pub(crate) struct PageAccumulator<'a> {
    writer: Writer<'a>,
    object: String,
    column: Option<&'a EventTimeColumn<'a>>,
    texts: StringChunkedBuilder,
    waiting: Vec<Waiting>,
    bytes: usize,
    /// Rows before those that wait, and broken records so far.
    written: u64,
    faults: u64,
    pub filter: OverlapFilter<'a>,
    pub observed: Observed<'a>,
    pub records: u64,
    pub broken: u64,
    /// Page and number of the first record without a time that can be read.
    pub first_missing: Option<(u32, usize)>,
}

impl<'a> PageAccumulator<'a> {
    /// Rows of `object` on their way into files.
    pub(crate) fn new(
        writer: Writer<'a>,
        object: String,
        column: Option<&'a EventTimeColumn<'a>>,
        filter: OverlapFilter<'a>,
        observed: Observed<'a>,
    ) -> PageAccumulator<'a> {
        PageAccumulator {
            writer,
            object,
            column,
            texts: StringChunkedBuilder::new(TEXT.into(), 0),
            waiting: Vec::new(),
            bytes: 0,
            written: 0,
            faults: 0,
            filter,
            observed,
            records: 0,
            broken: 0,
            first_missing: None,
        }
    }

    /// Goes on from the start of a page, behind files that another accumulator has closed: rows that are in them are not written again.
    pub(crate) fn behind(mut self, files: Vec<DataFile>, from: &PageStart) -> PageAccumulator<'a> {
        self.writer = self.writer.after(files);
        (self.written, self.records) = (from.rows, from.rows);
        (self.faults, self.broken) = (from.broken, from.broken);
        self.observed.all = from.digest;
        self
    }

    /// What there is before a page that comes next.
    pub(crate) fn page_start(&self, page: u32, next: &Next, received: u64) -> PageStart {
        let (rows, broken, digest) = (self.records, self.faults, self.observed.all);
        PageStart { page, next: next.clone(), received, rows, broken, digest }
    }

    /// Rows in closed files.
    pub(crate) fn closed_rows(&self) -> u64 {
        self.writer.closed().iter().map(|file| file.rows).sum()
    }

    /// Number of closed files.
    pub(crate) fn closed_files(&self) -> usize {
        self.writer.closed().len()
    }

    /// The closed files, without what comes after them.
    pub(crate) fn into_closed(self) -> Vec<DataFile> {
        self.writer.into_closed()
    }

    /// Takes in the records of a page.
    pub(crate) fn add(&mut self, number: u32, page: &Page) -> Result<(), Error> {
        let times = match self.column {
            Some(column) => column.times(&StringChunked::from_iter_values(TEXT.into(), page.records()))?,
            None => vec![None; page.len()],
        };
        for (nth, ((record, &hash), time)) in page.records().zip(page.hashes()).zip(times).enumerate() {
            let row = nth as i64 + 1;
            self.texts.append_value(record);
            self.bytes += record.len();
            let fault = fault(record);
            self.faults += u64::from(fault.is_some());
            self.waiting.push(Waiting { page: i64::from(number), row, hash, time, fault });
            self.observed.add(hash, time);
            if self.column.is_some() && time.is_none() {
                self.first_missing.get_or_insert((number, nth + 1));
            }
        }
        self.records += page.len() as u64;
        self.observed.forget();
        if self.bytes >= FRAME_BYTES || self.waiting.len() >= FRAME_ROWS {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let texts = std::mem::replace(&mut self.texts, StringChunkedBuilder::new(TEXT.into(), 0)).finish();
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let news = waiting
            .iter()
            .map(|record| self.filter.is_new(record.hash, record.time))
            .collect::<Result<Vec<bool>, Error>>()?;
        let waiting: Vec<&Waiting> =
            waiting.iter().zip(&news).filter(|(_, is_new)| **is_new).map(|(row, _)| row).collect();
        let texts = match waiting.len() == news.len() {
            true => texts,
            false => texts.filter(&BooleanChunked::from_slice("news".into(), &news)).map_err(unreadable)?,
        };
        let (height, faults) = (waiting.len(), waiting.iter().filter(|row| row.fault.is_some()).count());
        self.broken += faults as u64;
        let object = Scalar::new(DataType::String, AnyValue::StringOwned(self.object.as_str().into()));
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
        // those that are in closed files already
        let done = self.closed_rows().saturating_sub(self.written);
        self.written += height as u64;
        let done = usize::try_from(done).unwrap_or(usize::MAX).min(height);
        Ok(self.writer.write(&frame.slice(done as i64, height))?)
    }

    /// The files, all on the store, once everything has been written.
    pub(crate) fn finish(self) -> Result<Vec<DataFile>, Error> {
        Ok(self.writer.finish(false)?)
    }
}

fn unreadable(error: PolarsError) -> Error {
    Error::new(ErrorKind::Bug, "the records of a page make no table").because(error)
}
