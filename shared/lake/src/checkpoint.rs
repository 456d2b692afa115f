//! Checkpoints: what the tasks of a plan have done so far, kept beside the dataset they are for, so that another invocation, or another
//! process, can continue from there. Readers of the table do not see it. It is optional: without it the work starts again from scratch.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use tidemark_pipeline::DatasetName;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// Identifies the checkpoint of one plan of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The dataset that will be committed to.
    pub dataset: DatasetName,
    /// Fingerprint of everything that determines the plan and its tasks: input versions, definition, program version.
    pub plan: String,
}

/// Receipts written concurrently, because a request takes tens of milliseconds whatever its size.
const AT_ONCE: usize = 16;

impl Lake {
    /// Contents of a checkpoint: the receipts by the name of their task ([`Lake::put_receipts`]), and the names of its spill objects.
    pub fn checkpoint(&self, of: &Checkpoint) -> Result<(BTreeMap<String, Bytes>, HashSet<String>), LakeError> {
        let folder = Key::Checkpoint(&of.dataset, &of.plan).path();
        let found = self.store().list(Some(&folder)).map_err(|source| LakeError::store(folder.to_string(), source))?;
        let names = found.iter().filter_map(|object| object.location.filename());
        let (receipts, spills): (Vec<&str>, Vec<&str>) = names.partition(|name| name.ends_with(RECEIPT));
        let keys: Vec<_> = receipts.iter().map(|name| folder.clone().join(*name)).collect();
        let read = receipts.into_iter().zip(self.store().get_all(keys)).filter_map(|(name, read)| match read {
            Ok(bytes) => Some(Ok((name.to_owned(), bytes))),
            // another invocation has finished the plan
            Err(object_store::Error::NotFound { .. }) => None,
            Err(source) => Some(Err(LakeError::store(format!("{folder}/{name}"), source))),
        });
        let receipts = read.collect::<Result<_, _>>()?;
        Ok((receipts, spills.into_iter().map(str::to_owned).collect()))
    }

    /// Stores receipts, each under the name of its task, replacing any earlier receipt of that task.
    pub fn put_receipts(&self, of: &Checkpoint, receipts: &[(String, Vec<u8>)]) -> Result<(), LakeError> {
        let folder = Key::Checkpoint(&of.dataset, &of.plan).path();
        for some in receipts.chunks(AT_ONCE) {
            let put = |(task, receipt): &(String, Vec<u8>)| {
                let key = folder.clone().join(receipt_name(task));
                self.store().put(&key, receipt.clone()).map_err(|source| LakeError::store(key.to_string(), source))
            };
            std::thread::scope(|scope| {
                let all: Vec<_> = some.iter().map(|one| scope.spawn(move || put(one))).collect();
                all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })?;
        }
        Ok(())
    }

    /// Stores rows as a spill object and returns its name.
    pub fn put_spill(&self, of: &Checkpoint, rows: Vec<u8>) -> Result<String, LakeError> {
        let name = crate::key::content_name(&rows);
        let key = Key::Spill(&of.dataset, &of.plan, &name).path();
        self.store().put(&key, rows).map_err(|source| LakeError::store(key.to_string(), source))?;
        Ok(name)
    }

    /// Reads a byte range of a spill object.
    pub fn spill(&self, of: &Checkpoint, name: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        let key = Key::Spill(&of.dataset, &of.plan, name).path();
        self.store().get_range(&key, range).map_err(|source| LakeError::store(key.to_string(), source))
    }

    /// Deletes a checkpoint, once its plan is committed. If this fails, the leftover objects are harmless and a vacuum deletes them later.
    pub fn delete_checkpoint(&self, of: &Checkpoint) {
        let folder = Key::Checkpoint(&of.dataset, &of.plan).path();
        let deleted = self
            .store()
            .list(Some(&folder))
            .and_then(|objects| objects.iter().try_for_each(|object| self.store().delete(&object.location)));
        if let Err(error) = deleted {
            tracing::warn!(%error, dataset = %of.dataset, "the checkpoint of a plan that is done was not deleted");
        }
    }
}

/// Suffix of a receipt's object name.
const RECEIPT: &str = ".json";

/// Object name of a task's receipt.
pub fn receipt_name(task: &str) -> String {
    format!("{}{RECEIPT}", crate::key::safe_part(task))
}
