//! Reads one window of an API, from its resume point, to files of the raw dataset. It commits nothing.

use bytes::Bytes;
use jiff::Timestamp;
use polars::prelude::{DataType, Schema};
use tidemark_flow::{Balance, Context, Error, ErrorKind, TaskOutcome};
use tidemark_lake::{Checkpoint, Writer};
use tidemark_pipeline::http::{Http, Missing, Since, TimeFormat};
use tidemark_pipeline::raw::PAGE;
use tidemark_pipeline::{Contract, DatasetName, PipelineName, Type};
use tidemark_transform::Times;

use super::accumulator::PageAccumulator;
use super::client::Client;
use super::fetch::PageFetcher;
use super::partial::{PartialWindow, UnwrittenRows};
use super::receipt::{WindowReceipt, WindowTask};
use super::resume::ResumePoint;
use super::window::WindowRead;
use super::window_pass::WindowPass;
use crate::incremental::advance::{Advance, Before, WindowEnd, advance};
use crate::incremental::event_time::EventTimeColumn;
use crate::incremental::observed::Observed;
use crate::incremental::overlap::{Overlap, OverlapFilter};
use crate::incremental::window::TimeBounds as _;
use crate::raw_dataset;

/// How often one run restarts a window whose landed pages are no longer usable, at most.
const MAX_RESTARTS: u32 = 5;

/// Reads windows of one API.
pub(crate) struct WindowReader<'a> {
    pub context: &'a Context<'a>,
    pub http: &'a Http,
    pub contract: &'a Contract,
    pub pipeline: &'a PipelineName,
    pub raw: &'a DatasetName,
    /// Fingerprint of the settings that decide what is requested.
    pub definition: &'a str,
    pub run_id: &'a str,
    pub client: &'a Client<'a>,
    /// The window to read.
    pub task: &'a WindowTask,
    /// Where rows in no file yet are stored at the deadline.
    pub checkpoint: Option<&'a Checkpoint>,
}

impl WindowReader<'_> {
    /// Reads the window from where an earlier invocation stopped, and from its first page where its landed pages are no longer usable.
    pub(crate) fn read(
        &self,
        mut partial: Option<PartialWindow>,
    ) -> Result<TaskOutcome<WindowReceipt, PartialWindow>, Error> {
        let WindowReader { context, http, definition, pipeline, run_id, client, task, .. } = *self;
        let fetcher = PageFetcher { context, http, definition, run_id, client };
        let before = &Before {
            bookmark: &task.bookmark,
            plan: &task.window,
            is_timed: http.incremental.is_some(),
            is_same_definition: task.is_same_definition,
            complete: task.complete,
        };
        let now = (context.clock)();
        let column = self.event_time(now)?;
        let mut resume = before.plan.resume.as_ref();
        let mut invalidations = 0;
        for nth in partial.as_ref().map_or(0, |partial| partial.nth).. {
            let window = before.plan.window.again(nth);
            let started_at =
                resume.map(|resume| resume.started_at).or(partial.as_ref().map(|partial| partial.started_at));
            let started_at = started_at.map_or(now, |started_at| started_at.min(now));
            let page = resume.map_or(1, |resume| resume.page);
            let object = if page > 1 { format!("{}.p{page:05}", window.name) } else { window.name.clone() };
            let mut accumulator = self.accumulator(before, object, column.as_ref(), started_at);
            let mut pass = match &partial {
                Some(partial) => WindowPass::from_partial(http, pipeline, partial),
                None => WindowPass::new(http, pipeline, window, resume),
            };
            let is_invalidated = partial.is_some() && pass.landing.is_invalidated(context.lake)?;
            if let Some(PartialWindow { files, rest, from, .. }) = partial.take() {
                let rest = rest.map(|rest| self.unwritten_rows(&rest)).transpose()?;
                accumulator = accumulator.resume_from(files, rest.as_ref(), &from)?;
            }
            let read = match is_invalidated {
                true => WindowRead::Invalidated { is_newly_found: false },
                false => fetcher.read(&mut pass, &mut accumulator)?,
            };
            match read {
                WindowRead::Invalidated { is_newly_found } => {
                    invalidations += u32::from(is_newly_found);
                    resume = None;
                    if invalidations >= MAX_RESTARTS {
                        break;
                    }
                }
                WindowRead::Whole => return self.receipt(before, pass, accumulator, None).map(TaskOutcome::Done),
                // rows that replace all others are committed only when the window is complete
                WindowRead::Late(_) if !before.is_timed => {
                    return self.partial(nth, pass, accumulator).map(|partial| TaskOutcome::Late(Some(partial)));
                }
                WindowRead::Late(resume) => {
                    return self.receipt(before, pass, accumulator, Some(*resume)).map(TaskOutcome::Done);
                }
            }
        }
        let message = format!("{} changes faster than it can be read", http.url);
        Err(Error::new(ErrorKind::Retry, message).hint("use pagination by cursor or keyset"))
    }

    /// The event time column, if the source is read incrementally.
    fn event_time(&self, now: Timestamp) -> Result<Option<EventTimeColumn<'_>>, Error> {
        let Some(since) = &self.http.incremental else { return Ok(None) };
        let column = self
            .contract
            .columns
            .iter()
            .find(|column| column.name == since.column)
            .ok_or_else(|| Error::new(ErrorKind::Bug, format!("column {} is in no contract", since.column)))?;
        let times = Times::new(column).map_err(|error| {
            Error::new(ErrorKind::Definition, format!("column {} cannot be read", column.name)).because(error)
        })?;
        let unit = match (column.ty, &since.format) {
            (Type::Int64, TimeFormat::EpochS) => 1_000_000,
            (Type::Int64, _) => 1_000,
            _ => 1,
        };
        Ok(Some(EventTimeColumn { bounds: since, times, unit, now }))
    }

    fn accumulator<'a>(
        &'a self,
        before: &Before<'_, ResumePoint>,
        object: String,
        column: Option<&'a EventTimeColumn<'a>>,
        started_at: Timestamp,
    ) -> PageAccumulator<'a> {
        let (lake, base) = (self.context.lake, self.task.base);
        // a window is written only once, so its version is always 1
        let partition = raw_dataset::partition(&object, "1", base.map_or(0, |base| base + 1));
        let writer = Writer::new(lake, self.raw, &schema(), partition);
        // in a rebuild everything is written again
        let overlap = before.bookmark.overlap.filter(|_| before.plan.rebuild_from.is_none());
        let reached = before.bookmark.reached;
        let overlap = Overlap::new(lake, self.raw, base, column, reached, overlap);
        let (filter, observed) = (OverlapFilter::new(overlap), Observed::new(column, started_at));
        PageAccumulator::new(writer, object, column, filter, observed)
    }

    /// Stores the rows of a pass that are in no file yet, and returns the state from which another invocation resumes.
    fn partial(
        &self,
        nth: u32,
        pass: WindowPass,
        mut accumulator: PageAccumulator<'_>,
    ) -> Result<PartialWindow, Error> {
        accumulator.write()?;
        let from = accumulator.page_start(pass.page, &pass.next, pass.paginator.received);
        let started_at = accumulator.observed.started_at;
        let (files, rest) = accumulator.into_closed_and_rest()?;
        let rest = rest.map(|rows| {
            let bytes = rows.len() as u64;
            self.context
                .lake
                .put_spill(self.checkpoint()?, rows)
                .map(|object| UnwrittenRows { object, bytes })
                .map_err(Error::from)
        });
        Ok(PartialWindow {
            nth,
            window: pass.window,
            files,
            rest: rest.transpose()?,
            from,
            paging: pass.paginator.paging.clone(),
            started_at,
            visited: pass.paginator.visited().to_vec(),
        })
    }

    fn unwritten_rows(&self, rest: &UnwrittenRows) -> Result<Bytes, Error> {
        Ok(self.context.lake.spill(self.checkpoint()?, &rest.object, 0..rest.bytes)?)
    }

    fn checkpoint(&self) -> Result<&Checkpoint, Error> {
        self.checkpoint.ok_or_else(|| Error::new(ErrorKind::Bug, "there is no checkpoint to store rows in"))
    }

    /// The receipt of a pass.
    fn receipt(
        &self,
        before: &Before<'_, ResumePoint>,
        mut pass: WindowPass,
        mut accumulator: PageAccumulator<'_>,
        resume: Option<ResumePoint>,
    ) -> Result<WindowReceipt, Error> {
        let mut notes: Vec<String> = self.client.note().into_iter().collect();
        if let Err(error) = self.note_times(&accumulator, &mut notes) {
            // otherwise the next run would find the same record in the landing again
            pass.invalidate(self.context)?;
            return Err(error);
        }
        let includes_other_runs = pass.from_other_runs > 0 && !self.task.is_continued;
        let observed = &accumulator.observed;
        let Advance { bookmark, is_known, has_more, complete } =
            advance(before, WindowEnd { window: &pass.window, resume, observed, includes_other_runs });
        let (bytes, is_last) = (pass.bytes, pass.window.is_last);
        if is_known {
            pass.forget(self.context);
            return Ok(WindowReceipt {
                files: Vec::new(),
                balance: Balance::default(),
                bookmark: before.bookmark.clone(),
                notes,
                bytes,
                has_more: includes_other_runs,
                is_known: true,
                is_last: true,
                complete: before.complete.filter(|_| !includes_other_runs),
                is_late: false,
            });
        }
        accumulator.write()?;
        let (repeated, late) = (accumulator.filter.repeated, accumulator.filter.late);
        if let (Some(since), Some(reached)) = (&self.http.incremental, before.bookmark.reached) {
            notes.extend(late.note(reached, since.lookback()));
        }
        // the last page of a window without records need not be kept
        if accumulator.records > 0 {
            pass.land(self.context)?;
        }
        let (records, broken) = (accumulator.records, accumulator.broken);
        let balance = Balance {
            rows_in: records,
            written: records - broken - repeated,
            unchanged: repeated,
            quarantined: broken,
            ..Balance::default()
        };
        let files = accumulator.finish()?;
        Ok(WindowReceipt {
            files,
            balance,
            bookmark,
            notes,
            bytes,
            has_more,
            is_known: false,
            is_last,
            complete,
            is_late: false,
        })
    }

    /// Adds notes on records with missing or future times, or fails if the definition says so.
    fn note_times(&self, accumulator: &PageAccumulator<'_>, notes: &mut Vec<String>) -> Result<(), Error> {
        let Some(Since { column, missing, .. }) = &self.http.incremental else { return Ok(()) };
        let observed = &accumulator.observed;
        if let Some((page, record)) = accumulator.first_missing {
            let message = format!(
                "{} records have no readable {column}; the first is record {record} of page {page}",
                observed.missing
            );
            if *missing == Missing::Fail {
                return Err(Error::new(ErrorKind::Data, message)
                    .hint("accept them with: incremental = { missing = \"keep\", … }"));
            }
            notes.push(format!("{message}; they are kept, but do not advance the bookmark"));
        }
        if observed.ahead > 0 {
            notes.push(format!(
                "{} records have a {column} in the future, which does not advance the bookmark",
                observed.ahead
            ));
        }
        Ok(())
    }
}

/// The columns of a raw dataset whose source is an API.
pub(crate) fn schema() -> Schema {
    let mut schema = raw_dataset::schema();
    schema.insert(PAGE.into(), DataType::Int64);
    schema
}
