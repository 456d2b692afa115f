//! Step `clean`: what is new in the raw dataset goes through the contract, and the partitions it touches are swapped.

use std::collections::BTreeSet;

use polars::prelude::AnyValue;
use tidemark_flow::{Bytes, Context, Drafted, Drafting, Failure, Input, Kind, Output, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Diff, Draft, Lake, Meta, Outcome, Partition, Table, Work, fingerprint};
use tidemark_pipeline::raw::{ARRIVED_IN, OBJECT};
use tidemark_pipeline::{ColumnName, Contract, DatasetName, Pipeline, StepId};
use tidemark_transform::Cleaner;

use crate::contract_failure;
use crate::quarantine::{Quarantine, is_up_to_date};
use crate::room::Room;
use crate::stretch::Stretch;

mod sorted;
mod sorting;

use sorted::{Receipts, Sorted, Value};
use sorting::Sorting;

/// Step `clean` of one pipeline.
pub struct Clean<'a> {
    pipeline: &'a Pipeline,
    contract: &'a Contract,
    raw: DatasetName,
    quarantine: DatasetName,
    /// Of the contract; another one means that everything must be cleaned again.
    fingerprint: String,
}

pub struct Plan {
    raw: Table,
    clean: Option<Table>,
    quarantine: Option<Table>,
    from: Option<i64>,
    added: Vec<DataFile>,
    /// Raw files that were consumed and are no more.
    removed: Vec<DataFile>,
    /// Nothing that stands is kept.
    anew: bool,
    /// Everything is asked for anew, whatever is damaged.
    full: bool,
    watermark: Option<jiff::Timestamp>,
}

impl Plan {
    /// The table whose rows are kept.
    fn standing(&self) -> Option<&Table> {
        self.clean.as_ref().filter(|_| !self.anew)
    }

    /// The objects whose quarantined rows are replaced; `None` = all.
    fn objects(&self) -> Option<BTreeSet<String>> {
        let touched = self.added.iter().chain(&self.removed);
        let objects = touched.filter_map(|file| file.partition.get(OBJECT).map(str::to_owned));
        (!self.anew).then(|| objects.collect())
    }
}

pub struct Drafts {
    clean: Option<Table>,
    draft: Draft,
    quarantine: Option<Table>,
    quarantined: Vec<DataFile>,
    objects: Option<BTreeSet<String>>,
    /// Under which rows were kept in the lake, if any were.
    work: Option<Work>,
}

impl<'a> Clean<'a> {
    pub fn new(pipeline: &'a Pipeline, contract: &'a Contract, fingerprint: String) -> Clean<'a> {
        let (raw, quarantine) = (contract.dataset.raw(), contract.dataset.quarantine());
        Clean { pipeline, contract, raw, quarantine, fingerprint }
    }

    /// Partitions column; none for a dataset that is one partition.
    fn partition_column(&self) -> Option<&ColumnName> {
        self.contract.partition_by.as_ref().map(|by| &by.name)
    }

    fn partition_of(&self, value: &Value) -> Partition {
        match self.partition_column() {
            Some(column) => Partition::new([(column.as_str(), value.as_deref())]),
            None => Partition::default(),
        }
    }

    fn work_of(&self, plan: &Plan) -> Work {
        // not on the version of the quarantine: it is replaced object by object whatever it was, and its commit comes before the one of
        // the clean rows, so that a run which dies between the two would have to be done anew
        let (raw, clean) = (plan.raw.version(), plan.clean.as_ref().map(Table::version));
        let Plan { from, anew, watermark, .. } = plan;
        // another program may keep other things, or come to others
        let program = env!("CARGO_PKG_VERSION");
        let text = format!("clean {program} {raw} {from:?} {clean:?} {anew} {watermark:?} {}", self.fingerprint);
        Work { dataset: self.contract.dataset.clone(), plan: fingerprint(&text) }
    }

    /// What an earlier invocation has kept, or the beginning.
    fn sorted<'s>(
        &'s self,
        context: &'s Context<'_>,
        plan: &Plan,
        work: &'s Work,
        room: Room<'s>,
        kept: Option<&bytes::Bytes>,
    ) -> Result<Sorted<'s>, Failure> {
        let memory = usize::try_from(context.memory).unwrap_or(usize::MAX);
        if let Some(kept) = kept
            && let Some(sorted) = Sorted::taken_up(kept, context.lake, work, memory, self.contract)?
        {
            return Ok(sorted);
        }
        let standing = plan.standing().map(|table| table.files(context.lake)).transpose()?.unwrap_or_default();
        let rows = standing.iter().chain(&plan.added).map(|file| file.rows).sum();
        Ok(Sorted::new(room, memory, self.contract, rows))
    }

    /// The files that go.
    fn removes(&self, lake: &Lake, plan: &Plan, merged: &[Value]) -> Result<Vec<DataFile>, Failure> {
        let Some(table) = &plan.clean else { return Ok(Vec::new()) };
        if plan.anew {
            return Ok(table.files(lake)?);
        }
        let mut standing = table.partitions(lake)?;
        Ok(merged.iter().flat_map(|value| standing.remove(&self.partition_of(value)).unwrap_or_default()).collect())
    }

    /// Over the budget, nothing is published.
    fn within_budget(&self, sorted: &Receipts) -> Result<(), Failure> {
        let (quarantined, rows_in) = (sorted.balance.quarantined, sorted.balance.rows_in);
        let Some(budget) = self.contract.max_quarantined else { return Ok(()) };
        if quarantined <= budget.most(rows_in) {
            return Ok(());
        }
        let message = format!(
            "{quarantined} of {rows_in} rows break the contract of {}, more than max_quarantined = {budget}: {}",
            self.contract.dataset,
            sorted.faults.summary()
        );
        let hint =
            format!("nothing was published; look at them with: tidemark quarantine list {}", self.contract.dataset);
        Err(Failure::new(Kind::Data, message).hint(hint).over_budget())
    }

    fn quarantine_of<'p>(&'p self, context: &'p Context<'p>, run_id: &'p str) -> Quarantine<'p> {
        Quarantine { context, dataset: &self.quarantine, raw: &self.raw, run_id }
    }
}

impl Step for Clean<'_> {
    type Plan = Plan;
    type Draft = Drafts;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Clean
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let lake = context.lake;
        let Some(raw) = lake.table(&self.raw)? else { return Ok(None) };
        let clean = lake.table(&self.contract.dataset)?;
        let quarantine = lake.table(&self.quarantine)?;
        let (from, meta) = match &clean {
            Some(table) => (table.consumed(lake, self.raw.as_str())?, table.meta(lake)?),
            None => (None, Meta::default()),
        };
        let mut anew = from.is_none() || trigger.full || meta.fingerprint != self.fingerprint;
        let is_same = from == Some(raw.version()) && quarantine.as_ref().is_none_or(is_up_to_date);
        if !anew && is_same {
            return Ok(None);
        }
        let mut diff = raw.since(lake, if anew { None } else { from })?;
        if !anew && !diff.removed.is_empty() && !self.contract.key.is_empty() {
            // an older version of a key may now be the newest again, and only the raw rows know it
            anew = true;
            diff = raw.since(lake, None)?;
        }
        let watermark = raw.meta(lake)?.watermark.max(meta.watermark);
        // later rows win, so they must come later
        diff.added.sort_by_cached_key(|file| {
            let arrived: i64 = file.partition.get(ARRIVED_IN).and_then(|text| text.parse().ok()).unwrap_or_default();
            (arrived, file.partition.get(OBJECT).map(str::to_owned), file.path.clone())
        });
        let Diff { added, removed } = diff;
        Ok(Some(Plan { raw, clean, quarantine, from, added, removed, anew, full: trigger.full, watermark }))
    }

    fn partitions(&self, plan: &Plan) -> Vec<String> {
        let touched = plan.added.iter().chain(&plan.removed);
        let objects: BTreeSet<_> = touched.filter_map(|file| file.partition.get(OBJECT)).collect();
        objects.into_iter().map(str::to_owned).collect()
    }

    fn size(&self, plan: &Plan) -> Size {
        let all = || plan.added.iter().chain(&plan.removed);
        Size {
            partitions: all().count() as u64,
            rows: Some(all().map(|file| file.rows).sum()),
            bytes: all().map(|file| file.bytes).sum(),
            how: None,
        }
    }

    fn work(&self, plan: &Plan) -> Option<Work> {
        Some(self.work_of(plan))
    }

    fn draft(
        &self,
        context: &Context<'_>,
        plan: Plan,
        run_id: &str,
        kept: Option<bytes::Bytes>,
    ) -> Result<Drafting<Drafts>, Failure> {
        let cleaner = Cleaner::new(self.contract, &self.fingerprint).map_err(contract_failure)?;
        let work = self.work_of(&plan);
        let room = Room::of(context, &work, kept.is_some());
        context.progress.expect(bytes(&plan.added));
        let mut sorted = self.sorted(context, &plan, &work, room, kept.as_ref())?;
        let sorting = Sorting { clean: self, context, plan: &plan, cleaner: &cleaner, room };
        if sorting.sort(&mut sorted)? == Stretch::Late {
            return Ok(Drafting::Part(sorted.keep()?));
        }
        sorted.receipts.drifts.borne(self.contract)?;
        let meta = Meta { watermark: plan.watermark, fingerprint: self.fingerprint.clone(), bookmark: None };
        let consumed = plan.raw.version();
        if let Err(over) = self.within_budget(&sorted.receipts) {
            // they are no part of what is published, and without them nobody can see what is wrong
            let (files, balance) = (sorted.receipts.quarantined, sorted.receipts.balance.to_json());
            let quarantine = self.quarantine_of(context, run_id);
            // a lost race here only means that another run shows them
            let _ =
                quarantine.commit(plan.quarantine.as_ref(), files, plan.objects().as_ref(), consumed, meta, balance)?;
            return Err(over);
        }
        if sorting.merge(&mut sorted)? == Stretch::Late {
            return Ok(Drafting::Part(sorted.keep()?));
        }
        let Receipts { mut balance, moved, quarantined, merged, written, drifts, .. } = sorted.receipts;
        let (drift, notes) = drifts.told(self.contract.unknown);
        balance.written -= moved;
        let partitions = merged.len() as u64;
        let drafted = Drafted {
            inputs: vec![Input { dataset: self.raw.to_string(), from_version: plan.from, to_version: consumed }],
            outputs: vec![Output {
                watermark: plan.watermark,
                ..Output::of(self.contract.dataset.as_str(), partitions)
            }],
            bytes: Bytes { read: bytes(&plan.added) + bytes(&plan.removed), written: bytes(&written) },
            rows: balance,
            notes,
            drift,
            ..Drafted::default()
        };
        let draft = Draft {
            dataset: self.contract.dataset.clone(),
            schema: cleaner.schema().clone(),
            partition_by: self.partition_column().cloned().into_iter().collect(),
            adds: written,
            removes: self.removes(context.lake, &plan, &merged)?,
            consumed: vec![(self.raw.to_string(), consumed)],
            meta,
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: drafted.rows.to_json() },
        };
        let work = matches!(room, Room::Lake(..)).then(|| work.clone());
        let objects = plan.objects();
        let drafts = Drafts { clean: plan.clean, draft, quarantine: plan.quarantine, quarantined, objects, work };
        Ok(Drafting::Whole(drafted, drafts))
    }

    fn commit(&self, context: &Context<'_>, drafts: Drafts, _: &mut Drafted) -> Result<Outcome, Failure> {
        let Drafts { clean, draft, quarantine, quarantined, objects, work } = drafts;
        let (_, consumed) = draft.consumed.first().cloned().unwrap_or_default();
        let (meta, balance) = (draft.meta.clone(), draft.info.balance.clone());
        let run_id = draft.info.run_id.clone();
        let outcome = self.quarantine_of(context, &run_id).commit(
            quarantine.as_ref(),
            quarantined,
            objects.as_ref(),
            consumed,
            meta,
            balance,
        )?;
        let outcome = match outcome {
            Outcome::Committed(_) => draft.commit(context.lake, clean.as_ref())?,
            lost @ Outcome::Lost(_) => lost,
        };
        if let Some(work) = work {
            // committed or overtaken: this plan does not come again
            context.lake.forget_work(&work);
        }
        Ok(outcome)
    }
}

fn bytes(files: &[DataFile]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

/// A partition's value, as the Delta log writes it, which cannot tell an empty text from NULL.
pub(crate) fn text(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => None,
        AnyValue::Date(days) => {
            let day = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(i64::from(*days)));
            day.ok().map(|day| day.to_string())
        }
        value => match value.get_str() {
            Some(text) => Some(text.to_owned()).filter(|text| !text.is_empty()),
            None => Some(value.to_string()),
        },
    }
}
