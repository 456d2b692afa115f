//! Step `clean`: what is new in the raw dataset goes through the contract, and the partitions it touches are swapped.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{AnyValue, DataFrame, Schema};
use tidemark_flow::{Balance, Bytes, Drafted, Drafting, Failure, Input, Kind, Output, Ports, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Partition, Table};
use tidemark_pipeline::{Budget, ColumnName, Contract, DatasetName, Pipeline};
use tidemark_transform::Cleaner;

use crate::merging::{Counts, Identity, Merging, Parts};
use crate::narrow::Narrow;
use crate::pass::pass;
use crate::quarantine::{Faults, OBJECT, Quarantine, by_object};
use crate::spread::Spread;
use crate::{contract_failure, polars_failure};

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
    watermark: Option<jiff::Timestamp>,
}

pub struct Drafts {
    clean: Option<Table>,
    draft: Draft,
    quarantine: Option<Table>,
    quarantined: Spread<String>,
    objects: Option<BTreeSet<String>>,
}

type Value = Option<String>;

/// Everything the raw rows became, spread by where it goes.
struct Sorted {
    incoming: Spread<Value>,
    removed: Spread<Value>,
    quarantined: Spread<String>,
    balance: Balance,
    /// Keys by the partitions that their newest version has left: a key is one row of the whole dataset, not one of each partition.
    strays: BTreeMap<Value, DataFrame>,
    /// Rows that stood in another partition than the one they come to.
    moved: u64,
    faults: Faults,
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

    fn sort(&self, ports: &Ports<'_>, plan: &Plan, cleaner: &Cleaner) -> Result<Sorted, Failure> {
        let memory = usize::try_from(ports.memory).unwrap_or(usize::MAX);
        let mut sorted = Sorted {
            incoming: Spread::new(memory / 8),
            removed: Spread::new(memory / 16),
            quarantined: Spread::new(memory / 16),
            balance: Balance::default(),
            strays: BTreeMap::new(),
            moved: 0,
            faults: Faults::default(),
        };
        let raw = &plan.raw;
        let standing = match &plan.clean {
            Some(table) if !plan.anew => Some((table, table.files(ports.lake)?)),
            _ => None,
        };
        let rows = standing.iter().flat_map(|(_, files)| files).chain(&plan.added).map(|file| file.rows).sum();
        let mut narrow = Narrow::new(ports, self.contract, rows);
        if let (Some(narrow), Some((table, files))) = (&mut narrow, &standing) {
            narrow.stand(table, files)?;
        }
        pass(ports, raw, cleaner, &plan.added, &mut |rows_in, cleaned| {
            sorted.balance.rows_in += rows_in;
            sorted.balance.quarantined += cleaned.quarantined.height() as u64;
            for (name, dropped) in &cleaned.filtered {
                *sorted.balance.filtered.entry(name.clone()).or_default() += dropped;
            }
            sorted.faults.count(&cleaned.quarantined)?;
            for (object, rows) in by_object(&cleaned.quarantined)? {
                sorted.quarantined.push(object, rows, &ports.scratch)?;
            }
            if let Some(narrow) = &mut narrow {
                narrow.push(&cleaned.rows, true)?;
            }
            self.by_partition(cleaned.rows, &mut |value, rows| sorted.incoming.push(value, rows, &ports.scratch))
        })?;
        if !plan.removed.is_empty() && !plan.anew {
            let before = ports.lake.table_at(&self.raw, plan.from.unwrap_or_default())?;
            pass(ports, &before, cleaner, &plan.removed, &mut |_, cleaned| {
                self.by_partition(cleaned.rows, &mut |value, rows| sorted.removed.push(value, rows, &ports.scratch))
            })?;
        }
        if let Some(narrow) = narrow {
            let found = narrow.strays()?;
            sorted.balance.deduplicated += found.came;
            // a row that stood elsewhere and comes here anew is the same row, moved
            sorted.balance.updated += found.stood;
            sorted.moved = found.stood;
            self.by_partition(found.rows, &mut |value, rows| {
                sorted.strays.insert(value, rows);
                Ok(())
            })?;
        }
        Ok(sorted)
    }

    fn by_partition(
        &self,
        rows: DataFrame,
        push: &mut dyn FnMut(Value, DataFrame) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if rows.height() == 0 {
            return Ok(());
        }
        let Some(column) = self.partition_column() else { return push(None, rows) };
        let failed = |error| polars_failure("clean rows cannot be spread", error);
        for part in rows.partition_by_stable([column.as_str()], true).map_err(failed)? {
            let value = part
                .column(column.as_str())
                .and_then(|values| values.get(0).map(|value| text(&value)))
                .map_err(failed)?;
            push(value, part)?;
        }
        Ok(())
    }

    /// Merges partition by partition; gives the files that come, those that go, and where the rows went.
    fn merge(
        &self,
        ports: &Ports<'_>,
        plan: &Plan,
        schema: &Schema,
        sorted: &mut Sorted,
    ) -> Result<(Vec<DataFile>, Vec<DataFile>, u64), Failure> {
        let standing = plan.clean.as_ref().map(|table| table.partitions(ports.lake)).transpose()?.unwrap_or_default();
        let merging = Merging { ports, dataset: &self.contract.dataset, schema, identity: Identity::of(self.contract) };
        let mut touched: BTreeSet<Value> =
            sorted.incoming.cells().chain(sorted.removed.cells()).map(|(value, _)| value.clone()).collect();
        let (mut adds, mut removes) = (Vec::new(), Vec::new());
        if plan.anew {
            removes.extend(standing.values().flatten().cloned());
        }
        let partition_of = |value: &Value| match self.partition_column() {
            Some(column) => Partition::new([(column.as_str(), value.as_deref())]),
            None => Partition::default(),
        };
        touched.extend(sorted.strays.keys().cloned());
        for value in &touched {
            let partition = partition_of(value);
            let files = standing.get(&partition).map(Vec::as_slice).filter(|_| !plan.anew).unwrap_or_default();
            let parts = Parts {
                existing: plan.clean.as_ref().map(|table| (table, files)),
                incoming: sorted.incoming.take(value),
                removed: sorted.removed.take(value),
                strays: sorted.strays.remove(value),
            };
            let (written, counts) = merging.write(&partition, &parts)?;
            add(&mut sorted.balance, counts);
            removes.extend_from_slice(files);
            adds.extend(written);
        }
        sorted.balance.written -= sorted.moved;
        Ok((adds, removes, touched.len() as u64))
    }

    /// Over the budget, nothing is published.
    fn within_budget(&self, sorted: &Sorted) -> Result<(), Failure> {
        let (quarantined, rows_in) = (sorted.balance.quarantined, sorted.balance.rows_in);
        let (over, budget) = match self.contract.max_quarantined {
            None => return Ok(()),
            Some(Budget::Count(most)) => (quarantined > most, most.to_string()),
            Some(Budget::Share(share)) => (quarantined as f64 > share * rows_in as f64, format!("{}%", share * 100.0)),
        };
        if !over {
            return Ok(());
        }
        let message = format!(
            "{quarantined} of {rows_in} rows break the contract of {}, more than max_quarantined = {budget}: {}",
            self.contract.dataset,
            sorted.faults.summary()
        );
        let hint = format!("nothing was published; look at them with: tidemark show {}", self.quarantine);
        Err(Failure::new(Kind::Data, message).hint(hint))
    }

    fn quarantine_of<'p>(&'p self, ports: &'p Ports<'p>, run_id: &'p str) -> Quarantine<'p> {
        Quarantine { ports, dataset: &self.quarantine, raw: &self.raw, run_id }
    }
}

impl Step for Clean<'_> {
    type Plan = Plan;
    type Draft = Drafts;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn name(&self) -> String {
        "clean".into()
    }

    fn plan(&self, ports: &Ports<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let lake = ports.lake;
        let Some(raw) = lake.table(&self.raw)? else { return Ok(None) };
        let clean = lake.table(&self.contract.dataset)?;
        let quarantine = lake.table(&self.quarantine)?;
        let (from, meta) = match &clean {
            Some(table) => (table.consumed(lake, self.raw.as_str())?, table.meta(lake)?),
            None => (None, Meta::default()),
        };
        let mut anew = from.is_none() || trigger.full || meta.fingerprint != self.fingerprint;
        if !anew && from == Some(raw.version()) {
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
            let arrived: i64 = file.partition.get("_arrived_in").and_then(|text| text.parse().ok()).unwrap_or_default();
            (arrived, file.partition.get(OBJECT).map(str::to_owned), file.path.clone())
        });
        Ok(Some(Plan { raw, clean, quarantine, from, added: diff.added, removed: diff.removed, anew, watermark }))
    }

    fn size(&self, plan: &Plan) -> Size {
        let all = || plan.added.iter().chain(&plan.removed);
        Size {
            partitions: all().count() as u64,
            rows: Some(all().map(|file| file.rows).sum()),
            bytes: all().map(|file| file.bytes).sum(),
        }
    }

    fn draft(
        &self,
        ports: &Ports<'_>,
        plan: Plan,
        run_id: &str,
        _: Option<bytes::Bytes>,
    ) -> Result<Drafting<Drafts>, Failure> {
        let cleaner = Cleaner::new(self.contract, &self.fingerprint).map_err(contract_failure)?;
        let schema = cleaner.schema().clone();
        let bytes = |files: &[DataFile]| files.iter().map(|file| file.bytes).sum::<u64>();
        ports.progress.expect(bytes(&plan.added));
        let mut sorted = self.sort(ports, &plan, &cleaner)?;
        let meta = Meta { watermark: plan.watermark, fingerprint: self.fingerprint.clone() };
        let objects = (!plan.anew).then(|| {
            let touched = plan.added.iter().chain(&plan.removed);
            touched.filter_map(|file| file.partition.get(OBJECT).map(str::to_owned)).collect::<BTreeSet<_>>()
        });
        let consumed = plan.raw.version();
        if let Err(over) = self.within_budget(&sorted) {
            // they are no part of what is published, and without them nobody can see what is wrong
            let quarantine = self.quarantine_of(ports, run_id);
            let balance = sorted.balance.to_json();
            // a lost race here only means that another run shows them
            let _ = quarantine.commit(
                plan.quarantine.as_ref(),
                sorted.quarantined,
                objects.as_ref(),
                consumed,
                meta,
                balance,
            )?;
            return Err(over);
        }
        let (adds, removes, partitions) = self.merge(ports, &plan, &schema, &mut sorted)?;
        let drafted = Drafted {
            inputs: vec![Input { dataset: self.raw.to_string(), from_version: plan.from, to_version: consumed }],
            outputs: vec![Output {
                watermark: plan.watermark,
                ..Output::of(self.contract.dataset.as_str(), partitions)
            }],
            bytes: Bytes { read: bytes(&plan.added) + bytes(&plan.removed), written: bytes(&adds) },
            rows: sorted.balance,
            notes: Vec::new(),
        };
        let draft = Draft {
            dataset: self.contract.dataset.clone(),
            schema,
            partition_by: self.partition_column().cloned().into_iter().collect(),
            adds,
            removes,
            consumed: vec![(self.raw.to_string(), consumed)],
            meta,
            info: CommitInfo { run_id: run_id.into(), step: self.name(), balance: drafted.rows.to_json() },
        };
        let drafts =
            Drafts { clean: plan.clean, draft, quarantine: plan.quarantine, quarantined: sorted.quarantined, objects };
        Ok(Drafting::Whole(drafted, drafts))
    }

    fn commit(&self, ports: &Ports<'_>, drafts: Drafts, _: &mut Drafted) -> Result<Outcome, Failure> {
        let Drafts { clean, draft, quarantine, quarantined, objects } = drafts;
        let (_, consumed) = draft.consumed.first().cloned().unwrap_or_default();
        let (meta, balance) = (draft.meta.clone(), draft.info.balance.clone());
        let run_id = draft.info.run_id.clone();
        let outcome = self.quarantine_of(ports, &run_id).commit(
            quarantine.as_ref(),
            quarantined,
            objects.as_ref(),
            consumed,
            meta,
            balance,
        )?;
        match outcome {
            Outcome::Committed(_) => Ok(draft.commit(ports.lake, clean.as_ref())?),
            lost @ Outcome::Lost(_) => Ok(lost),
        }
    }
}

fn add(balance: &mut Balance, counts: Counts) {
    balance.written += counts.written;
    balance.updated += counts.updated;
    balance.unchanged += counts.unchanged;
    balance.deduplicated += counts.deduplicated;
    balance.deleted += counts.deleted;
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
