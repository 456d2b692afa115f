//! Rows spread over cells. What does not fit in memory goes to a local disk and comes back cell by cell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use polars::io::parquet::write::ParquetWriter;
use polars::prelude::{DataFrame, ParquetCompression, ParquetReader, SerReader as _, StatisticsOptions};
use tidemark_flow::{Failure, Kind};

use crate::polars_failure;

/// Rows by cell, in the order they came.
pub(crate) struct Spread<K> {
    cells: BTreeMap<K, Pieces>,
    /// Bytes of rows in memory, and how many there may be.
    held: usize,
    budget: usize,
    disk: Option<Arc<File>>,
    end: u64,
}

/// The rows of one cell, piece by piece; they can be read more than once.
#[derive(Default)]
pub(crate) struct Pieces {
    pieces: Vec<Piece>,
    /// Of all rows, as if in memory.
    pub bytes: usize,
    pub rows: usize,
}

enum Piece {
    Held(DataFrame),
    /// Parquet on the disk: offset and length.
    Spilled(Arc<File>, u64, u64),
}

impl Pieces {
    pub(crate) fn frames(&self) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
        self.pieces.iter().map(Piece::read)
    }

    /// Some pieces from all over the cell.
    pub(crate) fn some(&self, wanted: usize) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
        let step = self.pieces.len().div_ceil(wanted.max(1)).max(1);
        self.pieces.iter().step_by(step).map(Piece::read)
    }

    /// All rows in one frame; `None` if there are none.
    pub(crate) fn whole(&self) -> Result<Option<DataFrame>, Failure> {
        let frames: Vec<_> = self.frames().collect::<Result<_, _>>()?;
        if frames.is_empty() { Ok(None) } else { concat(frames).map(Some) }
    }
}

impl Piece {
    fn read(&self) -> Result<DataFrame, Failure> {
        let (disk, offset, length) = match self {
            Piece::Held(frame) => return Ok(frame.clone()),
            Piece::Spilled(disk, offset, length) => (disk, *offset, *length),
        };
        let mut encoded = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        disk.read_exact_at(&mut encoded, offset)
            .map_err(|error| Failure::new(Kind::Retry, "spread rows cannot be read back").because(error))?;
        ParquetReader::new(Cursor::new(encoded))
            .finish()
            .map_err(|error| polars_failure("spread rows cannot be read back", error))
    }
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
        into.pieces.push(Piece::Held(frame));
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
        let disk = match &self.disk {
            Some(disk) => disk.clone(),
            // without a name, so that it goes whatever becomes of the process
            None => self.disk.insert(Arc::new(tempfile::tempfile_in(scratch).map_err(failed)?)).clone(),
        };
        for cell in self.cells.values_mut() {
            let first =
                cell.pieces.iter().position(|piece| matches!(piece, Piece::Held(_))).unwrap_or(cell.pieces.len());
            let held: Vec<DataFrame> = cell
                .pieces
                .drain(first..)
                .filter_map(|piece| match piece {
                    Piece::Held(frame) => Some(frame),
                    Piece::Spilled(..) => None,
                })
                .collect();
            if held.is_empty() {
                continue;
            }
            let mut rows = concat(held)?;
            let mut encoded = Vec::new();
            ParquetWriter::new(&mut encoded)
                .with_compression(ParquetCompression::Lz4Raw)
                .with_statistics(StatisticsOptions::empty())
                .finish(&mut rows)
                .map_err(|error| polars_failure("rows cannot be spread", error))?;
            disk.write_all_at(&encoded, self.end).map_err(failed)?;
            cell.pieces.push(Piece::Spilled(disk.clone(), self.end, encoded.len() as u64));
            self.end += encoded.len() as u64;
        }
        self.held = 0;
        Ok(())
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (&K, &Pieces)> {
        self.cells.iter()
    }

    /// Gives out the rows of a cell and forgets them.
    pub(crate) fn take(&mut self, cell: &K) -> Pieces {
        let pieces = self.cells.remove(cell).unwrap_or_default();
        let held = |piece: &Piece| match piece {
            Piece::Held(frame) => frame.estimated_size(),
            Piece::Spilled(..) => 0,
        };
        self.held = self.held.saturating_sub(pieces.pieces.iter().map(held).sum());
        pieces
    }
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
            let odd = spread.take(&1).whole().unwrap().unwrap();
            let found: Vec<_> = odd.column("n").unwrap().i64().unwrap().into_no_null_iter().collect();
            assert_eq!(found, [1, 101, 3, 103, 5, 105, 7, 107, 9, 109], "budget {budget}");
            assert!(spread.take(&1).whole().unwrap().is_none());
            assert_eq!(spread.take(&0).whole().unwrap().unwrap().height(), 10);
        }
    }
}
