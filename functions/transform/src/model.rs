//! Step `model`: SQL over datasets, or the elements of a dataset's arrays, recomputed where the inputs changed, committed where the
//! result differs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use polars::prelude::{DataFrame, Schema};
use tidemark_flow::{Balance, Bytes, Context, Drafted, Drafting, Failure, Input, Kind, Output, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Diff, Draft, Meta, Outcome, Partition, Table, Work, Writer, fingerprint};
use tidemark_pipeline::{ColumnName, Made, Model as Definition, Pipeline, StepId, When};

use crate::calendar::{Calendar, Day, from, until};
use crate::stretch::Stretch;

mod compute;
mod done;

use done::Done;

/// In-memory bytes of a byte of Parquet.
const INFLATION: u64 = 8;

/// Step `model <name>` of one pipeline.
pub struct Model<'a> {
    pipeline: &'a Pipeline,
    model: &'a Definition,
    /// Of the SQL and what else decides the result; another one means that everything must be computed again.
    fingerprint: String,
    calendar: Calendar,
}

/// An input as it stands, and what of it is new.
struct Source {
    table: Table,
    from: Option<i64>,
    diff: Diff,
}

pub struct Plan {
    base: Option<Table>,
    meta: Meta,
    inputs: Vec<Source>,
    /// The partitions to compute, where they hang on the inputs' partitions; `None` = the model is computed whole.
    days: Option<BTreeSet<Day>>,
    /// Nothing that stands is kept.
    anew: bool,
    /// Nothing to compute, only the watermark to move.
    idle: bool,
    watermark: Option<Timestamp>,
    /// Its log says that it has consumed the inputs as they are.
    is_up_to_date: bool,
}

impl<'a> Model<'a> {
    pub fn new(pipeline: &'a Pipeline, model: &'a Definition, fingerprint: String) -> Model<'a> {
        let by = pipeline.contract.as_ref().and_then(|contract| contract.partition_by.as_ref());
        Model { pipeline, model, fingerprint, calendar: Calendar::of(by) }
    }

    /// The partitions to compute; all of them if nothing that stands is kept.
    fn days(
        &self,
        context: &Context<'_>,
        inputs: &[Source],
        anew: bool,
        before: Option<Timestamp>,
        now: Option<Timestamp>,
    ) -> Result<Option<BTreeSet<Day>>, Failure> {
        let Some(incremental) = self.model.incremental else { return Ok(None) };
        let mut days = BTreeSet::new();
        for input in inputs {
            let all = || Ok::<_, Failure>(input.table.partitions(context.lake)?.into_keys().collect());
            let changed: Vec<Partition> = if anew { all()? } else { input.diff.partitions() };
            for partition in changed {
                days.extend(from(&self.day(&input.table, &partition)?, incremental.lookback_days));
            }
            if self.model.when == When::Complete && !anew {
                // what was held back when it was not complete yet
                for partition in all()? {
                    let day = self.day(&input.table, &partition)?;
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

    fn day(&self, input: &Table, partition: &Partition) -> Result<Day, Failure> {
        let day = match partition.values() {
            [(_, value)] => self.day_of(value.as_deref()),
            _ => None,
        };
        day.ok_or_else(|| {
            let message = format!("{}: partition {partition} of dataset {} is no date", self.what(), input.dataset());
            Failure::new(Kind::Definition, message).hint("leave incremental out, or partition the input by a date")
        })
    }

    /// The partition of a value; `None` where the value is no date and has to be one.
    fn day_of(&self, value: Option<&str>) -> Option<Day> {
        match (value, &self.model.made) {
            (None, _) => Some(Day::None),
            (Some(value), Made::Sql(_)) => value.parse().ok().map(Day::First),
            (Some(value), Made::Explode(_)) => Some(Day::Value(value.to_owned())),
        }
    }

    /// The partitions to compute, but for some of the first, in groups whose inputs fit in memory; one group for a model that is computed
    /// whole.
    fn groups(&self, context: &Context<'_>, plan: &Plan, done: usize) -> Result<Vec<Option<BTreeSet<Day>>>, Failure> {
        let Some(days) = &plan.days else { return Ok(vec![None]) };
        let lookback = self.model.incremental.map_or(0, |incremental| incremental.lookback_days);
        let mut bytes: BTreeMap<Day, u64> = BTreeMap::new();
        for input in &plan.inputs {
            for file in input.table.files(context.lake)? {
                *bytes.entry(self.day(&input.table, &file.partition)?).or_default() += file.bytes * INFLATION;
            }
        }
        let mut groups = vec![BTreeSet::new()];
        let mut held = 0;
        for day in days.iter().skip(done) {
            let more: u64 = until(day, lookback).filter_map(|day| bytes.get(&day)).sum();
            if held > 0 && held + more > context.memory / 4 {
                groups.push(BTreeSet::new());
                held = 0;
            }
            held += more;
            if let Some(group) = groups.last_mut() {
                group.insert(day.clone());
            }
        }
        Ok(groups.into_iter().map(Some).collect())
    }

    fn what(&self) -> String {
        match &self.model.made {
            Made::Sql(sql) => format!("model {} ({}:{})", self.model.name, sql.file, sql.line),
            Made::Explode(_) => format!("model {} ([contract.explode] of {})", self.model.name, self.pipeline.name),
        }
    }

    /// Computes and writes group by group, where an earlier invocation has left off, until all is done or it is late. The last group is
    /// always followed by the commit, and a model that is computed whole is a single one.
    fn groups_of(
        &self,
        context: &Context<'_>,
        plan: &mut Plan,
        done: &mut Done,
        schema: &mut Schema,
    ) -> Result<Stretch, Failure> {
        if done.is_anew && !plan.anew {
            self.begin_anew(context, plan)?;
        }
        let mut groups = VecDeque::from(self.groups(context, plan, done.days)?);
        while let Some(days) = groups.pop_front() {
            let (rows, read) = self.compute(context, plan, days.as_ref())?;
            done.read += read;
            if !plan.anew && self.is_of_another_shape(plan, &rows)? {
                // its inputs have changed their columns: partitions that stand would not fit those that come
                self.begin_anew(context, plan)?;
                *done = Done { is_anew: true, read: done.read, ..Done::default() };
                groups = self.groups(context, plan, 0)?.into();
            } else {
                *schema = (**rows.schema()).clone();
                for (partition, part) in self.split(rows, plan, days.as_ref())? {
                    let mut writer = Writer::new(context.lake, &self.model.name, schema, partition);
                    done.rows += part.height() as u64;
                    writer.write(&part)?;
                    done.adds.extend(writer.finish(false)?);
                }
                done.days += days.map_or(0, |days| days.len());
            }
            if !groups.is_empty() && context.is_late() {
                return Ok(Stretch::Late);
            }
        }
        Ok(Stretch::Whole)
    }

    fn begin_anew(&self, context: &Context<'_>, plan: &mut Plan) -> Result<(), Failure> {
        plan.anew = true;
        plan.days = self.days(context, &plan.inputs, true, None, plan.watermark)?;
        Ok(())
    }

    fn is_of_another_shape(&self, plan: &Plan, rows: &DataFrame) -> Result<bool, Failure> {
        let partition_by: Vec<ColumnName> = self.model.partition_by.iter().cloned().collect();
        match &plan.base {
            Some(base) => Ok(base.misfit(rows.schema(), &partition_by)?.is_some()),
            None => Ok(false),
        }
    }

    fn is_due(&self, plan: &Plan, file: &DataFile) -> Result<bool, Failure> {
        match (&plan.days, &plan.base) {
            (Some(days), Some(base)) if !plan.anew => Ok(days.contains(&self.day(base, &file.partition)?)),
            _ => Ok(true),
        }
    }
}

impl Step for Model<'_> {
    type Plan = Plan;
    type Draft = (Option<Table>, Draft);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Model(self.model.name.clone())
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let lake = context.lake;
        let base = lake.table(&self.model.name)?;
        let meta = base.as_ref().map(|table| table.meta(lake)).transpose()?.unwrap_or_default();
        let anew = base.is_none() || trigger.full || meta.fingerprint != self.fingerprint;
        let mut inputs = Vec::new();
        let mut watermark: Option<Option<Timestamp>> = None;
        for input in &self.model.inputs {
            // not made yet: its step will wake this one
            let Some(table) = lake.table(input)? else { return Ok(None) };
            let from = match &base {
                Some(base) if !anew => base.consumed(lake, input.as_str())?,
                _ => None,
            };
            let mark = table.meta(lake)?.watermark;
            // a quarantine says nothing about when data is complete
            if !input.is_quarantine() {
                watermark = Some(watermark.map_or(mark, |least| least.min(mark)));
            }
            let diff = table.since(lake, from)?;
            inputs.push(Source { table, from, diff });
        }
        let watermark = watermark.flatten().max(meta.watermark);
        let changed = anew || inputs.iter().any(|input| !input.diff.is_empty());
        let waits = self.model.when == When::Complete && watermark != meta.watermark;
        let days = self.days(context, &inputs, anew, meta.watermark, watermark)?;
        let idle = match &days {
            Some(days) => days.is_empty() && !anew,
            None => !changed && !waits,
        };
        let is_up_to_date = inputs.iter().all(|input| input.from == Some(input.table.version()));
        if idle && watermark == meta.watermark && is_up_to_date {
            return Ok(None);
        }
        Ok(Some(Plan { base, meta, inputs, days, anew, idle, watermark, is_up_to_date }))
    }

    fn partitions(&self, plan: &Plan) -> Vec<String> {
        plan.days.iter().flatten().map(Day::to_string).collect()
    }

    fn size(&self, plan: &Plan) -> Size {
        let added = || plan.inputs.iter().flat_map(|input| &input.diff.added);
        let partitions = plan.days.as_ref().map_or_else(|| added().count(), BTreeSet::len) as u64;
        Size {
            partitions,
            rows: Some(added().map(|file| file.rows).sum()),
            bytes: added().map(|file| file.bytes).sum(),
            how: None,
        }
    }

    fn work(&self, plan: &Plan) -> Option<Work> {
        let inputs = plan.inputs.iter().map(|input| format!("{}@{}", input.table.dataset(), input.table.version()));
        let (inputs, base) = (inputs.collect::<Vec<_>>(), plan.base.as_ref().map(Table::version));
        let Plan { anew, watermark, days, .. } = plan;
        // another program may keep other things, or come to others
        let program = env!("CARGO_PKG_VERSION");
        let text = format!("model {program} {inputs:?} {base:?} {anew} {watermark:?} {days:?} {}", self.fingerprint);
        Some(Work { dataset: self.model.name.clone(), plan: fingerprint(&text) })
    }

    fn draft(
        &self,
        context: &Context<'_>,
        mut plan: Plan,
        run_id: &str,
        kept: Option<bytes::Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let meta = Meta { watermark: plan.watermark, fingerprint: self.fingerprint.clone(), bookmark: None };
        let consumed: Vec<_> =
            plan.inputs.iter().map(|input| (input.table.dataset().to_string(), input.table.version())).collect();
        let mut draft = Draft {
            dataset: self.model.name.clone(),
            schema: plan.base.as_ref().map(|table| table.schema().clone()).unwrap_or_default(),
            partition_by: self.model.partition_by.clone().into_iter().collect::<Vec<ColumnName>>(),
            adds: Vec::new(),
            removes: Vec::new(),
            consumed,
            meta,
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: serde_json::Value::Null },
        };
        let mut drafted = Drafted {
            inputs: plan
                .inputs
                .iter()
                .map(|input| Input {
                    dataset: input.table.dataset().to_string(),
                    from_version: input.from,
                    to_version: input.table.version(),
                })
                .collect(),
            outputs: vec![Output { watermark: plan.watermark, ..Output::of(self.model.name.as_str(), 0) }],
            ..Drafted::default()
        };
        if !plan.idle {
            let standing = plan.base.as_ref().map(|table| table.files(context.lake)).transpose()?.unwrap_or_default();
            let mut done = Done::taken_up(kept);
            if self.groups_of(context, &mut plan, &mut done, &mut draft.schema)? == Stretch::Late {
                return Ok(Drafting::Part(done.keep()?));
            }
            draft.adds = done.adds;
            for file in standing {
                if self.is_due(&plan, &file)? {
                    draft.removes.push(file);
                }
            }
            let unchanged: u64 = {
                let stays: BTreeSet<_> = draft.removes.iter().map(|file| file.path.as_str()).collect();
                draft.adds.iter().filter(|file| stays.contains(file.path.as_str())).map(|file| file.rows).sum()
            };
            let touched: BTreeSet<_> = draft.adds.iter().chain(&draft.removes).map(|file| &file.partition).collect();
            drafted.outputs.iter_mut().for_each(|output| output.partitions = touched.len() as u64);
            let rows_in = done.rows;
            drafted.rows = Balance { rows_in, written: rows_in - unchanged, unchanged, ..Balance::default() };
            drafted.bytes = Bytes { read: done.read, written: draft.adds.iter().map(|file| file.bytes).sum() };
        }
        // an unchanged result stops the cascade; that it has been looked at is still to be remembered, for those who wait for it
        let same = plan.base.is_some() && !draft.changes_rows() && draft.meta == plan.meta;
        if same && plan.is_up_to_date {
            return Ok(Drafting::Same);
        }
        draft.info.balance = drafted.rows.to_json();
        Ok(Drafting::Whole(drafted, (plan.base, draft)))
    }

    fn commit(&self, context: &Context<'_>, (base, draft): Self::Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}
