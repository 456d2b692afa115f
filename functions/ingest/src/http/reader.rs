//! One window of an API, from where it was left, into files of the raw dataset. It commits nothing.

use jiff::Timestamp;
use polars::prelude::{DataType, Schema};
use tidemark_flow::{Balance, Context, Error, ErrorKind, TaskOutcome};
use tidemark_lake::Writer;
use tidemark_pipeline::http::{Http, Missing, Since, TimeFormat};
use tidemark_pipeline::raw::PAGE;
use tidemark_pipeline::{Contract, DatasetName, PipelineName, Type};
use tidemark_transform::Times;

use super::accumulator::PageAccumulator;
use super::client::Client;
use super::fetch::PageFetcher;
use super::partial::PartialWindow;
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
use crate::resume_marks::ResumeMarks;

/// How often one run restarts a window whose landed pages are no longer usable, at most.
const ANEW: u32 = 5;

/// Reads windows of one API.
pub(crate) struct WindowReader<'a> {
    pub context: &'a Context<'a>,
    pub http: &'a Http,
    pub contract: &'a Contract,
    pub pipeline: &'a PipelineName,
    pub raw: &'a DatasetName,
    /// Stands for what decides what is asked for.
    pub definition: &'a str,
    pub run_id: &'a str,
    pub client: &'a Client<'a>,
    /// What to read.
    pub task: &'a WindowTask,
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
        let mut useless = 0;
        for nth in partial.as_ref().map_or(0, |partial| partial.nth).. {
            let window = before.plan.window.again(nth);
            let begun_at = resume.map(|resume| resume.begun_at).or(partial.as_ref().map(|partial| partial.begun_at));
            let begun_at = begun_at.map_or(now, |begun_at| begun_at.min(now));
            let page = resume.map_or(1, |resume| resume.page);
            let object = if page > 1 { format!("{}.p{page:05}", window.name) } else { window.name.clone() };
            let mut accumulator = self.accumulator(before, object, column.as_ref(), begun_at);
            let mut pass = match &partial {
                Some(partial) => WindowPass::behind(http, pipeline, partial),
                None => WindowPass::new(http, pipeline, window, resume),
            };
            // rows that are to replace all others are not committed before the window is whole
            if !before.is_timed && context.deadline.is_some() {
                pass.marks = Some(ResumeMarks::default());
            }
            if let Some(PartialWindow { files, from, .. }) = partial.take() {
                accumulator = accumulator.behind(files, &from);
            }
            let closed = accumulator.closed_files();
            match fetcher.read(&mut pass, &mut accumulator)? {
                WindowRead::Invalidated { is_news } => {
                    useless += u32::from(is_news);
                    resume = None;
                    if useless >= ANEW {
                        break;
                    }
                }
                WindowRead::Whole => return self.receipt(before, pass, accumulator, None).map(TaskOutcome::Done),
                WindowRead::Late(_) if !before.is_timed => {
                    accumulator.write()?;
                    let is_further = pass.asked > 0 || accumulator.closed_files() > closed;
                    let partial = pass.into_partial(nth, accumulator).filter(|_| is_further).ok_or_else(|| {
                        let message = format!("all that has landed of {} cannot be read in one invocation", http.url);
                        Error::new(ErrorKind::Refused, message)
                            .hint("give the function a longer timeout or more memory")
                    })?;
                    return Ok(TaskOutcome::Late(Some(partial)));
                }
                WindowRead::Late(resume) => {
                    return self.receipt(before, pass, accumulator, Some(*resume)).map(TaskOutcome::Done);
                }
            }
        }
        let message = format!("{} changes faster than it can be read", http.url);
        Err(Error::new(ErrorKind::Retry, message).hint("page by cursor or keyset instead of by number"))
    }

    /// Where time is read from, if anywhere.
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
        begun_at: Timestamp,
    ) -> PageAccumulator<'a> {
        let (lake, base) = (self.context.lake, self.task.base);
        // what an API has said of a window is said once
        let partition = raw_dataset::partition(&object, "1", base.map_or(0, |base| base + 1));
        let writer = Writer::new(lake, self.raw, &schema(), partition);
        // what is read again is not there already
        let overlap = before.bookmark.overlap.filter(|_| before.plan.anew_from.is_none());
        let reached = before.bookmark.reached;
        let overlap = Overlap::new(lake, self.raw, base, column, reached, overlap);
        let (filter, observed) = (OverlapFilter::new(overlap), Observed::new(column, begun_at));
        PageAccumulator::new(writer, object, column, filter, observed)
    }

    /// What a pass has come to.
    fn receipt(
        &self,
        before: &Before<'_, ResumePoint>,
        mut pass: WindowPass,
        mut accumulator: PageAccumulator<'_>,
        resume: Option<ResumePoint>,
    ) -> Result<WindowReceipt, Error> {
        let mut notes: Vec<String> = self.client.note().into_iter().collect();
        if let Err(failure) = self.note_times(&accumulator, &mut notes) {
            // the next run shall not find the same record again in what has landed
            pass.give_up(self.context)?;
            return Err(failure);
        }
        let is_taken_up = pass.foreign > 0 && !self.task.is_continued;
        let observed = &accumulator.observed;
        let Advance { bookmark, is_known, has_more, complete } =
            advance(before, WindowEnd { window: &pass.window, resume, observed, is_taken_up });
        let (bytes, is_last) = (pass.bytes, pass.window.is_last);
        if is_known {
            pass.forget(self.context);
            return Ok(WindowReceipt {
                files: Vec::new(),
                balance: Balance::default(),
                bookmark: before.bookmark.clone(),
                notes,
                bytes,
                has_more: is_taken_up,
                is_known: true,
                is_last: true,
                complete: before.complete.filter(|_| !is_taken_up),
                is_late: false,
            });
        }
        accumulator.write()?;
        let (repeated, late) = (accumulator.filter.repeated, accumulator.filter.late);
        if let (Some(since), Some(reached)) = (&self.http.incremental, before.bookmark.reached) {
            notes.extend(late.note(reached, since.lookback()));
        }
        // a window without records has nothing to go on with
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

    /// What is to be said about the times of records.
    fn note_times(&self, accumulator: &PageAccumulator<'_>, notes: &mut Vec<String>) -> Result<(), Error> {
        let Some(Since { column, missing, .. }) = &self.http.incremental else { return Ok(()) };
        let observed = &accumulator.observed;
        if let Some((page, record)) = accumulator.first_missing {
            let message = format!(
                "{} records have no {column} that can be read, the first is record {record} of page {page}",
                observed.missing
            );
            if *missing == Missing::Fail {
                return Err(Error::new(ErrorKind::Data, message)
                    .hint("let them in with: incremental = { missing = \"keep\", … }"));
            }
            notes.push(format!("{message}; they are kept, and come again only if the API says them again"));
        }
        if observed.ahead > 0 {
            notes.push(format!(
                "{} records have a {column} that is still to come; it is not taken as the time reached",
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
