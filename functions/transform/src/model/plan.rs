//! Decides from the latest versions of the logs which partitions of a model have to be computed, and cuts the work into tasks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_flow::{Context, Error, ErrorKind, Scope, Size, Trigger};
use tidemark_lake::{DataFile, Diff, Meta, Partition, Table, fingerprint, schema_from_json};
use tidemark_pipeline::{ColumnName, DatasetName, PartitionPeriod, Partitioning, When};

use super::definition::Model;
use super::receipts::{InputFiles, Receipt, Task};

/// Estimated bytes in memory for each byte of Parquet.
const INFLATION: u64 = 8;
/// Approximate bytes in memory of a task's inputs. Smaller only if memory is scarce, so that tasks are mostly cut the same everywhere.
const TASK_BYTES: u64 = 32 << 20;

/// The model and its inputs at their latest versions.
pub struct Observed {
    base: Option<CurrentDataset>,
    inputs: Vec<Source>,
    memory: u64,
}

struct CurrentDataset {
    table: Table,
    meta: Meta,
    files: Vec<DataFile>,
}

/// An input at its latest version, and its changes.
pub(super) struct Source {
    pub table: Table,
    pub from: Option<i64>,
    pub diff: Diff,
    files: Vec<DataFile>,
    watermark: Option<Timestamp>,
    /// Watermark of version `from`, up to which partitions have been published. Only for models with `when = "complete"`.
    consumed_watermark: Option<Timestamp>,
}

impl Source {
    /// Whether the watermark counts; that of a quarantine says nothing about completeness.
    fn has_completeness(&self) -> bool {
        !self.table.dataset().is_quarantine()
    }
}

pub struct Plan {
    pub(super) base: Option<Table>,
    /// Live files of the model.
    pub(super) existing: Vec<DataFile>,
    pub(super) meta: Meta,
    pub(super) inputs: Vec<Source>,
    /// The partitions to compute, if they depend on the inputs' partitions. None means that the whole model is computed.
    pub(super) periods: Option<BTreeSet<PartitionPeriod>>,
    /// The model is rebuilt; no existing rows are kept.
    pub(super) is_rebuild: bool,
    /// There is nothing to compute; only the watermark advances.
    pub(super) is_idle: bool,
    pub(super) watermark: Option<Timestamp>,
    /// The model's log says that it has consumed the latest versions of the inputs.
    pub(super) is_up_to_date: bool,
    /// Approximate bytes in memory of a task's inputs.
    task_bytes: u64,
}

impl Model<'_> {
    /// Returns None if an input does not exist yet; the step that creates it will trigger this one.
    pub(super) fn observe_logs(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Observed>, Error> {
        let lake = context.lake;
        let base = match lake.table(&self.model.name)? {
            Some(table) => Some(CurrentDataset { meta: table.meta(lake)?, files: table.files(lake)?, table }),
            None => None,
        };
        let kept = base.as_ref().filter(|base| !self.is_rebuild(Some(&base.meta), trigger));
        let mut inputs = Vec::new();
        for input in &self.model.inputs {
            let Some(table) = lake.table(input)? else { return Ok(None) };
            let from = kept.map(|base| base.table.consumed(lake, input.as_str())).transpose()?.flatten();
            let (watermark, files) = (table.meta(lake)?.watermark, table.files(lake)?);
            let (before, consumed_watermark) = match from {
                Some(version) if version == table.version() => (files.clone(), watermark),
                Some(version) => {
                    let consumed = lake.table_at(input, version)?;
                    let watermark = match self.model.when {
                        When::Complete => consumed.meta(lake)?.watermark,
                        When::Changed => None,
                    };
                    (consumed.files(lake)?, watermark)
                }
                None => (Vec::new(), None),
            };
            let diff = Diff::between(before, &files);
            inputs.push(Source { diff, table, from, files, watermark, consumed_watermark });
        }
        Ok(Some(Observed { base, inputs, memory: context.memory }))
    }

    /// Whether the model must be rebuilt. `meta`: the model's metadata, if it exists.
    fn is_rebuild(&self, meta: Option<&Meta>, trigger: &Trigger) -> bool {
        trigger.full || meta.is_none_or(|meta| meta.fingerprint != self.fingerprint)
    }

    pub(super) fn decide(&self, observed: Observed, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        let Observed { base, inputs, memory } = observed;
        let is_rebuild = self.is_rebuild(base.as_ref().map(|base| &base.meta), trigger);
        let (base, meta, existing) = match base {
            Some(CurrentDataset { table, meta, files }) => (Some(table), meta, files),
            None => (None, Meta::default(), Vec::new()),
        };
        let mut complete = inputs.iter().filter(|input| input.has_completeness());
        // less than before if a new input, or an input that was rebuilt, is behind
        let watermark = complete.clone().map(|input| input.watermark).min().flatten();
        let has_changed = is_rebuild || inputs.iter().any(|input| !input.diff.is_empty());
        let may_complete =
            self.model.when == When::Complete && complete.any(|input| input.watermark != input.consumed_watermark);
        let periods = self.periods(&inputs, &existing, is_rebuild)?;
        let is_idle = match &periods {
            Some(periods) => periods.is_empty() && !is_rebuild,
            None => !has_changed && !may_complete,
        };
        let is_up_to_date = inputs.iter().all(|input| input.from == Some(input.table.version()));
        if is_idle && watermark == meta.watermark && is_up_to_date {
            return Ok(None);
        }
        let task_bytes = TASK_BYTES.min(memory / 4);
        Ok(Some(Plan {
            base,
            existing,
            meta,
            inputs,
            periods,
            is_rebuild,
            is_idle,
            watermark,
            is_up_to_date,
            task_bytes,
        }))
    }

    /// The partitions to compute; all of them on a rebuild. None if they do not depend on the inputs' partitions.
    fn periods(
        &self,
        inputs: &[Source],
        existing: &[DataFile],
        is_rebuild: bool,
    ) -> Result<Option<BTreeSet<PartitionPeriod>>, Error> {
        let (Some(incremental), Some(own)) = (self.model.incremental, self.own) else { return Ok(None) };
        let waits = self.model.when == When::Complete;
        // of each partition, whether an input partition that it reads has changed
        let mut periods: BTreeMap<PartitionPeriod, bool> = BTreeMap::new();
        for input in inputs {
            let live = || input.files.iter().map(|file| file.partition.clone()).collect::<BTreeSet<Partition>>();
            let changed = if is_rebuild { live() } else { input.diff.partitions().into_iter().collect() };
            let held_back = if waits { &live() - &changed } else { BTreeSet::new() };
            for (partitions, has_changed, lookback) in
                [(&changed, true, incremental.lookback_days), (&held_back, false, 0)]
            {
                for partition in partitions {
                    let period = self.period_of_input(input.table.dataset(), partition)?;
                    for period in own.reading(&period, lookback) {
                        *periods.entry(period).or_default() |= has_changed;
                    }
                }
            }
        }
        if waits && !is_rebuild {
            // published partitions whose input partitions were removed while a watermark was behind
            for file in existing {
                periods.entry(self.period(&file.partition)?).or_default();
            }
        }
        let is_complete = |period: &PartitionPeriod, watermark: fn(&Source) -> Option<Timestamp>| {
            self.is_complete(own, period, inputs.iter().map(|input| (input.table.dataset(), watermark(input))))
        };
        periods.retain(|period, has_changed| {
            !waits
                || is_complete(period, |input| input.watermark)
                    && (*has_changed || !is_complete(period, |input| input.consumed_watermark))
        });
        Ok(Some(periods.into_keys().collect()))
    }

    /// Whether a partition of the model is complete, given the watermarks of its inputs. Quarantines are ignored.
    pub(super) fn is_complete<'d>(
        &self,
        own: &Partitioning,
        period: &PartitionPeriod,
        inputs: impl Iterator<Item = (&'d DatasetName, Option<Timestamp>)>,
    ) -> bool {
        let inputs = inputs.filter(|(dataset, _)| !dataset.is_quarantine());
        own.is_model_complete(period, inputs.map(|(dataset, watermark)| (self.inputs.get(dataset).copied(), watermark)))
    }

    /// The tasks of the stage that follows these receipts.
    pub(super) fn stage(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        if plan.is_idle {
            return Ok(Vec::new());
        }
        let first = self.cut(plan, plan.periods.as_ref(), plan.is_rebuild)?;
        if receipts.len() < first.len() {
            return Ok(first);
        }
        if plan.is_rebuild || !self.has_schema_changed(plan, &receipts[..first.len()])? {
            return Ok(Vec::new());
        }
        // the result has other columns than the existing partitions, so all of them are computed again
        let periods = self.periods(&plan.inputs, &plan.existing, true)?;
        let all = self.cut(plan, periods.as_ref(), true)?;
        Ok(if receipts.len() < first.len() + all.len() { all } else { Vec::new() })
    }

    fn has_schema_changed(&self, plan: &Plan, receipts: &[Receipt]) -> Result<bool, Error> {
        let Some(base) = &plan.base else { return Ok(false) };
        let partition_by: Vec<ColumnName> = self.model.partition_by.iter().cloned().collect();
        for receipt in receipts {
            let schema = schema_from_json(&self.model.name, &receipt.schema)
                .ok_or_else(|| Error::new(ErrorKind::Bug, "the columns of a model cannot be read"))?;
            if base.schema_mismatch(&schema, &partition_by)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cuts the partitions into tasks whose inputs fit in memory. A model that is computed as a whole is one task.
    fn cut(
        &self,
        plan: &Plan,
        periods: Option<&BTreeSet<PartitionPeriod>>,
        is_rebuild: bool,
    ) -> Result<Vec<Task>, Error> {
        let task = |periods: Option<BTreeSet<PartitionPeriod>>, files: &dyn Fn(&Source) -> Vec<DataFile>| Task {
            inputs: plan
                .inputs
                .iter()
                .map(|input| InputFiles {
                    dataset: input.table.dataset().clone(),
                    version: input.table.version(),
                    watermark: input.watermark,
                    files: files(input),
                })
                .collect(),
            periods,
            is_rebuild,
        };
        let Some(periods) = periods else { return Ok(vec![task(None, &|input| input.files.clone())]) };
        // the files of each input by their periods
        let mut files: BTreeMap<&DatasetName, BTreeMap<PartitionPeriod, Vec<&DataFile>>> = BTreeMap::new();
        for input in &plan.inputs {
            let by_period = files.entry(input.table.dataset()).or_default();
            for file in &input.files {
                by_period.entry(self.period_of_input(input.table.dataset(), &file.partition)?).or_default().push(file);
            }
        }
        let read_by = |input: &DatasetName, period: &PartitionPeriod| match self.inputs.get(input) {
            Some(partitioning) => partitioning.read_by(period, self.lookback()),
            None => Vec::new(),
        };
        let mut groups = vec![BTreeSet::new()];
        let mut held = 0;
        for period in periods {
            let more = files.iter().flat_map(|(input, files)| {
                read_by(input, period).into_iter().filter_map(|read| files.get(&read)).flatten()
            });
            let more: u64 = more.map(|file| file.bytes * INFLATION).sum();
            if held > 0 && held + more > plan.task_bytes {
                groups.push(BTreeSet::new());
                held = 0;
            }
            held += more;
            if let Some(group) = groups.last_mut() {
                group.insert(period.clone());
            }
        }
        let tasks = groups.into_iter().map(|group| {
            let all = group.clone();
            task(Some(group), &|input| {
                let dataset = input.table.dataset();
                let wanted: BTreeSet<_> = all.iter().flat_map(|period| read_by(dataset, period)).collect();
                let files = files.get(dataset).into_iter().flatten();
                let wanted = files.filter(|(period, _)| wanted.contains(*period)).flat_map(|(_, files)| files);
                // restore the order of the log
                let mut wanted: Vec<DataFile> = wanted.map(|file| (*file).clone()).collect();
                wanted.sort_by(|a, b| (&a.partition, &a.path).cmp(&(&b.partition, &b.path)));
                wanted
            })
        });
        Ok(tasks.collect())
    }
}

pub(super) fn scope(plan: &Plan) -> Scope {
    let added = || plan.inputs.iter().flat_map(|input| &input.diff.added);
    let partitions = plan.periods.as_ref().map_or_else(|| added().count(), BTreeSet::len) as u64;
    let size = Size {
        partitions,
        rows: Some(added().map(|file| file.rows).sum()),
        bytes: added().map(|file| file.bytes).sum(),
        how: None,
    };
    Scope { partitions: plan.periods.iter().flatten().map(PartitionPeriod::to_string).collect(), size }
}

/// A text that differs between any two plans.
pub(super) fn text(model: &Model<'_>, plan: &Plan) -> String {
    let inputs = plan.inputs.iter().map(|input| format!("{}@{}", input.table.dataset(), input.table.version()));
    let (inputs, base) = (inputs.collect::<Vec<_>>(), plan.base.as_ref().map(Table::version));
    let Plan { is_rebuild, watermark, periods, .. } = plan;
    format!("{inputs:?} {base:?} {is_rebuild} {watermark:?} {periods:?} {}", model.fingerprint)
}

/// The name of a task, derived from all of its partitions.
pub(super) fn name(task: &Task) -> String {
    let how = if task.is_rebuild { "rebuilt" } else { "computed" };
    match &task.periods {
        Some(periods) => format!("{how}-{}", fingerprint(&format!("{periods:?}"))),
        None => how.to_owned(),
    }
}
