//! Receipts that are saved when the deadline passes, one object each, so that the next invocation of the same plan can resume from them.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_lake::{Checkpoint, receipt_name};

use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::step::Step;

/// Format number of stored receipts, partial receipts and task messages. Objects with another number are ignored.
pub(crate) const FORMAT: u32 = 1;

/// The receipts that earlier invocations of the same plan have saved, by receipt object name.
#[derive(Default)]
pub(crate) struct SavedReceipts {
    receipts: BTreeMap<String, (String, ReceiptState)>,
    spills: HashSet<String>,
    /// Partial receipts that this invocation resumed from, by task name. Comparing them with new ones shows whether there was any progress.
    partials: BTreeMap<String, Value>,
}

/// The saved state of one task.
pub(crate) enum SavedReceipt<R, P> {
    Done(R),
    Partial(P),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptFile {
    format: u32,
    /// The full task name. On a store that ignores case two task names may share one object key.
    task: String,
    state: ReceiptState,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReceiptState {
    Receipt(Value),
    Partial(Value),
}

impl SavedReceipts {
    /// Reads the saved receipts of a plan. Unreadable objects are ignored.
    pub(crate) fn read(context: &Context<'_>, checkpoint: &Checkpoint) -> Result<SavedReceipts, Error> {
        let (receipts, spills) = context.lake.checkpoint(checkpoint)?;
        let read = |bytes: &Bytes| {
            let written: ReceiptFile = serde_json::from_slice(bytes).ok()?;
            (written.format == FORMAT).then_some((written.task, written.state))
        };
        let receipts = receipts.into_iter().filter_map(|(name, bytes)| Some((name, read(&bytes)?))).collect();
        Ok(SavedReceipts { receipts, spills, partials: BTreeMap::new() })
    }

    /// Removes and returns the saved state of a task. Returns `None` if there is none, or if spill objects that it needs are missing.
    pub(crate) fn take<S: Step>(&mut self, step: &S, task: &str) -> Option<SavedReceipt<S::Receipt, S::Partial>> {
        let (of, state) = self.receipts.remove(&receipt_name(task))?;
        if of != task {
            return None;
        }
        let is_whole = |names: Vec<&str>| names.into_iter().all(|name| self.spills.contains(name));
        match state {
            ReceiptState::Receipt(value) => {
                let receipt: S::Receipt = serde_json::from_value(value).ok()?;
                is_whole(step.spill_objects(&receipt)).then_some(SavedReceipt::Done(receipt))
            }
            ReceiptState::Partial(value) => {
                let partial: S::Partial = serde_json::from_value(value.clone()).ok()?;
                let is_whole = is_whole(step.spill_objects_of_partial(&partial));
                self.partials.insert(task.to_owned(), value);
                is_whole.then_some(SavedReceipt::Partial(partial))
            }
        }
    }

    /// Saves receipts and partial receipts by task name. Returns false if they contain no progress over the state that was resumed.
    pub(crate) fn put<S: Step>(
        &self,
        context: &Context<'_>,
        checkpoint: &Checkpoint,
        done: Vec<(String, S::Receipt)>,
        partials: Vec<(String, S::Partial)>,
    ) -> Result<bool, Error> {
        let value = |value: serde_json::Result<Value>| {
            value.map_err(|error| Error::new(ErrorKind::Bug, "a receipt cannot be written").because(error))
        };
        let mut states = Vec::new();
        for (task, receipt) in done {
            states.push((task, ReceiptState::Receipt(value(serde_json::to_value(receipt))?)));
        }
        for (task, partial) in partials {
            let partial = value(serde_json::to_value(partial))?;
            if self.partials.get(&task) != Some(&partial) {
                states.push((task, ReceiptState::Partial(partial)));
            }
        }
        let has_news = !states.is_empty();
        let written: Vec<(String, Vec<u8>)> = states
            .into_iter()
            .map(|(task, state)| {
                let json = serde_json::to_vec(&ReceiptFile { format: FORMAT, task: task.clone(), state });
                json.map(|json| (task, json))
                    .map_err(|error| Error::new(ErrorKind::Bug, "a receipt cannot be written").because(error))
            })
            .collect::<Result<_, _>>()?;
        context.lake.put_receipts(checkpoint, &written)?;
        Ok(has_news)
    }
}
