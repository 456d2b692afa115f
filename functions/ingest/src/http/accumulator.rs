//! Collects the records of pages into raw rows, writes them to files, and keeps totals of all records.

use bytes::Bytes;
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

/// Maximum bytes of text, and maximum number of records, of a frame.
const FRAME_BYTES: usize = 8 << 20;
const FRAME_ROWS: usize = 1 << 16;

/// A record that has not been written yet.
struct PendingRecord {
    page: i64,
    row: i64,
    hash: u128,
    time: Option<i64>,
    fault: Option<&'static str>,
}

/// The records of a window: written rows, rows still to be written, and totals.
pub(crate) struct PageAccumulator<'a> {
    writer: Writer<'a>,
    object: String,
    column: Option<&'a EventTimeColumn<'a>>,
    texts: StringChunkedBuilder,
    pending: Vec<PendingRecord>,
    bytes: usize,
    pub filter: OverlapFilter<'a>,
    pub observed: Observed<'a>,
    pub records: u64,
    pub broken: u64,
    /// Page and number (from 1) of the first record without a valid event time.
    pub first_missing: Option<(u32, usize)>,
}

impl<'a> PageAccumulator<'a> {
    /// An accumulator that writes rows of `object`.
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
            pending: Vec::new(),
            bytes: 0,
            filter,
            observed,
            records: 0,
            broken: 0,
            first_missing: None,
        }
    }

    /// Resumes after the rows of an earlier accumulator: those in `files`, and the `rest` that was in no file yet.
    pub(crate) fn resume_from(
        mut self,
        files: Vec<DataFile>,
        rest: Option<&Bytes>,
        from: &PageStart,
    ) -> Result<PageAccumulator<'a>, Error> {
        self.writer = self.writer.after(files);
        if let Some(rest) = rest {
            self.writer.write_rest(rest)?;
        }
        (self.records, self.broken) = (from.rows, from.broken);
        self.observed.all = from.digest;
        Ok(self)
    }

    /// The start of the next page, with the totals of the pages before it. Call [`Self::write`] before.
    pub(crate) fn page_start(&self, page: u32, next: &Next, received: u64) -> PageStart {
        let (rows, broken, digest) = (self.records, self.broken, self.observed.all);
        PageStart { page, next: next.clone(), received, rows, broken, digest }
    }

    /// The closed files, and the written rows after them as Parquet. Call [`Self::write`] before.
    pub(crate) fn into_closed_and_rest(self) -> Result<(Vec<DataFile>, Option<Vec<u8>>), Error> {
        Ok(self.writer.into_closed_and_rest()?)
    }

    /// Adds the records of a page.
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
            self.pending.push(PendingRecord { page: i64::from(number), row, hash, time, fault });
            self.observed.add(hash, time);
            if self.column.is_some() && time.is_none() {
                self.first_missing.get_or_insert((number, nth + 1));
            }
        }
        self.records += page.len() as u64;
        self.observed.forget();
        if self.bytes >= FRAME_BYTES || self.pending.len() >= FRAME_ROWS {
            self.write()?;
        }
        Ok(())
    }

    /// Writes the pending records, without those that the overlap filter finds in the raw dataset.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let texts = std::mem::replace(&mut self.texts, StringChunkedBuilder::new(TEXT.into(), 0)).finish();
        let pending = std::mem::take(&mut self.pending);
        self.bytes = 0;
        let new_flags = pending
            .iter()
            .map(|record| self.filter.is_new(record.hash, record.time))
            .collect::<Result<Vec<bool>, Error>>()?;
        let pending: Vec<&PendingRecord> =
            pending.iter().zip(&new_flags).filter(|(_, is_new)| **is_new).map(|(row, _)| row).collect();
        let texts = match pending.len() == new_flags.len() {
            true => texts,
            false => texts.filter(&BooleanChunked::from_slice("news".into(), &new_flags)).map_err(unreadable)?,
        };
        let (height, faults) = (pending.len(), pending.iter().filter(|row| row.fault.is_some()).count());
        self.broken += faults as u64;
        let object = Scalar::new(DataType::String, AnyValue::StringOwned(self.object.as_str().into()));
        let column = |name: &str, of: fn(&PendingRecord) -> i64| {
            Int64Chunked::from_vec(name.into(), pending.iter().map(|row| of(row)).collect()).into_column()
        };
        let columns = vec![
            texts.into_column(),
            pending.iter().map(|row| row.fault).collect::<StringChunked>().with_name(FAULT.into()).into_column(),
            Column::new_scalar(OBJECT.into(), object, height),
            column(PAGE, |row| row.page),
            column(ROW, |row| row.row),
        ];
        let frame = DataFrame::new(height, columns).map_err(unreadable)?;
        Ok(self.writer.write(&frame)?)
    }

    /// Closes the writer and returns all files. Call [`Self::write`] before.
    pub(crate) fn finish(self) -> Result<Vec<DataFile>, Error> {
        Ok(self.writer.finish(false)?)
    }
}

fn unreadable(error: PolarsError) -> Error {
    Error::new(ErrorKind::Bug, "the records of a page make no table").because(error)
}
