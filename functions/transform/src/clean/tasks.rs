//! Cuts a plan of step `clean` into tasks, stage by stage. The cut depends only on the files, not on memory or cores.

use std::collections::BTreeSet;

use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Table};

use super::definition::{Clean, Value};
use super::plan::Plan;
use super::receipts::{AddedRows, FileSlice, Files, MergeTask, PreviousRows, Receipt, Task};
use crate::key_index::{KeyColumns, buckets};
use crate::spill_manifest::{Chunks, SpillManifest};

/// Approximate rows of a task of the first stage: two full row groups.
const TASK_ROWS: u64 = 1 << 17;
/// Maximum files of a task of the first stage.
const TASK_FILES: usize = 64;

impl Clean<'_> {
    /// The tasks of the stage that follows these receipts.
    pub(super) fn stage(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        let first = self.first_stage(plan);
        if receipts.len() < first.len() {
            return Ok(first);
        }
        let (first_receipts, rest) = receipts.split_at(first.len());
        let added = AddedRows::all(first_receipts);
        added.drifts.check_allowed(self.contract)?;
        let publishes = self.within_budget(&added).is_ok();
        let second = self.second_stage(plan, first_receipts, &added, publishes);
        if rest.len() < second.len() {
            return Ok(second);
        }
        let (second_receipts, rest) = rest.split_at(second.len());
        match publishes && rest.is_empty() {
            true => Ok(self.third_stage(plan, first_receipts, second_receipts, &added)),
            false => Ok(Vec::new()),
        }
    }

    fn first_stage(&self, plan: &Plan) -> Vec<Task> {
        let rows = plan.kept().chain(&plan.added).map(|file| file.rows).sum();
        let (has_index, raw) = (KeyColumns::new(self.contract).is_some(), plan.raw.version());
        let buckets = if has_index { buckets(rows) } else { 0 };
        let cut = |version: i64, files: &mut dyn Iterator<Item = &DataFile>| -> Vec<Files> {
            let groups = grouped(files).into_iter().enumerate();
            groups.map(|(nth, slices)| Files { nth, version, slices, buckets }).collect()
        };
        let mut tasks = Vec::new();
        // existing rows arrived before the new ones
        if let (true, Some(clean)) = (has_index, &plan.clean) {
            tasks.extend(cut(clean.version(), &mut plan.kept()).into_iter().map(Task::Existing));
        }
        tasks.extend(cut(raw, &mut plan.added.iter()).into_iter().map(Task::Added));
        if let Some(before) = plan.from.filter(|_| !plan.is_rebuild) {
            tasks.extend(cut(before, &mut plan.removed.iter()).into_iter().map(Task::Removed));
        }
        tasks
    }

    fn second_stage(&self, plan: &Plan, first_receipts: &[Receipt], added: &AddedRows, publishes: bool) -> Vec<Task> {
        let mut keys = SpillManifest::default();
        for receipt in first_receipts {
            match receipt {
                Receipt::Existing { keys: more } => keys.append(more),
                Receipt::Added(added) => keys.append(&added.keys),
                _ => {}
            }
        }
        let superseded = keys.cells().filter(|_| publishes);
        let mut tasks: Vec<Task> =
            superseded.map(|(bucket, keys)| Task::Superseded { bucket: *bucket, keys: keys.clone() }).collect();
        // if the clean rows are not published, no row counts as healed
        let healed_by = publishes.then(|| self.fingerprint.clone());
        let objects: BTreeSet<&String> =
            added.quarantined.cells().map(|(object, _)| object).chain(plan.previous.keys()).collect();
        tasks.extend(objects.into_iter().map(|object| Task::Quarantined {
            object: object.clone(),
            rows: added.quarantined.get(object).cloned().unwrap_or_default(),
            previous: plan.previous.get(object).zip(plan.quarantine.as_ref()).map(|(files, quarantine)| PreviousRows {
                version: quarantine.version(),
                files: files.clone(),
                skips_damaged: plan.is_full,
            }),
            healed_by: healed_by.clone(),
        }));
        tasks
    }

    fn third_stage(
        &self,
        plan: &Plan,
        first_receipts: &[Receipt],
        second_receipts: &[Receipt],
        added: &AddedRows,
    ) -> Vec<Task> {
        let (mut removed, mut superseded) = (SpillManifest::default(), SpillManifest::default());
        for receipt in first_receipts.iter().chain(second_receipts) {
            match receipt {
                Receipt::Removed { rows } => removed.append(rows),
                Receipt::Superseded { keys, .. } => superseded.append(keys),
                _ => {}
            }
        }
        let cells = added.incoming.cells().chain(removed.cells()).chain(superseded.cells());
        let touched: BTreeSet<&Value> = cells.map(|(value, _)| value).collect();
        let of =
            |rows: &SpillManifest<Value>, value: &Value| -> Chunks { rows.get(value).cloned().unwrap_or_default() };
        let tasks = touched.into_iter().map(|value| {
            let files = plan.existing.get(&self.partition_of(value)).filter(|_| !plan.is_rebuild);
            Task::Merged(Box::new(MergeTask {
                value: value.clone(),
                existing: plan.clean.as_ref().map(Table::version).zip(files.cloned()),
                incoming: of(&added.incoming, value),
                removed: of(&removed, value),
                superseded: of(&superseded, value),
            }))
        });
        tasks.collect()
    }

    /// Fails if more rows are quarantined than the contract allows; then nothing is published.
    pub(super) fn within_budget(&self, added: &AddedRows) -> Result<(), Error> {
        let (quarantined, rows_in) = (added.balance.quarantined, added.balance.rows_in);
        let Some(budget) = self.contract.max_quarantined else { return Ok(()) };
        if quarantined <= budget.limit(rows_in) {
            return Ok(());
        }
        let message = format!(
            "{quarantined} of {rows_in} rows break the contract of {}, more than max_quarantined = {budget}: {}",
            self.contract.dataset,
            added.faults.summary()
        );
        let hint =
            format!("nothing was published; look at them with: tidemark quarantine list {}", self.contract.dataset);
        Err(Error::new(ErrorKind::Data, message).hint(hint).over_budget())
    }
}

impl AddedRows {
    /// The combined result of all tasks of the first stage, in task order.
    pub(super) fn all(first_receipts: &[Receipt]) -> AddedRows {
        let mut all = AddedRows::default();
        for receipt in first_receipts {
            let Receipt::Added(more) = receipt else { continue };
            all.balance.rows_in += more.balance.rows_in;
            all.balance.quarantined += more.balance.quarantined;
            for (name, dropped) in &more.balance.filtered {
                *all.balance.filtered.entry(name.clone()).or_default() += dropped;
            }
            all.faults.append(&more.faults);
            all.drifts.append(&more.drifts);
            all.incoming.append(&more.incoming);
            all.quarantined.append(&more.quarantined);
        }
        all
    }
}

/// The name of a task: its number in the plan for tasks on files, else its bucket, object or partition.
pub(super) fn name(task: &Task) -> String {
    match task {
        Task::Added(files) => format!("added-{:05}", files.nth),
        Task::Removed(files) => format!("removed-{:05}", files.nth),
        Task::Existing(files) => format!("standing-{:05}", files.nth),
        Task::Superseded { bucket, .. } => format!("superseded-{bucket:05}"),
        Task::Quarantined { object, healed_by: Some(_), .. } => format!("quarantined-{object}"),
        // the clean rows are not published; another `max_quarantined` may publish them
        Task::Quarantined { object, healed_by: None, .. } => format!("unpublished-{object}"),
        Task::Merged(merge) => match &merge.value {
            Some(value) => format!("merged-{value}"),
            None => "merged".to_owned(),
        },
    }
}

/// Groups small files and cuts large ones, so that each group is about the work of one task.
fn grouped<'f>(files: impl Iterator<Item = &'f DataFile>) -> Vec<Vec<FileSlice>> {
    let mut groups: Vec<Vec<FileSlice>> = Vec::new();
    let mut rows = 0;
    let mut is_open = false;
    for file in files {
        let parts = usize::try_from(file.rows.div_ceil(TASK_ROWS)).unwrap_or(usize::MAX).max(1);
        if parts > 1 {
            groups.extend((0..parts).map(|nth| vec![FileSlice { file: file.clone(), nth, parts }]));
            is_open = false;
            continue;
        }
        let slice = FileSlice { file: file.clone(), nth: 0, parts: 1 };
        match groups.last_mut().filter(|group| is_open && rows + file.rows <= TASK_ROWS && group.len() < TASK_FILES) {
            Some(group) => {
                group.push(slice);
                rows += file.rows;
            }
            None => {
                groups.push(vec![slice]);
                (rows, is_open) = (file.rows, true);
            }
        }
    }
    groups
}
