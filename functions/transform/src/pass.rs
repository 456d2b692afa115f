//! Raw files through the contract, batch by batch.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use polars::prelude::{DataFrame, PlSmallStr, Schema};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Context, Failure};
use tidemark_lake::{DataFile, Table};
use tidemark_pipeline::raw::holds_json;
use tidemark_transform::{Cleaned, Cleaner, Shape};

use crate::contract_failure;

/// How far some files have been read: this many of them, and this many batches of the next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    pub files: usize,
    pub batches: usize,
}

impl Position {
    /// Behind a batch of a file that has so many.
    pub(crate) fn after(file: usize, batch: usize, batches: usize) -> Position {
        if batch + 1 < batches {
            Position { files: file, batches: batch + 1 }
        } else {
            Position { files: file + 1, batches: 0 }
        }
    }
}

/// A batch, its share of the bytes to read, and the position behind it.
struct Batch {
    bytes: u64,
    after: Position,
    rows: DataFrame,
}

/// Cleans raw files batch by batch, on all processors, and hands on what came out in the order it came in. Gives how far it came, which is
/// not the end where it was late; at least one batch is done then.
pub(crate) fn pass(
    context: &Context<'_>,
    raw: &Table,
    cleaner: &Cleaner,
    files: &[DataFile],
    from: Position,
    take: &mut dyn FnMut(u64, Cleaned) -> Result<(), Failure>,
) -> Result<Position, Failure> {
    let shape = shape(raw.schema());
    let lake = context.lake;
    let batches =
        files.iter().enumerate().skip(from.files).flat_map(move |(nth, file)| match raw.batches(lake, file) {
            Ok(batches) => {
                let count = batches.len();
                let done = if nth == from.files { from.batches } else { 0 };
                let bytes = file.bytes / (count.max(1) as u64);
                let batches = batches.skip(done).zip(done..).map(move |(rows, batch)| {
                    Ok::<_, Failure>(Batch { bytes, after: Position::after(nth, batch, count), rows: rows? })
                });
                Box::new(batches) as Box<dyn Iterator<Item = Result<Batch, Failure>> + Send + '_>
            }
            Err(error) => Box::new(std::iter::once(Err(Failure::from(error)))),
        });
    let source = Mutex::new(batches.enumerate());
    let stop = AtomicBool::new(false);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |batch: Result<Batch, Failure>| {
        let Batch { bytes, after, rows } = batch?;
        let cleaned = cleaner.clean(&rows, shape).map_err(contract_failure)?;
        Ok::<_, Failure>((bytes, after, rows.height() as u64, cleaned))
    };
    std::thread::scope(|scope| {
        let (done, results) = sync_channel(workers);
        for _ in 0..workers {
            let (done, source, work, stop) = (done.clone(), &source, &work, &stop);
            scope.spawn(move || {
                // what has been begun is brought to its end, so that a part ends behind a batch and without a gap
                while !stop.load(Ordering::Relaxed) {
                    let next = source.lock().map(|mut source| source.next());
                    let Ok(Some((nth, batch))) = next else { break };
                    // nobody listens any more: the run has failed elsewhere
                    if done.send((nth, work(batch))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut due = 0;
        let mut come = from;
        for (nth, result) in results {
            early.insert(nth, result);
            while let Some(result) = early.remove(&due) {
                let (bytes, after, rows, cleaned) = result?;
                take(rows, cleaned)?;
                context.progress.advance(bytes);
                come = after;
                due += 1;
                if context.is_late() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
        let is_late = stop.load(Ordering::Relaxed);
        Ok(if is_late { come } else { Position { files: files.len(), batches: 0 } })
    })
}

fn shape(columns: &Schema) -> Shape {
    if holds_json(columns.iter_names().map(PlSmallStr::as_str)) { Shape::Json } else { Shape::Columns }
}
