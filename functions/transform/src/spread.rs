//! Rows spread over cells. What does not fit in memory goes to a local disk and comes back cell by cell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use polars::io::parquet::write::ParquetWriter;
use polars::prelude::{DataFrame, ParquetCompression, ParquetReader, SerReader as _};
use tidemark_flow::{Failure, Kind};

use crate::polars_failure;

/// Rows by cell, in the order they came.
pub(crate) struct Spread<K> {
    cells: BTreeMap<K, Cell>,
    /// Bytes of rows in memory, and how many there may be.
    held: usize,
    budget: usize,
    disk: Option<File>,
    end: u64,
}

#[derive(Default)]
pub(crate) struct Cell {
    /// Where on the disk the earlier rows are: offset and length of Parquet.
    spilled: Vec<(u64, u64)>,
    frames: Vec<DataFrame>,
    /// Of all rows, as if in memory.
    pub bytes: usize,
    pub rows: usize,
}

impl<K: Ord + Clone> Spread<K> {
    pub(crate) fn new(budget: usize) -> Spread<K> {
        Spread { cells: BTreeMap::new(), held: 0, budget, disk: None, end: 0 }
    }

    pub(crate) fn push(&mut self, cell: K, frame: DataFrame, scratch: &Path) -> Result<(), Failure> {
        let bytes = frame.estimated_size();
        let into = self.cells.entry(cell).or_default();
        into.bytes += bytes;
        into.rows += frame.height();
        into.frames.push(frame);
        self.held += bytes;
        if self.held > self.budget { self.spill(scratch) } else { Ok(()) }
    }

    /// Moves everything held to the disk.
    fn spill(&mut self, scratch: &Path) -> Result<(), Failure> {
        let failed = |error| {
            Failure::new(Kind::Refused, format!("no room to spread rows in {}", scratch.display()))
                .hint("give a TMPDIR with more space, or more memory")
                .because(error)
        };
        let disk = match &mut self.disk {
            Some(disk) => disk,
            // without a name, so that it goes whatever becomes of the process
            None => self.disk.insert(tempfile::tempfile_in(scratch).map_err(failed)?),
        };
        for cell in self.cells.values_mut().filter(|cell| !cell.frames.is_empty()) {
            let mut rows = concat(std::mem::take(&mut cell.frames))?;
            let mut encoded = Vec::new();
            ParquetWriter::new(&mut encoded)
                .with_compression(ParquetCompression::Lz4Raw)
                .with_statistics(polars::prelude::StatisticsOptions::empty())
                .finish(&mut rows)
                .map_err(|error| polars_failure("rows cannot be spread", error))?;
            disk.seek(SeekFrom::Start(self.end)).and_then(|_| disk.write_all(&encoded)).map_err(failed)?;
            cell.spilled.push((self.end, encoded.len() as u64));
            self.end += encoded.len() as u64;
        }
        self.held = 0;
        Ok(())
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (&K, &Cell)> {
        self.cells.iter()
    }

    /// Gives out the rows of a cell in pieces, in the order they came, and forgets them.
    pub(crate) fn take(
        &mut self,
        cell: &K,
    ) -> Result<impl Iterator<Item = Result<DataFrame, Failure>> + use<K>, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(Kind::Retry, "spread rows cannot be read back").because(error);
        let cell = self.cells.remove(cell).unwrap_or_default();
        self.held = self.held.saturating_sub(cell.frames.iter().map(DataFrame::estimated_size).sum());
        let disk = match &self.disk {
            Some(disk) if !cell.spilled.is_empty() => Some(disk.try_clone().map_err(failed)?),
            _ => None,
        };
        let mut spilled = cell.spilled.into_iter();
        let mut frames = cell.frames.into_iter();
        Ok(std::iter::from_fn(move || {
            if let (Some(disk), Some((offset, length))) = (&disk, spilled.next()) {
                return Some(read_back(disk, offset, length));
            }
            frames.next().map(Ok)
        }))
    }

    /// The rows of a cell in one frame; `None` if there are none.
    pub(crate) fn whole(&mut self, cell: &K) -> Result<Option<DataFrame>, Failure> {
        let frames: Vec<_> = self.take(cell)?.collect::<Result<_, _>>()?;
        if frames.is_empty() { Ok(None) } else { concat(frames).map(Some) }
    }
}

fn read_back(disk: &File, offset: u64, length: u64) -> Result<DataFrame, Failure> {
    let mut encoded = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    std::os::unix::fs::FileExt::read_exact_at(disk, &mut encoded, offset)
        .map_err(|error| Failure::new(Kind::Retry, "spread rows cannot be read back").because(error))?;
    ParquetReader::new(std::io::Cursor::new(encoded))
        .finish()
        .map_err(|error| polars_failure("spread rows cannot be read back", error))
}

/// Frames of one schema below each other.
pub(crate) fn concat(frames: Vec<DataFrame>) -> Result<DataFrame, Failure> {
    let mut frames = frames.into_iter();
    let Some(mut all) = frames.next() else { return Ok(DataFrame::empty()) };
    for frame in frames {
        all.vstack_mut_owned(frame).map_err(|error| polars_failure("rows of different columns", error))?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use polars::df;
    use polars::prelude::*;

    use super::*;

    #[test]
    fn what_was_spilled_comes_back_in_order() {
        let scratch = std::env::temp_dir();
        for budget in [0, 100, usize::MAX] {
            let mut spread = Spread::new(budget);
            for n in 0..10i64 {
                let frame = df!("n" => [n, n + 100], "text" => [Some("x"), None]).unwrap();
                spread.push(n % 2, frame, &scratch).unwrap();
            }
            let odd = spread.whole(&1).unwrap().unwrap();
            let found: Vec<_> = odd.column("n").unwrap().i64().unwrap().into_no_null_iter().collect();
            assert_eq!(found, [1, 101, 3, 103, 5, 105, 7, 107, 9, 109], "budget {budget}");
            assert!(spread.whole(&1).unwrap().is_none());
            assert_eq!(spread.whole(&0).unwrap().unwrap().height(), 10);
        }
    }
}
