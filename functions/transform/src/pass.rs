//! Raw files through the contract, batch by batch.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use polars::prelude::{DataFrame, Schema};
use tidemark_flow::{Failure, Ports};
use tidemark_lake::{DataFile, Table};
use tidemark_transform::{Cleaned, Cleaner, Shape};

use crate::contract_failure;

/// Cleans raw files batch by batch, on all processors, and hands on what came out in the order it came in.
pub(crate) fn pass(
    ports: &Ports<'_>,
    raw: &Table,
    cleaner: &Cleaner,
    files: &[DataFile],
    take: &mut dyn FnMut(u64, Cleaned) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let shape = shape(raw.schema());
    let batches = files.iter().flat_map(|file| match raw.batches(ports.lake, file) {
        Ok(batches) => {
            let share = file.bytes / (batches.len().max(1) as u64);
            Box::new(batches.map(move |batch| batch.map(|batch| (share, batch)).map_err(Failure::from)))
                as Box<dyn Iterator<Item = Result<(u64, DataFrame), Failure>> + Send + '_>
        }
        Err(error) => Box::new(std::iter::once(Err(Failure::from(error)))),
    });
    let source = Mutex::new(batches.enumerate());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |batch: Result<(u64, DataFrame), Failure>| {
        let (bytes, batch) = batch?;
        let cleaned = cleaner.clean(&batch, shape).map_err(contract_failure)?;
        Ok::<_, Failure>((bytes, batch.height() as u64, cleaned))
    };
    std::thread::scope(|scope| {
        let (done, results) = sync_channel(workers);
        for _ in 0..workers {
            let (done, source, work) = (done.clone(), &source, &work);
            scope.spawn(move || {
                loop {
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
        for (nth, result) in results {
            early.insert(nth, result);
            while let Some(result) = early.remove(&due) {
                let (bytes, rows, cleaned) = result?;
                take(rows, cleaned)?;
                ports.progress.advance(bytes);
                due += 1;
            }
        }
        Ok(())
    })
}

/// A raw dataset without columns of its own holds JSON.
fn shape(raw: &Schema) -> Shape {
    if raw.iter_names().all(|name| name.starts_with('_')) { Shape::Json } else { Shape::Columns }
}
