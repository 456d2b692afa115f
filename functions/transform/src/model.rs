//! Step `model`: SQL over datasets, recomputed where its inputs changed, committed where its result differs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use jiff::civil::Date;
use polars::prelude::{Column, DataFrame, DataType, LazyFrame, PolarsError, TimeUnit};
use tidemark_flow::{Balance, Bytes, Drafted, Drafting, Failure, Input, Kind, Output, Ports, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Diff, Draft, LakeError, Meta, Outcome, Partition, Table, Writer};
use tidemark_pipeline::{ColumnName, DatasetName, Model as Definition, Pipeline, When};
use tidemark_transform::{bag, sql};

use crate::calendar::{Calendar, Day, from, until};
use crate::{frame_failure, polars_failure, sql_failure};

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
        ports: &Ports<'_>,
        inputs: &[Source],
        anew: bool,
        before: Option<Timestamp>,
        now: Option<Timestamp>,
    ) -> Result<Option<BTreeSet<Day>>, Failure> {
        let Some(incremental) = self.model.incremental else { return Ok(None) };
        let mut days = BTreeSet::new();
        for input in inputs {
            let all = || Ok::<_, Failure>(input.table.partitions(ports.lake)?.into_keys().collect());
            let changed: Vec<Partition> = if anew { all()? } else { input.diff.partitions() };
            for partition in changed {
                days.extend(from(self.day(&input.table, &partition)?, incremental.lookback_days));
            }
            if self.model.when == When::Complete && !anew {
                // what was held back when it was not complete yet
                for partition in all()? {
                    let day = self.day(&input.table, &partition)?;
                    if self.calendar.is_over(day, now) && !self.calendar.is_over(day, before) {
                        days.insert(day);
                    }
                }
            }
        }
        if self.model.when == When::Complete {
            days.retain(|day| self.calendar.is_over(*day, now));
        }
        Ok(Some(days))
    }

    fn day(&self, input: &Table, partition: &Partition) -> Result<Day, Failure> {
        let day = match partition.values() {
            [(_, Some(value))] => value.parse().ok().map(Some),
            [(_, None)] => Some(None),
            _ => None,
        };
        day.ok_or_else(|| {
            let message = format!("{}: partition {partition} of dataset {} is no date", self.what(), input.dataset());
            Failure::new(Kind::Definition, message).hint("leave incremental out, or partition the input by a date")
        })
    }

    /// The partitions to compute in groups whose inputs fit in memory; one group for a model that is computed whole.
    fn groups(&self, ports: &Ports<'_>, plan: &Plan) -> Result<Vec<Option<BTreeSet<Day>>>, Failure> {
        let Some(days) = &plan.days else { return Ok(vec![None]) };
        let lookback = self.model.incremental.map_or(0, |incremental| incremental.lookback_days);
        let mut bytes: BTreeMap<Day, u64> = BTreeMap::new();
        for input in &plan.inputs {
            for file in input.table.files(ports.lake)? {
                *bytes.entry(self.day(&input.table, &file.partition)?).or_default() += file.bytes * INFLATION;
            }
        }
        let mut groups = vec![BTreeSet::new()];
        let mut held = 0;
        for &day in days {
            let more: u64 = until(day, lookback).filter_map(|day| bytes.get(&day)).sum();
            if held > 0 && held + more > ports.memory / 4 {
                groups.push(BTreeSet::new());
                held = 0;
            }
            held += more;
            if let Some(group) = groups.last_mut() {
                group.insert(day);
            }
        }
        Ok(groups.into_iter().map(Some).collect())
    }

    fn what(&self) -> String {
        format!("model {} ({}:{})", self.model.name, self.model.sql.file, self.model.sql.line)
    }

    /// The rows of an input that the partitions to compute hang on.
    fn input(
        &self,
        ports: &Ports<'_>,
        source: &Source,
        days: Option<&BTreeSet<Day>>,
    ) -> Result<(LazyFrame, u64), Failure> {
        let mut files = source.table.files(ports.lake)?;
        if let Some(days) = days {
            let lookback = self.model.incremental.map_or(0, |incremental| incremental.lookback_days);
            let wanted: BTreeSet<Day> = days.iter().flat_map(|&day| until(day, lookback)).collect();
            let mut kept = Vec::new();
            for file in files {
                if wanted.contains(&self.day(&source.table, &file.partition)?) {
                    kept.push(file);
                }
            }
            files = kept;
        }
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok((source.table.scan(ports.lake, &files)?, bytes))
    }

    /// The result over some partitions, in its total order, and the bytes it was made of.
    fn compute(
        &self,
        ports: &Ports<'_>,
        plan: &Plan,
        days: Option<&BTreeSet<Day>>,
    ) -> Result<(DataFrame, u64), Failure> {
        let mut tables = Vec::new();
        let mut read = 0;
        for source in &plan.inputs {
            let (rows, bytes) = self.input(ports, source, days)?;
            read += bytes;
            tables.push((source.table.dataset().clone(), rows));
        }
        let inputs = || self.model.inputs.iter().map(DatasetName::as_str).collect::<Vec<_>>().join(" or ");
        let failed = |error: PolarsError| match LakeError::of_query(&inputs(), error) {
            Ok(damage) => Failure::from(damage),
            Err(error) => Failure::new(Kind::Definition, self.what()).hint("mend the SQL").because(error),
        };
        let query = sql::query(&self.model.sql.text, tables).map_err(|error| sql_failure(&self.what(), error))?;
        let rows = storable(sql::stream(query).map_err(failed)?).map_err(failed)?;
        Ok((bag::sort(&rows).map_err(frame_failure)?, read))
    }

    /// The result by partition, those only that are to be computed.
    fn split(
        &self,
        rows: DataFrame,
        plan: &Plan,
        days: Option<&BTreeSet<Day>>,
    ) -> Result<BTreeMap<Partition, DataFrame>, Failure> {
        let Some(column) = &self.model.partition_by else {
            let whole = (rows.height() > 0).then_some((Partition::default(), rows));
            return Ok(whole.into_iter().collect());
        };
        let column = column.as_str();
        let failed = |error| polars_failure(self.what(), error);
        if rows.column(column).is_err() {
            let message = format!("{}: partition_by names {column}, which the SQL does not give", self.what());
            return Err(Failure::new(Kind::Definition, message));
        }
        let lookback = self.model.incremental.map_or(0, |incremental| incremental.lookback_days);
        let window: BTreeSet<Day> = days.into_iter().flatten().flat_map(|&day| until(day, lookback)).collect();
        let mut parts = BTreeMap::new();
        for part in rows.partition_by_stable([column], true).map_err(failed)? {
            let value = part
                .column(column)
                .and_then(|values| values.get(0).map(|value| value.into_static()))
                .map_err(failed)?;
            let text = crate::clean::text(&value);
            let day: Day = text.as_deref().and_then(|text| text.parse::<Date>().ok());
            if days.is_some() && !window.contains(&day) {
                let text = text.as_deref().unwrap_or("NULL");
                let message = format!("{}: {column} = {text} is no partition of what it is made from", self.what());
                return Err(Failure::new(Kind::Definition, message).hint(
                    "incremental needs the inputs' own partitions: partition_by their column, or leave incremental out",
                ));
            }
            let due = match days {
                // a text that is no date is not the same as no date
                Some(days) => day.is_some() == text.is_some() && days.contains(&day),
                None => self.model.when == When::Changed || self.calendar.is_over(day, plan.watermark),
            };
            if due {
                // an empty text lies where NULL does
                match parts.entry(Partition::new([(column, text.as_deref())])) {
                    Entry::Vacant(entry) => {
                        entry.insert(part);
                    }
                    Entry::Occupied(mut entry) => {
                        entry.get_mut().vstack_mut(&part).map_err(failed)?;
                    }
                }
            }
        }
        Ok(parts)
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

    fn name(&self) -> String {
        format!("model {}", self.model.name)
    }

    fn plan(&self, ports: &Ports<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let lake = ports.lake;
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
        let days = self.days(ports, &inputs, anew, meta.watermark, watermark)?;
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

    fn size(&self, plan: &Plan) -> Size {
        let added = || plan.inputs.iter().flat_map(|input| &input.diff.added);
        let partitions = plan.days.as_ref().map_or_else(|| added().count(), BTreeSet::len) as u64;
        Size {
            partitions,
            rows: Some(added().map(|file| file.rows).sum()),
            bytes: added().map(|file| file.bytes).sum(),
        }
    }

    fn draft(
        &self,
        ports: &Ports<'_>,
        mut plan: Plan,
        run_id: &str,
        _: Option<bytes::Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let meta = Meta { watermark: plan.watermark, fingerprint: self.fingerprint.clone() };
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
            info: CommitInfo { run_id: run_id.into(), step: self.name(), balance: serde_json::Value::Null },
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
            let standing = plan.base.as_ref().map(|table| table.files(ports.lake)).transpose()?.unwrap_or_default();
            let mut groups = VecDeque::from(self.groups(ports, &plan)?);
            let (mut rows_of, mut read) = (0, 0);
            while let Some(days) = groups.pop_front() {
                let (rows, more) = self.compute(ports, &plan, days.as_ref())?;
                read += more;
                if !plan.anew && self.is_of_another_shape(&plan, &rows)? {
                    // its inputs have changed their columns: partitions that stand would not fit those that come
                    plan.anew = true;
                    draft.adds.clear();
                    rows_of = 0;
                    plan.days = self.days(ports, &plan.inputs, true, None, plan.watermark)?;
                    groups = self.groups(ports, &plan)?.into();
                    continue;
                }
                draft.schema = (**rows.schema()).clone();
                for (partition, part) in self.split(rows, &plan, days.as_ref())? {
                    let mut writer = Writer::new(ports.lake, &self.model.name, &draft.schema, partition);
                    rows_of += part.height() as u64;
                    writer.write(&part)?;
                    draft.adds.extend(writer.finish(false)?);
                }
            }
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
            drafted.rows = Balance { rows_in: rows_of, written: rows_of - unchanged, unchanged, ..Balance::default() };
            drafted.bytes = Bytes { read, written: draft.adds.iter().map(|file| file.bytes).sum() };
        }
        // an unchanged result stops the cascade; that it has been looked at is still to be remembered, for those who wait for it
        let same = plan.base.is_some() && !draft.changes_rows() && draft.meta == plan.meta;
        if same && plan.is_up_to_date {
            return Ok(Drafting::Same);
        }
        draft.info.balance = drafted.rows.to_json();
        Ok(Drafting::Whole(drafted, (plan.base, draft)))
    }

    fn commit(&self, ports: &Ports<'_>, (base, draft): Self::Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        Ok(draft.commit(ports.lake, base.as_ref())?)
    }
}

/// Casts what SQL gives into what a table can hold: counts to int64, other precisions of time to microseconds UTC.
fn storable(rows: DataFrame) -> Result<DataFrame, PolarsError> {
    let columns = rows.columns().iter().map(|column| {
        let ty = match column.dtype() {
            DataType::UInt8 | DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::UInt64 | DataType::Int128 => DataType::Int64,
            DataType::Datetime(unit, zone) if *unit != TimeUnit::Microseconds || zone.is_none() => {
                let micros = column.cast(&DataType::Datetime(TimeUnit::Microseconds, zone.clone()))?;
                return match zone {
                    Some(_) => Ok(micros),
                    None => {
                        micros.cast(&DataType::Datetime(TimeUnit::Microseconds, Some(polars::prelude::TimeZone::UTC)))
                    }
                };
            }
            DataType::Duration(_) => DataType::Int64,
            DataType::Time | DataType::Null => DataType::String,
            _ => return Ok(column.clone()),
        };
        column.strict_cast(&ty)
    });
    let columns = columns.collect::<Result<Vec<Column>, PolarsError>>()?;
    DataFrame::new(rows.height(), columns)
}
