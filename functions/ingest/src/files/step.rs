//! Step `ingest` of a source `files`: the objects that the raw dataset does not have in their present version. Which those are is in the log
//! of the raw dataset itself, whose partitions they are.

use std::sync::OnceLock;

use tidemark_flow::{
    Bytes, Context, DraftSummary, Error, ErrorKind, Output, Scope, Size, Sources, Step, TaskOutcome, TaskScope, Trigger,
};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Store, Table, fingerprint, schema_from_json};
use tidemark_pipeline::fingerprint::source_fingerprint;
use tidemark_pipeline::raw::OBJECT;
use tidemark_pipeline::{Contract, DatasetName, Files, Pipeline, Source, StepId};

use super::gather::{gather, keep_columns, widened};
use super::listing::{Listing, list, news, store};
use super::object::{ObjectRead, ObjectReader};
use super::plan::{Plan, outcomes};
use super::receipt::{Partial, Receipt, Task};
use crate::raw_dataset::{self, RawDataset};

/// Step `ingest` of one pipeline whose source are files.
pub(crate) struct FilesIngest<'a> {
    pipeline: &'a Pipeline,
    files: &'a Files,
    sources: &'a dyn Sources,
    raw: DatasetName,
    /// Of what decides how bytes become raw rows; another one means that everything must be read again.
    fingerprint: String,
    /// Where the objects are, once that has been found out.
    store: OnceLock<Store>,
}

/// What there is in the source, and what of it the raw dataset has.
pub(crate) struct Observed {
    listing: Listing,
    standing: RawDataset,
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
    /// Where the objects are.
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
        Ok(Some(Observed { listing, standing: RawDataset::open(context, &self.raw)? }))
    }

    fn plan(&self, observed: Observed, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        let Observed { listing: Listing { objects, notes, .. }, standing } = observed;
        let is_rebuild = trigger.full || (standing.table.is_some() && standing.meta.fingerprint != self.fingerprint);
        let news = news(objects, &standing.files, is_rebuild);
        let is_there =
            |file: &&DataFile| news.iter().any(|new| file.partition.get(OBJECT) == Some(new.object.name.as_str()));
        let gone: Vec<DataFile> = match is_rebuild {
            false => Vec::new(),
            true => standing.files.iter().filter(|file| !is_there(file)).cloned().collect(),
        };
        // it moves only forward, and only when it has something to say
        let watermark = raw_dataset::watermark(self.pipeline, trigger).max(standing.meta.watermark);
        let is_moved = watermark != standing.meta.watermark;
        if news.is_empty() && gone.is_empty() && standing.table.is_some() && !is_moved && !is_rebuild {
            return Ok(None);
        }
        Ok(Some(Plan { standing, news, is_rebuild, gone, watermark, notes }))
    }

    fn scope(&self, plan: &Plan) -> Scope {
        let bytes = plan.news.iter().map(|new| new.object.bytes).sum();
        Scope {
            partitions: plan.news.iter().map(|new| new.object.name.clone()).collect(),
            size: Size { partitions: plan.news.len() as u64, rows: None, bytes, how: None },
        }
    }

    fn checkpoint(&self, plan: &Plan) -> Option<(DatasetName, String)> {
        // not the objects, which are in the names of the tasks: more of them may come while the first are being read
        let base = plan.standing.table.as_ref().map(Table::version);
        let gone: Vec<_> = plan.gone.iter().map(|file| &file.path).collect();
        let watermark = plan.watermark.map(|watermark| watermark.to_string());
        Some((self.raw.clone(), format!("{:?}", (base, &self.fingerprint, plan.is_rebuild, gone, watermark))))
    }

    fn tasks(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        plan.tasks(&self.raw, receipts)
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
                let from = from.filter(|partial| partial.is_sound(objects.len()));
                let Partial { mut done, object: mut partial } = from.unwrap_or_default();
                let before = done.len();
                for object in &objects[before..] {
                    // one object at least is begun, however late it is
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
        let mut schema = widened(&plan.columns(), &plan.news, &outcomes)?.schema;
        let Plan { standing, news, gone, watermark, notes, .. } = plan;
        let gathered = gather(news, outcomes);
        // what is not read is not complete
        let watermark = if gathered.is_incomplete { standing.meta.watermark } else { watermark };
        if let (true, Some(table)) = (gathered.keeps_former, &standing.table) {
            keep_columns(&mut schema, table.schema());
        }
        let (mut balance, adds) = (gathered.balance, gathered.adds);
        let removes: Vec<DataFile> = gone.into_iter().chain(gathered.removes).collect();
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        let written = adds.iter().map(|file| file.bytes).sum();
        let summary = DraftSummary {
            outputs: vec![Output { watermark, ..Output::new(self.raw.as_str(), gathered.partitions) }],
            rows: balance,
            bytes: Bytes { read: gathered.bytes_read, written },
            notes: notes.into_iter().chain(gathered.notes).collect(),
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
        Ok(Some((summary, (standing.table, draft))))
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
