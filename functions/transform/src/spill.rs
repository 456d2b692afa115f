//! Rows that tasks spill for tasks of a later stage. They stay in memory up to a budget; then they go to the local disk, or, if
//! another process may have to continue, to the checkpoint in the lake.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polars::prelude::DataFrame;
use tidemark_flow::{Context, Error, ErrorKind, TaskScope};
use tidemark_lake::{Checkpoint, Lake};

use crate::frames::{concat, decode, encode};
use crate::spill_manifest::{Chunk, Chunks, SpillManifest};

/// Holds the rows spilled by the tasks of one attempt in this process.
pub(crate) struct SpillBuffer {
    lake: Lake,
    checkpoint: Option<Checkpoint>,
    scratch: PathBuf,
    /// Rows must outlive this process and may be read more than once.
    is_lasting: bool,
    /// Rows that do not fit in memory go to the checkpoint instead of the disk.
    goes_to_lake: bool,
    /// Maximum bytes of rows in memory.
    budget: usize,
    /// Bytes of rows that spills of all threads have collected and not yet passed to the buffer.
    open: AtomicUsize,
    stored: Mutex<Stored>,
    /// Some rows were written to the checkpoint.
    is_in_lake: Arc<AtomicBool>,
}

#[derive(Default)]
struct Stored {
    chunks: Vec<Place>,
    held: usize,
    disk: Option<Arc<File>>,
    /// Bytes written to the disk file.
    end: u64,
}

/// Location of a chunk.
#[derive(Clone)]
enum Place {
    Held(DataFrame),
    /// Parquet in the file of the buffer.
    OnDisk(Arc<File>, Range<u64>),
    /// Parquet in a spill object of the checkpoint.
    InLake(Arc<str>, Range<u64>),
    /// Already taken by the task that needed it.
    Taken,
}

/// Collects rows of one task by cell, in order of arrival, and passes them to a buffer.
pub(crate) struct Spill<'b, K: Ord> {
    buffer: &'b SpillBuffer,
    /// Rows not yet in the buffer, and their size in bytes.
    open: BTreeMap<K, Vec<DataFrame>>,
    bytes: usize,
    done: SpillManifest<K>,
}

impl<'b, K: Ord + Clone> Spill<'b, K> {
    pub(crate) fn new(buffer: &'b SpillBuffer) -> Spill<'b, K> {
        Spill { buffer, open: BTreeMap::new(), bytes: 0, done: SpillManifest::default() }
    }

    pub(crate) fn push(&mut self, cell: K, rows: DataFrame) -> Result<(), Error> {
        let bytes = rows.estimated_size();
        self.bytes += bytes;
        self.open.entry(cell).or_default().push(rows);
        let open = self.buffer.open.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if open > self.buffer.budget / 2 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.close();
        for (cell, frames) in std::mem::take(&mut self.open) {
            let rows = concat(frames)?;
            let bytes = rows.estimated_size();
            let height = rows.height() as u64;
            self.done.push(cell, height, bytes as u64, self.buffer.hold(rows, bytes));
        }
        self.buffer.keep_within_budget()
    }

    /// Passes all remaining rows to the buffer and returns the manifest.
    pub(crate) fn finish(mut self) -> Result<SpillManifest<K>, Error> {
        self.flush()?;
        Ok(std::mem::take(&mut self.done))
    }
}

impl<K: Ord> Spill<'_, K> {
    /// The rows collected so far no longer count as open.
    fn close(&mut self) {
        self.buffer.open.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

/// A task that failed leaves its rows.
impl<K: Ord> Drop for Spill<'_, K> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Maximum bytes of rows spilled to the local disk: a function's `/tmp` has 512 MB, and encoded rows take about a third of this, at
/// worst as much.
const DISK: u64 = 384 << 20;

impl SpillBuffer {
    pub(crate) fn new(context: &Context<'_>, scope: &TaskScope) -> SpillBuffer {
        SpillBuffer {
            lake: context.lake.clone(),
            checkpoint: scope.checkpoint.clone(),
            scratch: context.scratch.to_owned(),
            is_lasting: context.deadline.is_some(),
            goes_to_lake: context.deadline.is_some() && scope.checkpoint.is_some(),
            budget: usize::try_from(context.memory / 4).unwrap_or(usize::MAX),
            open: AtomicUsize::new(0),
            stored: Mutex::default(),
            is_in_lake: Arc::default(),
        }
    }

    /// A buffer for `bytes` of rows that are needed only during one task.
    pub(crate) fn for_task(&self, bytes: u64, budget: usize) -> SpillBuffer {
        SpillBuffer {
            lake: self.lake.clone(),
            checkpoint: self.checkpoint.clone(),
            scratch: self.scratch.clone(),
            is_lasting: false,
            goes_to_lake: self.goes_to_lake && bytes > DISK,
            budget,
            open: AtomicUsize::new(0),
            stored: Mutex::default(),
            is_in_lake: self.is_in_lake.clone(),
        }
    }

    /// Whether rows were written to the checkpoint, which must then be deleted.
    pub(crate) fn is_in_lake(&self) -> bool {
        self.is_in_lake.load(Ordering::Relaxed)
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, rows: DataFrame, bytes: usize) -> Chunk {
        let mut stored = self.stored();
        stored.held += bytes;
        stored.chunks.push(Place::Held(rows));
        Chunk::Local(stored.chunks.len() - 1)
    }

    /// Moves all rows out of memory if they exceed the budget.
    fn keep_within_budget(&self) -> Result<(), Error> {
        let mut stored = self.stored();
        if stored.held <= self.budget {
            return Ok(());
        }
        stored.held = 0;
        let held = |place: &Place| match place {
            Place::Held(rows) => Some(rows.clone()),
            _ => None,
        };
        let all: Vec<(usize, DataFrame)> =
            stored.chunks.iter().enumerate().filter_map(|(nth, place)| Some((nth, held(place)?))).collect();
        match self.checkpoint.as_ref().filter(|_| self.goes_to_lake) {
            Some(checkpoint) => self.move_to_lake(&mut stored, all, checkpoint),
            None => self.move_to_disk(&mut stored, all),
        }
    }

    fn move_to_disk(&self, stored: &mut Stored, all: Vec<(usize, DataFrame)>) -> Result<(), Error> {
        let disk = match &stored.disk {
            Some(disk) => disk.clone(),
            // an unnamed file, so that it is removed however the process ends
            None => {
                let file = tempfile::tempfile_in(&self.scratch).map_err(|error| self.no_space(error))?;
                stored.disk.insert(Arc::new(file)).clone()
            }
        };
        for (nth, rows) in all {
            let encoded = encode(rows, false)?;
            disk.write_all_at(&encoded, stored.end).map_err(|error| self.no_space(error))?;
            let range = stored.end..stored.end + encoded.len() as u64;
            stored.end = range.end;
            stored.chunks[nth] = Place::OnDisk(disk.clone(), range);
        }
        Ok(())
    }

    fn no_space(&self, error: std::io::Error) -> Error {
        Error::new(ErrorKind::Refused, format!("no space left to spill rows in {}", self.scratch.display()))
            .hint("set TMPDIR to a folder with more space, or provide more memory")
            .because(error)
    }

    /// Writes all chunks into one object: requests cost more than bytes.
    fn move_to_lake(
        &self,
        stored: &mut Stored,
        all: Vec<(usize, DataFrame)>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        let mut object = Vec::new();
        let mut ranges = Vec::new();
        for (nth, rows) in all {
            let encoded = encode(rows, true)?;
            ranges.push((nth, object.len() as u64..(object.len() + encoded.len()) as u64));
            object.extend_from_slice(&encoded);
        }
        if ranges.is_empty() {
            return Ok(());
        }
        self.is_in_lake.store(true, Ordering::Relaxed);
        let name: Arc<str> = self.lake.put_spill(checkpoint, object)?.into();
        for (nth, range) in ranges {
            stored.chunks[nth] = Place::InLake(name.clone(), range);
        }
        Ok(())
    }

    /// Makes chunks readable by other processes: those held only by this process are written to the checkpoint, in one object.
    pub(crate) fn persist<'c>(&self, chunks: impl Iterator<Item = &'c mut Chunk>) -> Result<(), Error> {
        let Some(checkpoint) = &self.checkpoint else {
            return Err(Error::new(ErrorKind::Bug, "there is no checkpoint to spill rows to"));
        };
        let mut object = Vec::new();
        let mut moved = Vec::new();
        let stored = self.stored();
        for chunk in chunks {
            let Chunk::Local(nth) = *chunk else { continue };
            let encoded = match stored.chunks.get(nth) {
                Some(Place::InLake(name, range)) => {
                    *chunk = Chunk::Object(name.to_string(), range.start, range.end);
                    continue;
                }
                Some(Place::Held(rows)) => encode(rows.clone(), true)?,
                Some(Place::OnDisk(disk, range)) => read(disk, range)?,
                Some(Place::Taken) | None => return Err(lost()),
            };
            moved.push((chunk, object.len() as u64..(object.len() + encoded.len()) as u64));
            object.extend_from_slice(&encoded);
        }
        if moved.is_empty() {
            return Ok(());
        }
        self.is_in_lake.store(true, Ordering::Relaxed);
        let name = self.lake.put_spill(checkpoint, object)?;
        for (chunk, range) in moved {
            *chunk = Chunk::Object(name.clone(), range.start, range.end);
        }
        Ok(())
    }

    /// Takes the rows of chunks out of the buffer, for the task that needs them.
    pub(crate) fn take(&self, chunks: &Chunks) -> Result<Spilled<'_>, Error> {
        let mut stored = self.stored();
        let mut places = Vec::new();
        for chunk in &chunks.chunks {
            places.push(match chunk {
                Chunk::Object(name, start, end) => Place::InLake(name.as_str().into(), *start..*end),
                Chunk::Local(nth) => {
                    let place = stored.chunks.get_mut(*nth).ok_or_else(lost)?;
                    let taken = if self.is_lasting { place.clone() } else { std::mem::replace(place, Place::Taken) };
                    match &taken {
                        Place::Taken => return Err(lost()),
                        Place::Held(rows) if !self.is_lasting => {
                            let bytes = rows.estimated_size();
                            stored.held = stored.held.saturating_sub(bytes);
                        }
                        _ => {}
                    }
                    taken
                }
            });
        }
        Ok(Spilled { buffer: self, places, rows: chunks.rows, bytes: chunks.bytes })
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Bug, "spilled rows are missing")
}

fn read(disk: &File, range: &Range<u64>) -> Result<Vec<u8>, Error> {
    let mut encoded = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
    disk.read_exact_at(&mut encoded, range.start)
        .map_err(|error| Error::new(ErrorKind::Retry, "spilled rows cannot be read back").because(error))?;
    Ok(encoded)
}

/// The rows of some chunks. They can be read more than once.
pub(crate) struct Spilled<'b> {
    buffer: &'b SpillBuffer,
    places: Vec<Place>,
    pub rows: u64,
    /// Size of the rows in memory.
    pub bytes: u64,
}

/// Chunks fetched concurrently, because a request takes tens of milliseconds whatever its size.
const AHEAD: usize = 16;

impl Spilled<'_> {
    pub(crate) fn frames(&self) -> impl Iterator<Item = Result<DataFrame, Error>> + '_ {
        self.read(self.places.iter().collect())
    }

    /// The rows of about `wanted` chunks, evenly spaced.
    pub(crate) fn some(&self, wanted: usize) -> impl Iterator<Item = Result<DataFrame, Error>> + '_ {
        let step = self.places.len().div_ceil(wanted.max(1)).max(1);
        self.read(self.places.iter().step_by(step).collect())
    }

    /// All rows in one frame. Returns None if there are none.
    pub(crate) fn whole(&self) -> Result<Option<DataFrame>, Error> {
        let frames: Vec<_> = self.frames().collect::<Result<_, _>>()?;
        if frames.is_empty() { Ok(None) } else { concat(frames).map(Some) }
    }

    /// Reads chunks in order, with read-ahead.
    fn read<'p>(&'p self, places: Vec<&'p Place>) -> impl Iterator<Item = Result<DataFrame, Error>> + 'p {
        let mut left = places.into_iter();
        let mut fetched = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if fetched.len() == 0 {
                fetched = self.fetch(&left.by_ref().take(AHEAD).collect::<Vec<_>>()).into_iter();
            }
            fetched.next()
        })
    }

    fn fetch(&self, places: &[&Place]) -> Vec<Result<DataFrame, Error>> {
        let get = |place: &Place| match place {
            Place::Held(rows) => Ok(rows.clone()),
            Place::OnDisk(disk, range) => decode(read(disk, range)?.into()),
            Place::InLake(name, range) => {
                let checkpoint = self.buffer.checkpoint.as_ref().ok_or_else(lost)?;
                decode(self.buffer.lake.spill(checkpoint, name, range.clone())?)
            }
            Place::Taken => Err(lost()),
        };
        if places.iter().filter(|place| matches!(place, Place::InLake(..))).count() < 2 {
            return places.iter().map(|place| get(place)).collect();
        }
        std::thread::scope(|scope| {
            let all: Vec<_> = places.iter().map(|place| scope.spawn(move || get(place))).collect();
            all.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use polars::df;
    use tidemark_lake::Store;

    use super::*;

    #[test]
    fn spilled_rows_are_read_in_order() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = Store::new(Arc::new(InMemory::new()), "memory", runtime.handle().clone());
        let lake = Lake::open(store, true).unwrap();
        let checkpoint = Checkpoint { dataset: "sales".parse().unwrap(), plan: "plan".to_owned() };
        for (budget, goes_to_lake) in [(0, false), (100, false), (usize::MAX, false), (0, true), (100, true)] {
            let buffer = SpillBuffer {
                lake: lake.clone(),
                checkpoint: Some(checkpoint.clone()),
                scratch: std::env::temp_dir(),
                is_lasting: goes_to_lake,
                goes_to_lake,
                budget,
                open: AtomicUsize::new(0),
                stored: Mutex::default(),
                is_in_lake: Arc::default(),
            };
            let mut spill = Spill::new(&buffer);
            for n in 0..10i64 {
                let frame = df!("n" => [n, n + 100], "text" => [Some("x"), None]).unwrap();
                spill.push(n % 2, frame).unwrap();
            }
            let mut manifest = spill.finish().unwrap();
            assert_eq!(buffer.open.load(Ordering::Relaxed), 0);
            let read = |buffer: &SpillBuffer, manifest: &SpillManifest<i64>| {
                let odd = buffer.take(manifest.get(&1).unwrap()).unwrap().whole().unwrap().unwrap();
                odd.column("n").unwrap().i64().unwrap().into_no_null_iter().collect::<Vec<_>>()
            };
            let expected = [1, 101, 3, 103, 5, 105, 7, 107, 9, 109];
            if goes_to_lake {
                assert!(buffer.is_in_lake());
                assert_eq!(read(&buffer, &manifest), expected, "budget {budget}");
            }
            // Read in another process.
            buffer.persist(manifest.chunks_mut()).unwrap();
            let json = serde_json::to_string(&manifest).unwrap();
            let manifest: SpillManifest<i64> = serde_json::from_str(&json).unwrap();
            assert!(manifest.objects().count() > 0 && manifest.get(&0).unwrap().rows == 10);
            let other = buffer.for_task(0, usize::MAX);
            assert_eq!(read(&other, &manifest), expected, "budget {budget}");
        }
    }

    #[test]
    fn spills_of_several_tasks_share_one_budget() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = Store::new(Arc::new(InMemory::new()), "memory", runtime.handle().clone());
        let frame = df!("n" => (0..100i64).collect::<Vec<_>>()).unwrap();
        let buffer = SpillBuffer {
            lake: Lake::open(store, true).unwrap(),
            checkpoint: None,
            scratch: std::env::temp_dir(),
            is_lasting: false,
            goes_to_lake: false,
            // one frame may be open at a time
            budget: 3 * frame.estimated_size(),
            open: AtomicUsize::new(0),
            stored: Mutex::default(),
            is_in_lake: Arc::default(),
        };
        let open = || buffer.open.load(Ordering::Relaxed) / frame.estimated_size();
        let (mut first, mut second) = (Spill::new(&buffer), Spill::new(&buffer));
        first.push((), frame.clone()).unwrap();
        assert_eq!(open(), 1);
        second.push((), frame.clone()).unwrap();
        assert_eq!((open(), second.bytes), (1, 0));
        // rows of a task that failed do not count
        drop(first);
        assert_eq!(open(), 0);
    }
}
