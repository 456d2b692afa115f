//! One pass through a window: the next page to fetch, and the state gathered from the pages before it.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_lake::Landing;
use tidemark_pipeline::PipelineName;
use tidemark_pipeline::http::Http;

use super::accumulator::PageAccumulator;
use super::attempt::{Answer, NoAnswer};
use super::landed::{PageMetadata, packed};
use super::paging::Paginator;
use super::partial::{PageStart, PartialWindow};
use super::request::Next;
use super::resume::ResumePoint;
use crate::incremental::observed::Observed;
use crate::incremental::window::Window;
use crate::resume_marks::ResumeMarks;

/// One way through a window.
pub(crate) struct WindowPass {
    pub window: Window,
    pub landing: Landing,
    /// The page to come: its number, and how it is asked for.
    pub page: u32,
    pub next: Next,
    pub paginator: Paginator,
    /// Pages that had landed before, those of them that another run has asked for, and pages that were asked for now.
    pub adopted: u32,
    pub foreign: u32,
    pub asked: u32,
    /// Bytes as they were sent.
    pub bytes: u64,
    /// Answers that came before their turn.
    pub queue: VecDeque<(Next, Result<Answer, NoAnswer>)>,
    /// Where the pages begin whose rows are not all in closed files yet, where that is of use.
    pub marks: Option<ResumeMarks<PageStart>>,
    /// The last page that had landed before.
    pub before: Option<LandedPage>,
    /// The page that leads no further: it lands with the commit, if there is one.
    last: Option<(u32, PageMetadata, String)>,
}

/// A page that had landed before: how it was asked for, when, and what stands for its records.
pub(crate) struct LandedPage {
    pub asked: Next,
    pub fetched_at: Timestamp,
    pub content: u128,
}

impl WindowPass {
    /// From the start of a window, or from where it was left.
    pub(crate) fn new(
        http: &Http,
        pipeline: &PipelineName,
        window: Window,
        resume: Option<&ResumePoint>,
    ) -> WindowPass {
        let landing = Landing { pipeline: pipeline.clone(), window: window.name.clone() };
        let paging = http.pagination.clone().or_else(|| resume?.paging.clone());
        let (page, next, received) =
            resume.map_or((1, Next::First, 0), |resume| (resume.page, resume.next.clone(), resume.received));
        WindowPass {
            window,
            landing,
            page,
            next,
            paginator: Paginator::new(paging, http.allows_empty, received),
            adopted: 0,
            foreign: 0,
            asked: 0,
            bytes: 0,
            queue: VecDeque::new(),
            marks: None,
            before: None,
            last: None,
        }
    }

    /// From the page at which another invocation has left off.
    pub(crate) fn behind(http: &Http, pipeline: &PipelineName, partial: &PartialWindow) -> WindowPass {
        let from = &partial.from;
        let paging = http.pagination.clone().or_else(|| partial.paging.clone());
        let paginator = Paginator::new(paging, http.allows_empty, from.received).behind(partial.visited.clone());
        let pass = WindowPass::new(http, pipeline, partial.window.clone(), None);
        WindowPass { page: from.page, next: from.next.clone(), paginator, ..pass }
    }

    /// What is put down for another invocation to go on with, behind the accumulator's closed files; `None` if no page is in.
    pub(crate) fn into_partial(self, nth: u32, accumulator: PageAccumulator<'_>) -> Option<PartialWindow> {
        let closed = accumulator.closed_rows();
        let mut marks = self.marks?;
        marks.let_go(closed);
        let from = marks.into_first()?;
        let visited = usize::try_from(from.page).unwrap_or(usize::MAX).saturating_sub(1);
        Some(PartialWindow {
            nth,
            window: self.window,
            begun_at: accumulator.observed.begun_at,
            files: accumulator.into_closed(),
            from,
            paging: self.paginator.paging.clone(),
            visited: self.paginator.visited().iter().take(visited).copied().collect(),
            pages: self.page - 1,
        })
    }

    /// Pages that are in.
    pub(crate) fn pages(&self) -> u32 {
        self.adopted + self.asked
    }

    /// A page leads no further, and has not landed yet.
    pub(crate) fn set_last(&mut self, page: u32, note: PageMetadata, body: String) {
        self.last = Some((page, note, body));
    }

    /// Lands the last page.
    pub(crate) fn land(&mut self, context: &Context<'_>) -> Result<(), Error> {
        if let Some((page, note, body)) = self.last.take() {
            self.landing.land(context.lake, page, pack(&note, &body)?)?;
        }
        Ok(())
    }

    /// Nobody shall go on with what has landed; it stays to be looked at.
    pub(crate) fn give_up(&self, context: &Context<'_>) -> Result<(), Error> {
        Ok(self.landing.invalidate(context.lake)?)
    }

    /// Deletes what has landed and is no news, so that nobody takes it for the answer to a later question.
    pub(crate) fn forget(&self, context: &Context<'_>) {
        self.landing.delete(context.lake, self.page - 1 - u32::from(self.last.is_some()));
    }

    /// Where another run goes on.
    pub(crate) fn resume_point(&self, definition: &str, observed: &Observed<'_>) -> ResumePoint {
        ResumePoint {
            definition: definition.to_owned(),
            window: self.window.clone(),
            page: self.page,
            next: self.next.clone(),
            received: self.paginator.received,
            greatest: observed.greatest,
            paging: self.paginator.paging.clone(),
            begun_at: observed.begun_at,
            complete: None,
        }
    }
}

/// A page as bytes.
pub(crate) fn pack(note: &PageMetadata, body: &str) -> Result<Bytes, Error> {
    packed(note, body).map_err(|error| Error::new(ErrorKind::Bug, "a page cannot be packed").because(error))
}
