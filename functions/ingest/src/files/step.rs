//! Step `ingest` of a source `files`: reads the objects whose present version is not in the raw dataset. Each version of an object is a
//! partition of the raw dataset, so its log says which have been read.

use std::sync::OnceLock;

use tidemark_flow::{
    Bytes, Context, DraftSummary, Error, ErrorKind, Output, Scope, Size, Sources, Step, TaskOutcome, TaskScope, Trigger,
};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Store, Table, fingerprint, schema_from_json};
use tidemark_pipeline::fingerprint::source_fingerprint;
use tidemark_pipeline::raw::OBJECT;
use tidemark_pipeline::{Contract, DatasetName, Files, Pipeline, Source, StepId};

use super::gather::{gather, keep_columns, widened};
use super::listing::{Listing, list, new_objects, store};
use super::object::{ObjectRead, ObjectReader};
use super::plan::{Plan, outcomes};
use super::receipt::{Partial, Receipt, Task};
use crate::raw_dataset::{self, RawDataset};

/// An object being read holds the compressed file being written (64 MiB), a row group of 16 MiB twice, and a frame.
const TASK_MEMORY: u64 = 128 << 20;

/// Step `ingest` of one pipeline whose source is files.
pub(crate) struct FilesIngest<'a> {
    pipeline: &'a Pipeline,
    files: &'a Files,
    sources: &'a dyn Sources,
    raw: DatasetName,
    /// Fingerprint of the settings that decide how bytes become raw rows. If it has changed, everything must be read again.
    fingerprint: String,
    /// The store with the objects, once it has been located.
    store: OnceLock<Store>,
}

/// The listing of the source, and the current raw dataset.
pub(crate) struct Observed {
    listing: Listing,
    current: RawDataset,
}

impl<'a> FilesIngest<'a> {
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        files: &'a Files,
        contract: &'a Contract,
        sources: &'a dyn Sources,
    ) -> Result<FilesIngest<'a>, Error> {
        let text = source_fingerprint(&Source::Files(files.clone()))
            .map_err(|error| Error::new(ErrorKind::Bug, "a definition cannot be written down").because(error))?;
        let (raw, fingerprint) = (contract.dataset.raw(), fingerprint(&text));
        Ok(FilesIngest { pipeline, files, sources, raw, fingerprint, store: OnceLock::new() })
    }
}

impl Step for FilesIngest<'_> {
    type Observed = Observed;
    type Plan = Plan;
    type Task = Task;
    type Receipt = Receipt;
    type Partial = Partial;
    /// The store with the objects.
    type Session<'s>
        = Store
    where
        Self: 's;
    type Draft = (Option<Table>, Draft);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Ingest
    }

    fn observe(&self, context: &Context<'_>, _: &Trigger) -> Result<Option<Observed>, Error> {
        let listing = list(self.sources, self.files)?;
        self.store.get_or_init(|| listing.store.clone());
        Ok(Some(Observed { listing, current: RawDataset::open(context, &self.raw)? }))
    }

    fn plan(&self, observed: Observed, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        let Observed { listing: Listing { objects, notes, .. }, current } = observed;
        let is_rebuild = trigger.full || (current.table.is_some() && current.meta.fingerprint != self.fingerprint);
        let new_objects = new_objects(objects, &current.files, is_rebuild);
        let is_there = |file: &&DataFile| {
            new_objects.iter().any(|new| file.partition.get(OBJECT) == Some(new.object.name.as_str()))
        };
        let stale: Vec<DataFile> = match is_rebuild {
            false => Vec::new(),
            true => current.files.iter().filter(|file| !is_there(file)).cloned().collect(),
        };
        // the watermark only moves forward
        let watermark = raw_dataset::watermark(self.pipeline, trigger).max(current.meta.watermark);
        let is_moved = watermark != current.meta.watermark;
        if new_objects.is_empty() && stale.is_empty() && current.table.is_some() && !is_moved && !is_rebuild {
            return Ok(None);
        }
        Ok(Some(Plan { current, new_objects, is_rebuild, stale, watermark, notes }))
    }

    fn scope(&self, plan: &Plan) -> Scope {
        let bytes = plan.new_objects.iter().map(|new| new.object.bytes).sum();
        Scope {
            partitions: plan.new_objects.iter().map(|new| new.object.name.clone()).collect(),
            size: Size { partitions: plan.new_objects.len() as u64, rows: None, bytes, how: None },
        }
    }

    fn checkpoint(&self, plan: &Plan) -> Option<(DatasetName, String)> {
        // without the objects, which are in the names of the tasks: more may arrive while the first are being read
        let base = plan.current.table.as_ref().map(Table::version);
        let stale: Vec<_> = plan.stale.iter().map(|file| &file.path).collect();
        let watermark = plan.watermark.map(|watermark| watermark.to_string());
        Some((self.raw.clone(), format!("{:?}", (base, &self.fingerprint, plan.is_rebuild, stale, watermark))))
    }

    fn tasks(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        plan.tasks(&self.raw, receipts)
    }

    fn task_memory(&self) -> u64 {
        TASK_MEMORY
    }

    fn task_name(&self, task: &Task) -> String {
        task.name()
    }

    fn session<'s>(&'s self, _: &Context<'s>, _: &TaskScope) -> Result<Store, Error> {
        self.store.get().map_or_else(|| store(self.sources, self.files), |store| Ok(store.clone()))
    }

    fn run(
        &self,
        context: &Context<'_>,
        store: &Store,
        task: &Task,
        from: Option<Partial>,
    ) -> Result<TaskOutcome<Receipt, Partial>, Error> {
        let (raw, csv) = (&self.raw, &self.files.csv);
        match task {
            Task::Empty { objects, columns, arrived_in } => {
                let columns = schema_from_json(raw, columns)
                    .ok_or_else(|| Error::new(ErrorKind::Bug, "the columns of a task cannot be read"))?;
                let reader = ObjectReader { context, raw, store, csv, base: &columns, arrived_in: *arrived_in };
                let files = objects.iter().map(|object| reader.write_empty(object, &columns));
                Ok(TaskOutcome::Done(Receipt::Empty(files.collect::<Result<_, _>>()?)))
            }
            Task::Read { objects, base, arrived_in } => {
                let base = match base {
                    Some(version) => context.lake.table_at(raw, *version)?.schema().clone(),
                    None => raw_dataset::schema(),
                };
                let reader = ObjectReader { context, raw, store, csv, base: &base, arrived_in: *arrived_in };
                let from = from.filter(|partial| partial.is_valid(objects.len()));
                let Partial { mut done, object: mut partial } = from.unwrap_or_default();
                let before = done.len();
                for object in &objects[before..] {
                    // at least one object is started, even after the deadline
                    if done.len() > before && context.is_late() {
                        return Ok(TaskOutcome::Late(Some(Partial { done, object: None })));
                    }
                    match reader.read(object, partial.take())? {
                        ObjectRead::Done(outcome) => done.push(raw, outcome)?,
                        ObjectRead::Late(None) if done.len() == 0 => return Ok(TaskOutcome::Late(None)),
                        ObjectRead::Late(object) => return Ok(TaskOutcome::Late(Some(Partial { done, object }))),
                    }
                }
                Ok(TaskOutcome::Done(Receipt::Read(done)))
            }
        }
    }

    fn gather(
        &self,
        plan: Plan,
        receipts: Vec<Receipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, Self::Draft)>, Error> {
        let outcomes = outcomes(&self.raw, &receipts)?;
        let mut schema = widened(&plan.columns(), &plan.new_objects, &outcomes)?.schema;
        let Plan { current, new_objects, stale, watermark, notes, .. } = plan;
        let totals = gather(new_objects, outcomes);
        // the watermark stays if an object was not read
        let watermark = if totals.is_incomplete { current.meta.watermark } else { watermark };
        if let (true, Some(table)) = (totals.keeps_previous, &current.table) {
            keep_columns(&mut schema, table.schema());
        }
        let (mut balance, adds) = (totals.balance, totals.adds);
        let removes: Vec<DataFile> = stale.into_iter().chain(totals.removes).collect();
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        let written = adds.iter().map(|file| file.bytes).sum();
        let summary = DraftSummary {
            outputs: vec![Output { watermark, ..Output::new(self.raw.as_str(), totals.partitions) }],
            rows: balance,
            bytes: Bytes { read: totals.bytes_read, written },
            notes: notes.into_iter().chain(totals.notes).collect(),
            ..DraftSummary::default()
        };
        let draft = Draft {
            dataset: self.raw.clone(),
            schema,
            partition_by: raw_dataset::partition_by()?,
            adds,
            removes,
            consumed: Vec::new(),
            meta: Meta { watermark, fingerprint: self.fingerprint.clone(), bookmark: None },
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: summary.rows.to_json() },
        };
        Ok(Some((summary, (current.table, draft))))
    }

    fn commit(
        &self,
        context: &Context<'_>,
        (base, draft): Self::Draft,
        _: &mut DraftSummary,
    ) -> Result<Outcome, Error> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}
