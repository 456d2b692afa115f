//! Step `ingest` of a source `http`: what an API says that the raw dataset does not have. How far it has been read is in the log of the
//! raw dataset, and is committed with the rows.

use bytes::Bytes;
use jiff::Timestamp;
use tidemark_flow::{Context, Drafted, Drafting, Failure, Kind, Output, Size, Step, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Draft, Meta, Outcome, Table, Work, fingerprint};
use tidemark_pipeline::fingerprint::of_source;
use tidemark_pipeline::{Contract, DatasetName, Http, Pipeline, Source, StepId};

use super::client::Client;
use super::receipt::WindowReceipt;
use super::request::definition;
use super::resume::ResumePoint;
use super::task::{WindowOutcome, WindowReader, schema};
use crate::incremental::advance::Before;
use crate::incremental::bookmark::Bookmark;
use crate::incremental::window::{TimeBounds, WindowPlan};
use crate::raw_dataset::{self, RawDataset};

/// Step `ingest` of one pipeline whose source is an API.
pub(crate) struct HttpIngest<'a> {
    pipeline: &'a Pipeline,
    http: &'a Http,
    contract: &'a Contract,
    raw: DatasetName,
    /// Of what decides what becomes of a record; another one means that everything is asked for again.
    fingerprint: String,
    /// Of what decides what is asked for: what has landed by another one is not gone on with.
    definition: String,
}

/// What to ask for.
pub(crate) struct Plan {
    standing: RawDataset,
    bookmark: Bookmark<ResumePoint>,
    window: WindowPlan<ResumePoint>,
    /// The time that is meant.
    now: Timestamp,
    /// What has landed has been asked for by the invocations before this one, for the same reason.
    is_continued: bool,
    /// Up to when the raw dataset is complete once everything has been read.
    complete: Option<Timestamp>,
}

impl<'a> HttpIngest<'a> {
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        http: &'a Http,
        contract: &'a Contract,
    ) -> Result<HttpIngest<'a>, Failure> {
        let text = of_source(&Source::Http(Box::new(http.clone())))
            .map_err(|error| Failure::new(Kind::Bug, "a definition cannot be written down").because(error))?;
        let (raw, definition) = (contract.dataset.raw(), definition(http)?);
        Ok(HttpIngest { pipeline, http, contract, raw, fingerprint: fingerprint(&text), definition })
    }

    fn bounds(&self) -> Option<&dyn TimeBounds> {
        self.http.incremental.as_ref().map(|since| since as &dyn TimeBounds)
    }

    /// What is known before the window of a plan is read.
    fn before<'p>(&self, plan: &'p Plan) -> Before<'p, ResumePoint> {
        Before {
            bookmark: &plan.bookmark,
            plan: &plan.window,
            is_timed: self.http.incremental.is_some(),
            is_same_definition: plan.standing.meta.fingerprint == self.fingerprint,
            complete: plan.complete,
        }
    }

    fn read(&self, context: &Context<'_>, plan: &Plan, client: &Client<'_>) -> Result<WindowOutcome, Failure> {
        let reader = WindowReader {
            context,
            http: self.http,
            contract: self.contract,
            pipeline: &self.pipeline.name,
            raw: &self.raw,
            definition: &self.definition,
            client,
            standing: &plan.standing,
            is_continued: plan.is_continued,
        };
        reader.read(&self.before(plan))
    }

    /// The files of earlier versions that go once everything has been read again.
    fn superseded(&self, plan: &Plan, receipt: &WindowReceipt) -> Result<Option<Vec<DataFile>>, Failure> {
        let is_whole = receipt.bookmark.resume.is_none() && receipt.is_last;
        // what the API does not say any more shall go
        let replaces = self.contract.deletes_absent && !receipt.is_known;
        let anew_from = receipt.bookmark.anew_from.or_else(|| replaces.then(|| plan.standing.next_version()));
        let (true, Some(version)) = (is_whole, anew_from) else { return Ok(None) };
        let is_older = |file: &&DataFile| raw_dataset::arrived_in(file).is_none_or(|came| came < version);
        let removes: Vec<DataFile> = plan.standing.files.iter().filter(is_older).cloned().collect();
        if receipt.files.is_empty() && !removes.is_empty() && plan.window.anew_from.is_none() {
            let message = format!("{} says that there is nothing, and {} has rows", self.http.url, self.raw);
            return Err(
                Failure::new(Kind::Data, message).hint("if that is so, take them away with: tidemark run --full")
            );
        }
        Ok(Some(removes))
    }

    /// What a window has come to, as a commit.
    fn drafted(
        &self,
        plan: Plan,
        receipt: WindowReceipt,
        run_id: &str,
    ) -> Result<(Drafted, (Option<Table>, Draft)), Failure> {
        let superseded = self.superseded(&plan, &receipt)?;
        let WindowReceipt { files, mut balance, mut bookmark, notes, bytes, has_more, complete, .. } = receipt;
        if superseded.is_some() {
            bookmark.anew_from = None;
        }
        let removes = superseded.unwrap_or_default();
        balance.deleted = removes.iter().map(|file| file.rows).sum();
        // it moves only forward, and not before a window is whole
        let watermark = complete.filter(|_| bookmark.resume.is_none()).max(plan.standing.meta.watermark);
        let bookmark = serde_json::to_value(&bookmark)
            .map_err(|error| Failure::new(Kind::Bug, "a bookmark cannot be written").because(error))?;
        let drafted = Drafted {
            outputs: vec![Output { watermark, ..Output::of(self.raw.as_str(), u64::from(!files.is_empty())) }],
            rows: balance,
            bytes: tidemark_flow::Bytes { read: bytes, written: files.iter().map(|file| file.bytes).sum() },
            notes,
            goes_on: has_more,
            ..Drafted::default()
        };
        let draft = Draft {
            dataset: self.raw.clone(),
            schema: schema(),
            partition_by: raw_dataset::partition_by()?,
            adds: files,
            removes,
            consumed: Vec::new(),
            meta: Meta { watermark, fingerprint: self.fingerprint.clone(), bookmark: Some(bookmark) },
            info: CommitInfo { run_id: run_id.into(), step: self.id().to_string(), balance: drafted.rows.to_json() },
        };
        Ok((drafted, (plan.standing.table, draft)))
    }
}

impl Step for HttpIngest<'_> {
    type Plan = Plan;
    type Draft = (Option<Table>, Draft);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Ingest
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let standing = RawDataset::open(context, &self.raw)?;
        // read another way, what has been read is not known; its rows stay all the same
        let kept = standing.meta.bookmark.clone().filter(|_| standing.meta.fingerprint == self.fingerprint);
        let mut bookmark: Bookmark<ResumePoint> =
            kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default();
        bookmark.resume = bookmark.resume.filter(|resume| resume.definition == self.definition);
        let complete = raw_dataset::watermark(self.pipeline, trigger);
        let (now, version) = (trigger.scheduled_time, standing.next_version());
        let window = WindowPlan::next(self.bounds(), &bookmark, trigger.full, now, version);
        let is_continued = trigger.part > 0;
        Ok(window.map(|window| Plan { standing, bookmark, window, now, is_continued, complete }))
    }

    fn size(&self, _: &Plan) -> Size {
        // only asking would tell
        Size { partitions: 1, rows: None, bytes: 0, how: None }
    }

    fn work(&self, plan: &Plan) -> Option<Work> {
        let text = format!("fetch {} {}", self.fingerprint, plan.window.window.name);
        Some(Work { dataset: self.raw.clone(), plan: fingerprint(&text) })
    }

    fn draft(
        &self,
        context: &Context<'_>,
        mut plan: Plan,
        run_id: &str,
        _: Option<Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let client = Client::new(self.http, context, run_id)?;
        let receipt = loop {
            let receipt = match self.read(context, &plan, &client)? {
                WindowOutcome::Read(receipt) => *receipt,
                // what has landed is what there is to go on with
                WindowOutcome::Partial(pages) => return Ok(Drafting::Part(pages.to_string().into())),
            };
            // a window without a record is no reason for a commit
            let is_news = receipt.is_known || !receipt.is_empty() || plan.window.window.is_last;
            if is_news || context.is_late() {
                break receipt;
            }
            let version = plan.standing.next_version();
            let Some(window) = WindowPlan::next(self.bounds(), &receipt.bookmark, false, plan.now, version) else {
                break receipt;
            };
            (plan.bookmark, plan.window) = (receipt.bookmark, window);
        };
        let (stands, meta, has_more) = (plan.standing.table.is_some(), plan.standing.meta.clone(), receipt.has_more);
        let (drafted, draft) = self.drafted(plan, receipt, run_id)?;
        let is_same = stands && draft.1.adds.is_empty() && draft.1.removes.is_empty() && draft.1.meta == meta;
        Ok(if is_same && !has_more { Drafting::Same } else { Drafting::Whole(drafted, draft) })
    }

    fn commit(&self, context: &Context<'_>, (base, draft): Self::Draft, _: &mut Drafted) -> Result<Outcome, Failure> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}
