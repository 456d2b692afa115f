//! Step `ingest` of a source `http`: reads the records of an API that are not in the raw dataset. The bookmark, how far the API has been
//! read, is in the log of the raw dataset, and is committed with the rows.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tidemark_flow::{
    Bytes, Context, DraftSummary, Error, ErrorKind, Output, Scope, Secrets, Size, Step, TaskOutcome, TaskScope, Trigger,
};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Table, fingerprint};
use tidemark_pipeline::fingerprint::source_fingerprint;
use tidemark_pipeline::{Contract, DatasetName, Http, Pipeline, Source, StepId};

use super::client::Client;
use super::credentials::Credentials;
use super::partial::PartialWindow;
use super::reader::{WindowReader, schema};
use super::receipt::{WindowReceipt, WindowTask};
use super::request::definition;
use super::resume::ResumePoint;
use crate::incremental::bookmark::Bookmark;
use crate::incremental::window::{TimeBounds, WindowPlan};
use crate::raw_dataset::{self, RawDataset};

/// Step `ingest` of one pipeline whose source is an API.
pub(crate) struct HttpIngest<'a> {
    pipeline: &'a Pipeline,
    http: &'a Http,
    contract: &'a Contract,
    secrets: &'a dyn Secrets,
    raw: DatasetName,
    /// Fingerprint of the settings that decide how records are read. If it has changed, everything is requested again.
    fingerprint: String,
    /// Fingerprint of the settings that decide what is requested. Pages that landed with another one are not resumed.
    definition: String,
}

/// The window to request, and the state before it.
pub(crate) struct Plan {
    current: RawDataset,
    bookmark: Bookmark<ResumePoint>,
    window: WindowPlan<ResumePoint>,
    /// The scheduled time.
    now: Timestamp,
    is_continued: bool,
    /// Up to which time the raw dataset is complete once everything has been read.
    complete: Option<Timestamp>,
}

/// The client of the API for the duration of an attempt.
pub(crate) struct Session<'a> {
    client: Mutex<Client<'a>>,
    scope: TaskScope,
}

impl<'a> HttpIngest<'a> {
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        http: &'a Http,
        contract: &'a Contract,
        secrets: &'a dyn Secrets,
    ) -> Result<HttpIngest<'a>, Error> {
        let text = source_fingerprint(&Source::Http(Box::new(http.clone())))
            .map_err(|error| Error::new(ErrorKind::Bug, "a definition cannot be written down").because(error))?;
        let (raw, definition) = (contract.dataset.raw(), definition(http)?);
        Ok(HttpIngest { pipeline, http, contract, secrets, raw, fingerprint: fingerprint(&text), definition })
    }

    fn bounds(&self) -> Option<&dyn TimeBounds> {
        self.http.incremental.as_ref().map(|since| since as &dyn TimeBounds)
    }

    /// The window after those that have been read, and the bookmark before it.
    fn next(
        &self,
        plan: &Plan,
        receipts: &[WindowReceipt],
    ) -> Option<(Bookmark<ResumePoint>, WindowPlan<ResumePoint>)> {
        let (mut bookmark, mut window) = (plan.bookmark.clone(), plan.window.clone());
        for receipt in receipts {
            if receipt.is_late || !leads_on(receipt, &window) {
                return None;
            }
            bookmark = receipt.bookmark.clone();
            window = WindowPlan::next(self.bounds(), &bookmark, false, plan.now, plan.current.next_version())?;
        }
        Some((bookmark, window))
    }

    /// The files of earlier versions that are removed because everything has been read again. None if that is not the case.
    fn superseded(&self, current: &RawDataset, receipt: &WindowReceipt) -> Result<Option<Vec<DataFile>>, Error> {
        let is_whole = receipt.bookmark.resume.is_none() && receipt.is_last;
        // with `deletes = "absent"`, rows that the API does not return any more are removed
        let replaces = self.contract.deletes_absent && !receipt.is_known;
        let rebuild_from = receipt.bookmark.rebuild_from.or_else(|| replaces.then(|| current.next_version()));
        let (true, Some(version)) = (is_whole, rebuild_from) else { return Ok(None) };
        let is_older = |file: &&DataFile| raw_dataset::arrived_in(file).is_none_or(|arrived| arrived < version);
        let removes: Vec<DataFile> = current.files.iter().filter(is_older).cloned().collect();
        if receipt.files.is_empty() && !removes.is_empty() && receipt.bookmark.rebuild_from.is_none() {
            let message = format!("{} returned no records, but {} has rows", self.http.url, self.raw);
            return Err(Error::new(ErrorKind::Data, message)
                .hint("if all records were deleted, remove the rows with: tidemark run --full"));
        }
        Ok(Some(removes))
    }
}

/// Whether the next window is read before anything is committed, because this one has no records.
fn leads_on(receipt: &WindowReceipt, window: &WindowPlan<ResumePoint>) -> bool {
    !receipt.is_known && receipt.is_empty() && !window.window.is_last
}

impl Step for HttpIngest<'_> {
    type Observed = RawDataset;
    type Plan = Plan;
    type Task = WindowTask;
    type Receipt = WindowReceipt;
    type Partial = PartialWindow;
    type Session<'s>
        = Session<'s>
    where
        Self: 's;
    type Draft = (Option<Table>, Draft);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Ingest
    }

    fn observe(&self, context: &Context<'_>, _: &Trigger) -> Result<Option<RawDataset>, Error> {
        RawDataset::open(context, &self.raw).map(Some)
    }

    fn plan(&self, current: RawDataset, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        // with another definition the bookmark is ignored; the rows stay
        let kept = current.meta.bookmark.clone().filter(|_| current.meta.fingerprint == self.fingerprint);
        let mut bookmark: Bookmark<ResumePoint> =
            kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default();
        bookmark.resume = bookmark.resume.filter(|resume| resume.definition == self.definition);
        let complete = raw_dataset::watermark(self.pipeline, trigger);
        let (now, version) = (trigger.scheduled_time, current.next_version());
        let window = WindowPlan::next(self.bounds(), &bookmark, trigger.full, now, version);
        let is_continued = trigger.part > 0;
        Ok(window.map(|window| Plan { current, bookmark, window, now, is_continued, complete }))
    }

    fn scope(&self, _: &Plan) -> Scope {
        // unknown before the API is asked
        Scope { partitions: Vec::new(), size: Size { partitions: 1, rows: None, bytes: 0, how: None } }
    }

    fn checkpoint(&self, plan: &Plan) -> Option<(DatasetName, String)> {
        Some((self.raw.clone(), format!("{} {}", self.fingerprint, plan.window.window.name)))
    }

    fn tasks(&self, plan: &Plan, receipts: &[WindowReceipt]) -> Result<Vec<WindowTask>, Error> {
        let next = self.next(plan, receipts).map(|(bookmark, window)| WindowTask {
            base: plan.current.table.as_ref().map(Table::version),
            bookmark,
            window,
            is_same_definition: plan.current.meta.fingerprint == self.fingerprint,
            is_continued: plan.is_continued,
            complete: plan.complete,
        });
        Ok(next.into_iter().collect())
    }

    fn task_name(&self, task: &WindowTask) -> String {
        task.name()
    }

    fn session<'s>(&'s self, context: &Context<'s>, scope: &TaskScope) -> Result<Session<'s>, Error> {
        let credentials = Credentials::new(self.http.auth.as_ref(), self.secrets)?;
        let client = Client::new(self.http, *context, credentials, &scope.run_id)?;
        Ok(Session { client: Mutex::new(client), scope: scope.clone() })
    }

    fn run(
        &self,
        context: &Context<'_>,
        session: &Session<'_>,
        task: &WindowTask,
        from: Option<PartialWindow>,
    ) -> Result<TaskOutcome<WindowReceipt, PartialWindow>, Error> {
        let client = session.client.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = WindowReader {
            context,
            http: self.http,
            contract: self.contract,
            pipeline: &self.pipeline.name,
            raw: &self.raw,
            definition: &self.definition,
            run_id: &session.scope.run_id,
            client: &client,
            task,
            checkpoint: session.scope.checkpoint.as_ref(),
        };
        let mut outcome = reader.read(from.filter(|partial| partial.is_valid(&task.window.window)))?;
        if let TaskOutcome::Done(receipt) = &mut outcome {
            receipt.is_late = leads_on(receipt, &task.window) && context.is_late();
        }
        Ok(outcome)
    }

    fn spill_objects_of_partial<'r>(&self, partial: &'r PartialWindow) -> Vec<&'r str> {
        partial.rest.iter().map(|rest| rest.object.as_str()).collect()
    }

    fn gather(
        &self,
        plan: Plan,
        mut receipts: Vec<WindowReceipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, Self::Draft)>, Error> {
        let current = plan.current;
        // windows before the last have no records
        let Some(receipt) = receipts.pop() else { return Ok(None) };
        let superseded = self.superseded(&current, &receipt)?;
        let WindowReceipt { files, mut balance, mut bookmark, notes, bytes, has_more, complete, .. } = receipt;
        if superseded.is_some() {
            bookmark.rebuild_from = None;
        }
        let removes = superseded.unwrap_or_default();
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        // the watermark only moves forward, and only when a window is complete
        let watermark = complete.filter(|_| bookmark.resume.is_none()).max(current.meta.watermark);
        let bookmark = serde_json::to_value(&bookmark)
            .map_err(|error| Error::new(ErrorKind::Bug, "a bookmark cannot be written").because(error))?;
        let meta = Meta { watermark, fingerprint: self.fingerprint.clone(), bookmark: Some(bookmark) };
        let is_same = current.table.is_some() && files.is_empty() && removes.is_empty() && meta == current.meta;
        if is_same && !has_more {
            return Ok(None);
        }
        let summary = DraftSummary {
            outputs: vec![Output { watermark, ..Output::new(self.raw.as_str(), u64::from(!files.is_empty())) }],
            rows: balance,
            bytes: Bytes { read: bytes, written: files.iter().map(|file| file.bytes).sum() },
            notes,
            has_more,
            ..DraftSummary::default()
        };
        let draft = Draft {
            dataset: self.raw.clone(),
            schema: schema(),
            partition_by: raw_dataset::partition_by()?,
            adds: files,
            removes,
            consumed: Vec::new(),
            meta,
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
