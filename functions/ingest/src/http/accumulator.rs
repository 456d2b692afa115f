//! Records of pages into raw rows on their way to files, and what is to be known of them all.

use polars::prelude::*;
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{DataFile, Writer};
use tidemark_pipeline::raw::{FAULT, OBJECT, PAGE, ROW, TEXT};

use super::page::{Page, fault};
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
            filter,
            observed,
            records: 0,
            broken: 0,
            first_missing: None,
        }
    }

    /// Takes in the records of a page.
    pub(crate) fn add(&mut self, number: u32, page: &Page) -> Result<(), Failure> {
        let times = match self.column {
            Some(column) => column.times(&StringChunked::from_iter_values(TEXT.into(), page.records()))?,
            None => vec![None; page.len()],
        };
        for (nth, ((record, &hash), time)) in page.records().zip(page.hashes()).zip(times).enumerate() {
            let row = nth as i64 + 1;
            self.texts.append_value(record);
            self.bytes += record.len();
            self.waiting.push(Waiting { page: i64::from(number), row, hash, time, fault: fault(record) });
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
    pub(crate) fn write(&mut self) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let texts = std::mem::replace(&mut self.texts, StringChunkedBuilder::new(TEXT.into(), 0)).finish();
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let news = waiting
            .iter()
            .map(|record| self.filter.is_new(record.hash, record.time))
            .collect::<Result<Vec<bool>, Failure>>()?;
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
        Ok(self.writer.write(&frame)?)
    }

    /// The files, all on the store, once everything has been written.
    pub(crate) fn finish(self) -> Result<Vec<DataFile>, Failure> {
        Ok(self.writer.finish(false)?)
    }
}

fn unreadable(error: PolarsError) -> Failure {
    Failure::new(Kind::Bug, "the records of a page make no table").because(error)
}
