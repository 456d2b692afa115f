//! Which partitions of a model have to be computed, decided from the heads of the logs, and how the work is cut into tasks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_flow::{Context, Failure, Kind, Scope, Size, Trigger};
use tidemark_lake::{DataFile, Diff, Meta, Partition, Table, schema_from_json};
use tidemark_pipeline::{ColumnName, DatasetName, When};

use super::definition::Model;
use super::receipts::{InputFiles, Receipt, Task};
use crate::calendar::{Day, from, until};

/// In-memory bytes of a byte of Parquet.
const INFLATION: u64 = 8;
/// Bytes of the inputs of a task in memory, about. Independent of the memory there is, so that tasks are cut the same everywhere.
const TASK_BYTES: u64 = 32 << 20;

/// The model and its inputs as they are.
pub struct Observed {
    base: Option<Standing>,
    inputs: Vec<Source>,
}

struct Standing {
    table: Table,
    meta: Meta,
    files: Vec<DataFile>,
}

/// An input as it stands, and what of it is new.
pub(super) struct Source {
    pub table: Table,
    pub from: Option<i64>,
    pub diff: Diff,
    files: Vec<DataFile>,
    watermark: Option<Timestamp>,
}

pub struct Plan {
    pub(super) base: Option<Table>,
    /// Live files of the model.
    pub(super) standing: Vec<DataFile>,
    pub(super) meta: Meta,
    pub(super) inputs: Vec<Source>,
    /// The partitions to compute, where they depend on the inputs' partitions; `None` = the model is computed whole.
    pub(super) days: Option<BTreeSet<Day>>,
    /// Nothing that stands is kept.
    pub(super) is_rebuild: bool,
    /// Nothing to compute, only the watermark to move.
    pub(super) is_idle: bool,
    pub(super) watermark: Option<Timestamp>,
    /// Its log says that it has consumed the inputs as they are.
    pub(super) is_up_to_date: bool,
}

impl Model<'_> {
    /// `None` if an input is not there yet: its step will wake this one.
    pub(super) fn look(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Observed>, Failure> {
        let lake = context.lake;
        let base = match lake.table(&self.model.name)? {
            Some(table) => Some(Standing { meta: table.meta(lake)?, files: table.files(lake)?, table }),
            None => None,
        };
        let kept = base.as_ref().filter(|base| !self.is_rebuild(Some(&base.meta), trigger));
        let mut inputs = Vec::new();
        for input in &self.model.inputs {
            let Some(table) = lake.table(input)? else { return Ok(None) };
            let from = kept.map(|base| base.table.consumed(lake, input.as_str())).transpose()?.flatten();
            let (watermark, files) = (table.meta(lake)?.watermark, table.files(lake)?);
            let before = match from {
                Some(version) if version == table.version() => files.clone(),
                Some(version) => lake.table_at(input, version)?.files(lake)?,
                None => Vec::new(),
            };
            inputs.push(Source { diff: Diff::between(before, &files), table, from, files, watermark });
        }
        Ok(Some(Observed { base, inputs }))
    }

    /// Whether nothing that stands is kept. `meta`: of the model, if it is there.
    fn is_rebuild(&self, meta: Option<&Meta>, trigger: &Trigger) -> bool {
        trigger.full || meta.is_none_or(|meta| meta.fingerprint != self.fingerprint)
    }

    pub(super) fn decide(&self, observed: Observed, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let Observed { base, inputs } = observed;
        let is_rebuild = self.is_rebuild(base.as_ref().map(|base| &base.meta), trigger);
        let (base, meta, standing) = match base {
            Some(Standing { table, meta, files }) => (Some(table), meta, files),
            None => (None, Meta::default(), Vec::new()),
        };
        // a quarantine says nothing about when data is complete
        let complete = inputs.iter().filter(|input| !input.table.dataset().is_quarantine());
        let watermark = complete.map(|input| input.watermark).min().flatten().max(meta.watermark);
        let has_changed = is_rebuild || inputs.iter().any(|input| !input.diff.is_empty());
        let waits = self.model.when == When::Complete && watermark != meta.watermark;
        let days = self.days(&inputs, is_rebuild, meta.watermark, watermark)?;
        let is_idle = match &days {
            Some(days) => days.is_empty() && !is_rebuild,
            None => !has_changed && !waits,
        };
        let is_up_to_date = inputs.iter().all(|input| input.from == Some(input.table.version()));
        if is_idle && watermark == meta.watermark && is_up_to_date {
            return Ok(None);
        }
        Ok(Some(Plan { base, standing, meta, inputs, days, is_rebuild, is_idle, watermark, is_up_to_date }))
    }

    /// The partitions to compute; all of them if nothing that stands is kept.
    fn days(
        &self,
        inputs: &[Source],
        is_rebuild: bool,
        before: Option<Timestamp>,
        now: Option<Timestamp>,
    ) -> Result<Option<BTreeSet<Day>>, Failure> {
        let Some(incremental) = self.model.incremental else { return Ok(None) };
        let mut days = BTreeSet::new();
        for input in inputs {
            let dataset = input.table.dataset();
            let all: BTreeSet<&Partition> = input.files.iter().map(|file| &file.partition).collect();
            let changed = input.diff.partitions();
            let changed: Vec<&Partition> =
                if is_rebuild { all.iter().copied().collect() } else { changed.iter().collect() };
            for partition in changed {
                days.extend(from(&self.day(dataset, partition)?, incremental.lookback_days));
            }
            if self.model.when == When::Complete && !is_rebuild {
                // what was held back when it was not complete yet
                for partition in all {
                    let day = self.day(dataset, partition)?;
                    if self.calendar.is_over(&day, now) && !self.calendar.is_over(&day, before) {
                        days.insert(day);
                    }
                }
            }
        }
        if self.model.when == When::Complete {
            days.retain(|day| self.calendar.is_over(day, now));
        }
        Ok(Some(days))
    }

    /// The tasks of the stage that follows these receipts.
    pub(super) fn stage(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Failure> {
        if plan.is_idle {
            return Ok(Vec::new());
        }
        let first = self.cut(plan, plan.days.as_ref(), plan.is_rebuild)?;
        if receipts.len() < first.len() {
            return Ok(first);
        }
        if plan.is_rebuild || !self.has_another_shape(plan, &receipts[..first.len()])? {
            return Ok(Vec::new());
        }
        // its inputs have changed their columns: partitions that stand would not fit those that come
        let days = self.days(&plan.inputs, true, None, plan.watermark)?;
        let all = self.cut(plan, days.as_ref(), true)?;
        Ok(if receipts.len() < first.len() + all.len() { all } else { Vec::new() })
    }

    fn has_another_shape(&self, plan: &Plan, receipts: &[Receipt]) -> Result<bool, Failure> {
        let Some(base) = &plan.base else { return Ok(false) };
        let partition_by: Vec<ColumnName> = self.model.partition_by.iter().cloned().collect();
        for receipt in receipts {
            let schema = schema_from_json(&self.model.name, &receipt.schema)
                .ok_or_else(|| Failure::new(Kind::Bug, "the columns of a model cannot be read"))?;
            if base.misfit(&schema, &partition_by)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The partitions in groups whose inputs fit in memory; one task for a model that is computed whole.
    fn cut(&self, plan: &Plan, days: Option<&BTreeSet<Day>>, is_rebuild: bool) -> Result<Vec<Task>, Failure> {
        let task = |days: Option<BTreeSet<Day>>, files: &dyn Fn(&Source) -> Vec<DataFile>| Task {
            inputs: plan
                .inputs
                .iter()
                .map(|input| InputFiles {
                    dataset: input.table.dataset().clone(),
                    version: input.table.version(),
                    files: files(input),
                })
                .collect(),
            days,
            is_rebuild,
            watermark: plan.watermark,
        };
        let Some(days) = days else { return Ok(vec![task(None, &|input| input.files.clone())]) };
        let lookback = self.lookback();
        let mut bytes: BTreeMap<Day, u64> = BTreeMap::new();
        let mut files: BTreeMap<(&DatasetName, &str), Day> = BTreeMap::new();
        for input in &plan.inputs {
            for file in &input.files {
                let day = self.day(input.table.dataset(), &file.partition)?;
                *bytes.entry(day.clone()).or_default() += file.bytes * INFLATION;
                files.insert((input.table.dataset(), &file.path), day);
            }
        }
        let mut groups = vec![BTreeSet::new()];
        let mut held = 0;
        for day in days {
            let more: u64 = until(day, lookback).filter_map(|day| bytes.get(&day)).sum();
            if held > 0 && held + more > TASK_BYTES {
                groups.push(BTreeSet::new());
                held = 0;
            }
            held += more;
            if let Some(group) = groups.last_mut() {
                group.insert(day.clone());
            }
        }
        let tasks = groups.into_iter().map(|group| {
            let wanted: BTreeSet<Day> = group.iter().flat_map(|day| until(day, lookback)).collect();
            task(Some(group), &|input| {
                let is_wanted = |file: &&DataFile| {
                    let day = files.get(&(input.table.dataset(), file.path.as_str()));
                    day.is_some_and(|day| wanted.contains(day))
                };
                input.files.iter().filter(is_wanted).cloned().collect()
            })
        });
        Ok(tasks.collect())
    }
}

pub(super) fn scope(plan: &Plan) -> Scope {
    let added = || plan.inputs.iter().flat_map(|input| &input.diff.added);
    let partitions = plan.days.as_ref().map_or_else(|| added().count(), BTreeSet::len) as u64;
    let size = Size {
        partitions,
        rows: Some(added().map(|file| file.rows).sum()),
        bytes: added().map(|file| file.bytes).sum(),
        how: None,
    };
    Scope { partitions: plan.days.iter().flatten().map(Day::to_string).collect(), size }
}

/// Differs between any two plans.
pub(super) fn text(model: &Model<'_>, plan: &Plan) -> String {
    let inputs = plan.inputs.iter().map(|input| format!("{}@{}", input.table.dataset(), input.table.version()));
    let (inputs, base) = (inputs.collect::<Vec<_>>(), plan.base.as_ref().map(Table::version));
    let Plan { is_rebuild, watermark, days, .. } = plan;
    format!("{inputs:?} {base:?} {is_rebuild} {watermark:?} {days:?} {}", model.fingerprint)
}

/// The name of a task: its first and last partition.
pub(super) fn name(task: &Task) -> String {
    let how = if task.is_rebuild { "rebuilt" } else { "computed" };
    let ends = task.days.as_ref().and_then(|days| days.first().zip(days.last()));
    match ends {
        Some((first, last)) => format!("{how}-{first}-{last}"),
        None => how.to_owned(),
    }
}
