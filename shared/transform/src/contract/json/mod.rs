//! JSON records to typed columns: one pass over each record's text finds its fields, then each column is read on its own.

mod cursor;
mod elements;
mod paths;
mod scan;
mod tally;

use polars::prelude::*;

pub(super) use self::elements::Elements;
use self::paths::Paths;
pub(super) use self::scan::Scanner;
pub(super) use self::tally::Tallied;
use super::cast::{Builder, Cast, Field};
use super::fault::{Faults, Place};

/// Records scanned before their columns are filled: few enough for their fields to stay in cache.
const BATCH: usize = 256;

/// The positions of the columns' fields in a record.
#[derive(Debug)]
pub(super) struct Layout {
    paths: Paths,
    /// The slot of each column's field.
    slots: Vec<usize>,
}

impl Layout {
    /// `pointers`: one JSON pointer (RFC 6901) per column. A text that does not start with `/` is the name of a member of the record.
    pub(super) fn new<'p>(pointers: impl Iterator<Item = &'p str>) -> Layout {
        let mut paths = Paths::default();
        let slots = pointers.map(|pointer| paths.add(pointer)).collect();
        Layout { paths, slots }
    }

    pub(super) fn scanner(&self) -> Scanner<'_> {
        Scanner::new(&self.paths)
    }

    pub(super) fn slots(&self) -> usize {
        self.paths.slots()
    }

    pub(super) fn slot(&self, column: usize) -> usize {
        self.slots[column]
    }

    /// The pointer of every slot.
    pub(super) fn pointers(&self) -> Vec<String> {
        self.paths.pointers()
    }

    /// The typed columns of records, and the counts of the fields found. A NULL text (a record that ingest found broken) gives NULLs.
    /// A text that is not a JSON object is a fault of the whole record.
    pub(super) fn columns(
        &self,
        casts: &[(&str, &Cast)],
        texts: &StringChunked,
        faults: &mut Faults,
    ) -> (Vec<Series>, Tallied) {
        let width = self.slots();
        let mut scanner = self.scanner();
        let mut builders: Vec<_> = casts.iter().map(|(name, cast)| Builder::new(cast, name, texts.len())).collect();
        let mut fields = vec![Field::Null; width * BATCH];
        let mut texts = texts.iter();
        let (mut row, mut rows) = (0, texts.len());
        while rows > 0 {
            let batch = rows.min(BATCH);
            for (at, text) in texts.by_ref().take(batch).enumerate() {
                let record = &mut fields[at * width..(at + 1) * width];
                record.fill(Field::Null);
                let Some(text) = text else {
                    scanner.tally().skip();
                    continue;
                };
                if scanner.record(text, record).is_err() {
                    record.fill(Field::Null);
                    faults.mark(row + at, Place::FORMAT);
                } else if !faults.is_good(row + at) {
                    // ingest found this record broken, so it is not counted, even if its text parses as JSON
                    scanner.tally().forget();
                }
            }
            for (column, (builder, slot)) in builders.iter_mut().zip(&self.slots).enumerate() {
                let column_of_batch = (0..batch).map(|at| fields[at * width + slot]);
                builder.extend(column_of_batch, row, faults, column);
            }
            row += batch;
            rows -= batch;
        }
        let tallied = scanner.tally().finish(&self.paths);
        (builders.into_iter().map(Builder::finish).collect(), tallied)
    }
}
