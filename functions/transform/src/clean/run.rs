//! Runs the tasks of step `clean`.

use polars::prelude::DataFrame;
use tidemark_flow::{Context, Error};
use tidemark_lake::{Batches, Table};
use tidemark_pipeline::raw;
use tidemark_transform::{Cleaned, Cleaner, RawLayout};

use super::definition::{Clean, Value};
use super::receipts::{AddedRows, FileSlice, Files, MergeTask, PreviousRows, Receipt, Task};
use crate::errors::{contract_error, polars_error};
use crate::key_index::{KeyColumns, KeyIndex};
use crate::partition_merge::{Identity, Merging, Parts};
use crate::partition_value::text;
use crate::quarantine::{self, PreviousQuarantine, by_object};
use crate::spill::{Spill, SpillBuffer};
use crate::spill_manifest::Chunks;
use crate::tables::Tables;

/// State shared by the tasks of one attempt.
pub struct Session<'a> {
    pub(super) clean: &'a Clean<'a>,
    pub(super) cleaner: Cleaner,
    keys: Option<KeyColumns<'a>>,
    pub(super) buffer: SpillBuffer,
    tables: Tables,
}

impl<'a> Session<'a> {
    pub(super) fn new(clean: &'a Clean<'a>, buffer: SpillBuffer) -> Result<Session<'a>, Error> {
        let cleaner = Cleaner::new(clean.contract, &clean.fingerprint).map_err(contract_error)?;
        Ok(Session { clean, cleaner, keys: KeyColumns::new(clean.contract), buffer, tables: Tables::default() })
    }

    pub(super) fn run(&self, context: &Context<'_>, task: &Task) -> Result<Receipt, Error> {
        match task {
            Task::Added(files) => self.added(context, files),
            Task::Removed(files) => self.removed(context, files),
            Task::Existing(files) => self.existing_keys(context, files),
            Task::Superseded { keys, .. } => self.superseded(keys),
            Task::Quarantined { object, rows, previous, healed_by } => {
                self.quarantined(context, object, rows, previous.as_ref(), healed_by.as_deref())
            }
            Task::Merged(merge) => self.merged(context, merge),
        }
    }

    fn added(&self, context: &Context<'_>, files: &Files) -> Result<Receipt, Error> {
        let mut receipt = AddedRows::default();
        let (mut incoming, mut broken) = (Spill::new(&self.buffer), Spill::new(&self.buffer));
        let mut index = self.keys.as_ref().map(|keys| KeyIndex::new(keys, files.buckets, &self.buffer));
        self.clean(context, files, &mut |rows_in, cleaned| {
            receipt.balance.rows_in += rows_in;
            receipt.balance.quarantined += cleaned.quarantined.height() as u64;
            for (name, dropped) in &cleaned.filtered {
                *receipt.balance.filtered.entry(name.clone()).or_default() += dropped;
            }
            receipt.faults.count(&cleaned.quarantined)?;
            receipt.drifts.add(cleaned.drift);
            for (object, rows) in by_object(&cleaned.quarantined)? {
                broken.push(object, rows)?;
            }
            if let Some(index) = &mut index {
                index.push(&cleaned.rows, true)?;
            }
            self.by_partition(cleaned.rows, &mut incoming)
        })?;
        (receipt.incoming, receipt.quarantined) = (incoming.finish()?, broken.finish()?);
        receipt.keys = index.map(KeyIndex::finish).transpose()?.unwrap_or_default();
        Ok(Receipt::Added(Box::new(receipt)))
    }

    fn removed(&self, context: &Context<'_>, files: &Files) -> Result<Receipt, Error> {
        let mut rows = Spill::new(&self.buffer);
        self.clean(context, files, &mut |_, cleaned| self.by_partition(cleaned.rows, &mut rows))?;
        Ok(Receipt::Removed { rows: rows.finish()? })
    }

    fn existing_keys(&self, context: &Context<'_>, files: &Files) -> Result<Receipt, Error> {
        let table = self.tables.at(context.lake, &self.clean.contract.dataset, files.version)?;
        let mut index = self.keys.as_ref().map(|keys| KeyIndex::new(keys, files.buckets, &self.buffer));
        for slice in &files.slices {
            for rows in batches(context, &table, slice)? {
                if let Some(index) = &mut index {
                    index.push(&rows?, false)?;
                }
            }
        }
        Ok(Receipt::Existing { keys: index.map(KeyIndex::finish).transpose()?.unwrap_or_default() })
    }

    fn superseded(&self, keys: &Chunks) -> Result<Receipt, Error> {
        let mut by_partition = Spill::new(&self.buffer);
        let rows = self.buffer.take(keys)?;
        let found = self.keys.as_ref().map(|columns| columns.superseded(&rows)).transpose()?.flatten();
        let (existing, incoming) = found.as_ref().map_or((0, 0), |found| (found.existing, found.incoming));
        if let Some(found) = found {
            self.by_partition(found.rows, &mut by_partition)?;
        }
        Ok(Receipt::Superseded { keys: by_partition.finish()?, existing, incoming })
    }

    fn quarantined(
        &self,
        context: &Context<'_>,
        object: &str,
        rows: &Chunks,
        previous: Option<&PreviousRows>,
        healed_by: Option<&str>,
    ) -> Result<Receipt, Error> {
        let table = previous.map(|previous| self.tables.at(context.lake, &self.clean.quarantine, previous.version));
        let table = table.transpose()?;
        let previous = previous.zip(table.as_ref()).map(|(previous, table)| PreviousQuarantine {
            table,
            files: &previous.files,
            skips_damaged: previous.skips_damaged,
        });
        let rows = self.buffer.take(rows)?;
        let files =
            quarantine::write(context.lake, &self.clean.quarantine, object, &rows, previous.as_ref(), healed_by)?;
        Ok(Receipt::Quarantined { files })
    }

    fn merged(&self, context: &Context<'_>, task: &MergeTask) -> Result<Receipt, Error> {
        let MergeTask { value, existing, incoming, removed, superseded } = task;
        let contract = self.clean.contract;
        let merging = Merging {
            context,
            dataset: &contract.dataset,
            schema: self.cleaner.schema(),
            identity: Identity::for_contract(contract),
            buffer: &self.buffer,
        };
        let table = match existing {
            Some((version, files)) => Some((self.tables.at(context.lake, &contract.dataset, *version)?, files)),
            None => None,
        };
        let parts = Parts {
            existing: table.as_ref().map(|(table, files)| (table, files.as_slice())),
            incoming: self.buffer.take(incoming)?,
            removed: self.buffer.take(removed)?,
            superseded: self.buffer.take(superseded)?.whole()?,
        };
        let (files, counts) = merging.write(&self.clean.partition_of(value), &parts)?;
        Ok(Receipt::Merged { value: value.clone(), files, counts })
    }

    /// Applies the contract to raw files, batch by batch. Calls `take` with the raw rows and the result.
    fn clean(
        &self,
        context: &Context<'_>,
        files: &Files,
        take: &mut dyn FnMut(u64, Cleaned) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let table = self.tables.at(context.lake, &self.clean.raw, files.version)?;
        let columns = table.schema().iter_names().map(|name| name.as_str());
        let layout = if raw::holds_json(columns) { RawLayout::Json } else { RawLayout::Columns };
        for slice in &files.slices {
            let batches = batches(context, &table, slice)?;
            let bytes = slice.file.bytes / (slice.parts as u64 * batches.len().max(1) as u64);
            for rows in batches {
                let rows = rows?;
                let cleaned = self.cleaner.clean(&rows, layout).map_err(contract_error)?;
                take(rows.height() as u64, cleaned)?;
                context.progress.advance(bytes);
            }
        }
        Ok(())
    }

    fn by_partition(&self, rows: DataFrame, spill: &mut Spill<'_, Value>) -> Result<(), Error> {
        if rows.height() == 0 {
            return Ok(());
        }
        let Some(column) = self.clean.partition_column() else { return spill.push(None, rows) };
        let failed = |error| polars_error("clean rows cannot be spread", error);
        for part in rows.partition_by_stable([column.as_str()], true).map_err(failed)? {
            let value = part
                .column(column.as_str())
                .and_then(|values| values.get(0).map(|value| text(&value)))
                .map_err(failed)?;
            spill.push(value, part)?;
        }
        Ok(())
    }
}

/// The row groups of a slice of a file.
fn batches<'t>(
    context: &Context<'_>,
    table: &'t Table,
    slice: &FileSlice,
) -> Result<std::iter::Take<std::iter::Skip<Batches<'t>>>, Error> {
    let FileSlice { file, nth, parts } = slice;
    let batches = table.batches(context.lake, file)?;
    let groups = batches.len();
    let (from, to) = (groups * nth / parts, groups * (nth + 1) / parts);
    Ok(batches.skip(from).take(to - from))
}
