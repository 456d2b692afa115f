//! Rows spread over cells. What does not fit in memory goes to a [`Room`] and comes back cell by cell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use polars::io::parquet::write::ParquetWriter;
use polars::prelude::{DataFrame, ParquetCompression, ParquetReader, PolarsError, SerReader as _, StatisticsOptions};
use polars_parquet::write::ZstdLevel;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Failure, Kind};
use tidemark_lake::{Lake, Work};

use crate::polars_failure;
use crate::room::Room;

/// Rows by cell, in the order they came.
pub(crate) struct Spread<'a, K> {
    room: Room<'a>,
    cells: BTreeMap<K, Pieces<'a>>,
    /// Bytes of rows in memory, and how many there may be.
    held: usize,
    budget: usize,
    disk: Option<Arc<File>>,
    end: u64,
}

/// The rows of one cell, piece by piece; they can be read more than once.
#[derive(Default)]
pub(crate) struct Pieces<'a> {
    pieces: Vec<Piece<'a>>,
    /// Of all rows, as if in memory.
    pub bytes: usize,
    pub rows: usize,
}

enum Piece<'a> {
    Held(DataFrame),
    /// Parquet on the disk.
    OnDisk(Arc<File>, Range<u64>),
    /// Parquet in an object of a work.
    InLake(&'a Lake, &'a Work, Arc<str>, Range<u64>),
}

/// A spread of which nothing is in memory, as it is kept for the next invocation.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Laid<K> {
    objects: Vec<String>,
    cells: Vec<LaidCell<K>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaidCell<K> {
    cell: K,
    rows: usize,
    bytes: usize,
    /// Object, first byte, and the byte after the last.
    pieces: Vec<(usize, u64, u64)>,
}

impl<K> Laid<K> {
    /// The objects that must be there.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().map(String::as_str)
    }
}

/// Pieces of the lake fetched at a time: one request takes tens of milliseconds whatever its size.
const AHEAD: usize = 16;

impl Pieces<'_> {
    pub(crate) fn frames(&self) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
        let pieces: Vec<&Piece<'_>> = self.pieces.iter().collect();
        read(pieces)
    }

    /// Some pieces from all over the cell.
    pub(crate) fn some(&self, wanted: usize) -> impl Iterator<Item = Result<DataFrame, Failure>> + '_ {
        let step = self.pieces.len().div_ceil(wanted.max(1)).max(1);
        read(self.pieces.iter().step_by(step).collect())
    }

    /// All rows in one frame; `None` if there are none.
    pub(crate) fn whole(&self) -> Result<Option<DataFrame>, Failure> {
        let frames: Vec<_> = self.frames().collect::<Result<_, _>>()?;
        if frames.is_empty() { Ok(None) } else { concat(frames).map(Some) }
    }
}

/// Reads pieces in their order, some of them fetched ahead.
fn read<'p>(pieces: Vec<&'p Piece<'p>>) -> impl Iterator<Item = Result<DataFrame, Failure>> + 'p {
    let mut left = pieces.into_iter();
    let mut fetched = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if fetched.len() == 0 {
            fetched = fetch(left.by_ref().take(AHEAD).collect()).into_iter();
        }
        let (piece, encoded): (&Piece<'_>, _) = fetched.next()?;
        Some(encoded.and_then(|encoded| piece.read(encoded)))
    })
}

type Fetched<'p> = (&'p Piece<'p>, Result<Option<Bytes>, Failure>);

fn fetch<'p>(pieces: Vec<&'p Piece<'p>>) -> Vec<Fetched<'p>> {
    let get = |piece: &Piece<'_>| match piece {
        Piece::InLake(lake, work, object, range) => Ok(Some(lake.piece(work, object, range.clone())?)),
        _ => Ok(None),
    };
    let remote = pieces.iter().filter(|piece| matches!(piece, Piece::InLake(..))).count();
    if remote < 2 {
        return pieces.into_iter().map(|piece| (piece, get(piece))).collect();
    }
    std::thread::scope(|scope| {
        let all: Vec<_> = pieces.into_iter().map(|piece| (piece, scope.spawn(move || get(piece)))).collect();
        let lost = |_| Err(Failure::new(Kind::Bug, "spread rows were not fetched"));
        all.into_iter().map(|(piece, fetching)| (piece, fetching.join().unwrap_or_else(lost))).collect()
    })
}

impl Piece<'_> {
    fn read(&self, fetched: Option<Bytes>) -> Result<DataFrame, Failure> {
        let failed = |error| polars_failure("spread rows cannot be read back", error);
        match (self, fetched) {
            (Piece::Held(frame), _) => Ok(frame.clone()),
            (_, Some(encoded)) => ParquetReader::new(Cursor::new(encoded)).finish().map_err(failed),
            (Piece::OnDisk(disk, range), None) => {
                let mut encoded = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
                disk.read_exact_at(&mut encoded, range.start)
                    .map_err(|error| Failure::new(Kind::Retry, "spread rows cannot be read back").because(error))?;
                ParquetReader::new(Cursor::new(encoded)).finish().map_err(failed)
            }
            (Piece::InLake(..), None) => Err(Failure::new(Kind::Bug, "spread rows were not fetched")),
        }
    }
}

impl<'a, K: Ord + Clone> Spread<'a, K> {
    pub(crate) fn new(room: Room<'a>, budget: usize) -> Spread<'a, K> {
        Spread { room, cells: BTreeMap::new(), held: 0, budget, disk: None, end: 0 }
    }

    pub(crate) fn push(&mut self, cell: K, frame: DataFrame) -> Result<(), Failure> {
        let bytes = frame.estimated_size();
        let into = self.cells.entry(cell).or_default();
        into.bytes += bytes;
        into.rows += frame.height();
        into.pieces.push(Piece::Held(frame));
        self.held += bytes;
        if self.held > self.budget { self.spill() } else { Ok(()) }
    }

    /// Moves everything held to the room.
    fn spill(&mut self) -> Result<(), Failure> {
        self.held = 0;
        match self.room {
            Room::Disk(folder) => self.spill_to_disk(folder),
            Room::Lake(lake, work) => self.spill_to_lake(lake, work),
        }
    }

    fn spill_to_disk(&mut self, folder: &Path) -> Result<(), Failure> {
        let failed = |error| {
            Failure::new(Kind::Refused, format!("no room to spread rows in {}", folder.display()))
                .hint("give a TMPDIR with more space, or more memory")
                .because(error)
        };
        let disk = match &self.disk {
            Some(disk) => disk.clone(),
            // without a name, so that it goes whatever becomes of the process
            None => self.disk.insert(Arc::new(tempfile::tempfile_in(folder).map_err(failed)?)).clone(),
        };
        for cell in self.cells.values_mut() {
            let Some(encoded) = cell.encode(|| Ok(ParquetCompression::Lz4Raw))? else { continue };
            disk.write_all_at(&encoded, self.end).map_err(failed)?;
            let range = self.end..self.end + encoded.len() as u64;
            self.end = range.end;
            cell.pieces.push(Piece::OnDisk(disk.clone(), range));
        }
        Ok(())
    }

    /// In one object, the cells one after another: requests cost more than bytes.
    fn spill_to_lake(&mut self, lake: &'a Lake, work: &'a Work) -> Result<(), Failure> {
        let mut object = Vec::new();
        let mut spilled = Vec::new();
        for cell in self.cells.values_mut() {
            let level = || ZstdLevel::try_new(1).map(|level| ParquetCompression::Zstd(Some(level)));
            let Some(encoded) = cell.encode(level)? else { continue };
            let range = object.len() as u64..(object.len() + encoded.len()) as u64;
            object.extend_from_slice(&encoded);
            spilled.push((cell, range));
        }
        if spilled.is_empty() {
            return Ok(());
        }
        let name: Arc<str> = lake.put_piece(work, object)?.into();
        for (cell, range) in spilled {
            cell.pieces.push(Piece::InLake(lake, work, name.clone(), range));
        }
        Ok(())
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (&K, &Pieces<'a>)> {
        self.cells.iter()
    }

    /// Gives out the rows of a cell and forgets them.
    pub(crate) fn take(&mut self, cell: &K) -> Pieces<'a> {
        let pieces = self.cells.remove(cell).unwrap_or_default();
        let held = |piece: &Piece<'_>| match piece {
            Piece::Held(frame) => frame.estimated_size(),
            _ => 0,
        };
        self.held = self.held.saturating_sub(pieces.pieces.iter().map(held).sum());
        pieces
    }

    /// Puts down everything held, and gives what it takes to find all of it again.
    pub(crate) fn lay(&mut self) -> Result<Laid<K>, Failure> {
        self.spill()?;
        let mut objects: Vec<String> = Vec::new();
        let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut cells = Vec::new();
        for (cell, Pieces { pieces, bytes, rows }) in &self.cells {
            let mut found = Vec::new();
            for piece in pieces {
                let Piece::InLake(_, _, object, range) = piece else {
                    return Err(Failure::new(Kind::Bug, "rows on a local disk cannot be kept"));
                };
                let place = *places.entry(object.clone()).or_insert_with(|| {
                    objects.push(object.to_string());
                    objects.len() - 1
                });
                found.push((place, range.start, range.end));
            }
            cells.push(LaidCell { cell: cell.clone(), rows: *rows, bytes: *bytes, pieces: found });
        }
        Ok(Laid { objects, cells })
    }

    /// What was laid by an earlier invocation; `None` if it cannot be.
    pub(crate) fn taken_up(laid: Laid<K>, lake: &'a Lake, work: &'a Work, budget: usize) -> Option<Spread<'a, K>> {
        let objects: Vec<Arc<str>> = laid.objects.into_iter().map(Arc::from).collect();
        let mut spread = Spread::new(Room::Lake(lake, work), budget);
        for LaidCell { cell, rows, bytes, pieces } in laid.cells {
            let piece = |(object, start, end): (usize, u64, u64)| {
                let object = objects.get(object).filter(|_| start < end)?;
                Some(Piece::InLake(lake, work, object.clone(), start..end))
            };
            let pieces = pieces.into_iter().map(piece).collect::<Option<_>>()?;
            spread.cells.insert(cell, Pieces { pieces, bytes, rows });
        }
        Some(spread)
    }
}

impl Pieces<'_> {
    /// Takes out what is held, as Parquet; `None` if that is nothing.
    fn encode(
        &mut self,
        compression: impl Fn() -> Result<ParquetCompression, PolarsError>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let first = self.pieces.iter().position(|piece| matches!(piece, Piece::Held(_))).unwrap_or(self.pieces.len());
        let held = self.pieces.drain(first..).filter_map(|piece| match piece {
            Piece::Held(frame) => Some(frame),
            _ => None,
        });
        let held: Vec<DataFrame> = held.collect();
        if held.is_empty() {
            return Ok(None);
        }
        let failed = |error| polars_failure("rows cannot be spread", error);
        let mut rows = concat(held)?;
        let mut encoded = Vec::new();
        ParquetWriter::new(&mut encoded)
            .with_compression(compression().map_err(failed)?)
            .with_statistics(StatisticsOptions::empty())
            .finish(&mut rows)
            .map_err(failed)?;
        Ok(Some(encoded))
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
            let mut spread = Spread::new(Room::Disk(&scratch), budget);
            for n in 0..10i64 {
                let frame = df!("n" => [n, n + 100], "text" => [Some("x"), None]).unwrap();
                spread.push(n % 2, frame).unwrap();
            }
            let odd = spread.take(&1).whole().unwrap().unwrap();
            let found: Vec<_> = odd.column("n").unwrap().i64().unwrap().into_no_null_iter().collect();
            assert_eq!(found, [1, 101, 3, 103, 5, 105, 7, 107, 9, 109], "budget {budget}");
            assert!(spread.take(&1).whole().unwrap().is_none());
            assert_eq!(spread.take(&0).whole().unwrap().unwrap().height(), 10);
        }
    }
}
