//! The raw rows through the contract and to where they belong, stage by stage, as far as the time goes.

use std::collections::BTreeSet;

use polars::prelude::DataFrame;
use tidemark_flow::{Context, Failure};
use tidemark_pipeline::raw::OBJECT;
use tidemark_transform::Cleaner;

use super::sorted::{Sorted, Stage, Value};
use super::{Clean, Plan, text};
use crate::merging::{Counts, Identity, Merging, Parts};
use crate::pass::{Position, pass};
use crate::polars_failure;
use crate::quarantine::{self, Former, by_object};
use crate::room::Room;
use crate::stretch::Stretch;

/// What one invocation has to work with.
pub(crate) struct Sorting<'a> {
    pub clean: &'a Clean<'a>,
    pub context: &'a Context<'a>,
    pub plan: &'a Plan,
    pub cleaner: &'a Cleaner,
    pub room: Room<'a>,
}

impl Sorting<'_> {
    /// Everything before the merging.
    pub(crate) fn sort(&self, sorted: &mut Sorted<'_>) -> Result<Stretch, Failure> {
        loop {
            let stretch = match sorted.stage {
                Stage::Standing(from) => self.standing(sorted, from)?,
                Stage::Added(from) => self.added(sorted, from)?,
                Stage::Removed(from) => self.removed(sorted, from)?,
                Stage::Strays(from) => self.strays(sorted, from)?,
                Stage::Quarantined => self.quarantined(sorted)?,
                Stage::Merged => return Ok(Stretch::Whole),
            };
            if stretch == Stretch::Late {
                return Ok(Stretch::Late);
            }
        }
    }

    fn standing(&self, sorted: &mut Sorted<'_>, from: Position) -> Result<Stretch, Failure> {
        let mut come = Position::default();
        let standing = self.plan.standing();
        if let (Some(narrow), Some(table)) = (&mut sorted.narrow, standing) {
            let files = table.files(self.context.lake)?;
            come = narrow.stand(self.context, table, &files, from)?;
            if come.files < files.len() {
                sorted.stage = Stage::Standing(come);
                return Ok(Stretch::Late);
            }
        }
        sorted.stage = Stage::Added(Position::default());
        Ok(self.after(come != from))
    }

    fn added(&self, sorted: &mut Sorted<'_>, from: Position) -> Result<Stretch, Failure> {
        let Plan { raw, added, .. } = self.plan;
        let Sorted { incoming, quarantined, narrow, receipts, .. } = sorted;
        let come = pass(self.context, raw, self.cleaner, added, from, &mut |rows_in, cleaned| {
            receipts.balance.rows_in += rows_in;
            receipts.balance.quarantined += cleaned.quarantined.height() as u64;
            for (name, dropped) in &cleaned.filtered {
                *receipts.balance.filtered.entry(name.clone()).or_default() += dropped;
            }
            receipts.faults.count(&cleaned.quarantined)?;
            receipts.drifts.add(cleaned.drift);
            for (object, rows) in by_object(&cleaned.quarantined)? {
                quarantined.push(object, rows)?;
            }
            if let Some(narrow) = narrow {
                narrow.push(&cleaned.rows, true)?;
            }
            self.by_partition(cleaned.rows, &mut |value, rows| incoming.push(value, rows))
        })?;
        if come.files < added.len() {
            sorted.stage = Stage::Added(come);
            return Ok(Stretch::Late);
        }
        sorted.stage = Stage::Removed(Position::default());
        Ok(self.after(come != from))
    }

    fn removed(&self, sorted: &mut Sorted<'_>, from: Position) -> Result<Stretch, Failure> {
        let Plan { removed, anew, .. } = self.plan;
        let mut come = from;
        if !removed.is_empty() && !anew {
            let before = self.context.lake.table_at(&self.clean.raw, self.plan.from.unwrap_or_default())?;
            come = pass(self.context, &before, self.cleaner, removed, from, &mut |_, cleaned| {
                self.by_partition(cleaned.rows, &mut |value, rows| sorted.removed.push(value, rows))
            })?;
            if come.files < removed.len() {
                sorted.stage = Stage::Removed(come);
                return Ok(Stretch::Late);
            }
        }
        sorted.stage = Stage::Strays(0);
        Ok(self.after(come != from))
    }

    fn strays(&self, sorted: &mut Sorted<'_>, from: usize) -> Result<Stretch, Failure> {
        let Sorted { narrow, strays, receipts, .. } = sorted;
        let buckets = narrow.as_ref().map_or(0, |narrow| narrow.buckets());
        for nth in from..buckets {
            let Some(found) = narrow.as_mut().map(|narrow| narrow.strays(nth)).transpose()?.flatten() else { continue };
            receipts.balance.deduplicated += found.came;
            // a row that stood elsewhere and comes here anew is the same row, moved
            receipts.balance.updated += found.stood;
            receipts.moved += found.stood;
            self.by_partition(found.rows, &mut |value, rows| strays.push(value, rows))?;
            if self.context.is_late() {
                sorted.stage = Stage::Strays(nth + 1);
                return Ok(Stretch::Late);
            }
        }
        sorted.narrow = None;
        sorted.stage = Stage::Quarantined;
        Ok(Stretch::Whole)
    }

    fn quarantined(&self, sorted: &mut Sorted<'_>) -> Result<Stretch, Failure> {
        let former = self.former()?;
        // what is not published heals nothing
        let publishes = self.clean.within_budget(&sorted.receipts).is_ok();
        let healed_by = publishes.then_some(self.clean.fingerprint.as_str());
        let written = sorted.receipts.quarantined.iter().filter_map(|file| file.partition.get(OBJECT));
        let done: BTreeSet<&str> = written.collect();
        let cells = sorted.quarantined.cells().map(|(object, _)| object.as_str());
        let objects: BTreeSet<String> =
            cells.chain(former.objects().filter(|object| !done.contains(object))).map(str::to_owned).collect();
        for object in objects {
            let rows = sorted.quarantined.take(&object);
            let written =
                quarantine::write(self.context.lake, &self.clean.quarantine, &object, &rows, &former, healed_by)?;
            sorted.receipts.quarantined.extend(written);
            if self.context.is_late() {
                return Ok(Stretch::Late);
            }
        }
        sorted.stage = Stage::Merged;
        Ok(Stretch::Whole)
    }

    /// What the quarantine has of the objects that this plan looks at.
    fn former(&self) -> Result<Former, Failure> {
        let Some(quarantine) = &self.plan.quarantine else { return Ok(Former::default()) };
        let Plan { raw, from, full, .. } = self.plan;
        let former = Former::of(self.context.lake, quarantine, raw, *from, self.plan.objects().as_ref())?;
        Ok(if *full { former.passing_over_damage() } else { former })
    }

    /// Merges partition by partition what has been sorted.
    pub(crate) fn merge(&self, sorted: &mut Sorted<'_>) -> Result<Stretch, Failure> {
        let lake = self.context.lake;
        let plan = self.plan;
        let standing = plan.clean.as_ref().map(|table| table.partitions(lake)).transpose()?.unwrap_or_default();
        let merging = Merging {
            context: self.context,
            dataset: &self.clean.contract.dataset,
            schema: self.cleaner.schema(),
            identity: Identity::of(self.clean.contract),
            room: self.room,
        };
        let cells = sorted.incoming.cells().chain(sorted.removed.cells()).chain(sorted.strays.cells());
        let touched: BTreeSet<Value> = cells.map(|(value, _)| value.clone()).collect();
        for value in touched {
            let partition = self.clean.partition_of(&value);
            let files = standing.get(&partition).map(Vec::as_slice).filter(|_| !plan.anew).unwrap_or_default();
            let parts = Parts {
                existing: plan.clean.as_ref().map(|table| (table, files)),
                incoming: sorted.incoming.take(&value),
                removed: sorted.removed.take(&value),
                strays: sorted.strays.take(&value).whole()?,
            };
            let (written, counts) = merging.write(&partition, &parts)?;
            let receipts = &mut sorted.receipts;
            add(receipts, counts);
            receipts.written.extend(written);
            receipts.merged.push(value);
            if self.context.is_late() {
                return Ok(Stretch::Late);
            }
        }
        Ok(Stretch::Whole)
    }

    fn after(&self, has_come_on: bool) -> Stretch {
        if has_come_on && self.context.is_late() { Stretch::Late } else { Stretch::Whole }
    }

    fn by_partition(
        &self,
        rows: DataFrame,
        push: &mut dyn FnMut(Value, DataFrame) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if rows.height() == 0 {
            return Ok(());
        }
        let Some(column) = self.clean.partition_column() else { return push(None, rows) };
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
}

fn add(receipts: &mut super::sorted::Receipts, counts: Counts) {
    let balance = &mut receipts.balance;
    balance.written += counts.written;
    balance.updated += counts.updated;
    balance.unchanged += counts.unchanged;
    balance.deduplicated += counts.deduplicated;
    balance.deleted += counts.deleted;
}
