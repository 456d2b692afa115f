//! One pass through a window: the next page to fetch, and the state collected from the pages before it.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_lake::Landing;
use tidemark_pipeline::PipelineName;
use tidemark_pipeline::http::Http;

use super::attempt::{Answer, NoAnswer};
use super::landed::{PageMetadata, packed};
use super::paging::Paginator;
use super::partial::PartialWindow;
use super::request::Next;
use super::resume::ResumePoint;
use crate::incremental::observed::Observed;
use crate::incremental::window::Window;

/// One pass through a window.
pub(crate) struct WindowPass {
    pub window: Window,
    pub landing: Landing,
    /// The next page: its number, and how it is requested.
    pub page: u32,
    pub next: Next,
    pub paginator: Paginator,
    /// How many pages were adopted from the landing, how many of those were requested by other runs, and how many were requested now.
    pub adopted: u32,
    pub from_other_runs: u32,
    pub asked: u32,
    /// Bytes of the bodies as received (compressed).
    pub bytes: u64,
    /// Answers to concurrent requests that have not been consumed yet.
    pub queue: VecDeque<(Next, Result<Answer, NoAnswer>)>,
    /// The last page adopted from the landing.
    pub before: Option<LandedPage>,
    /// The last page of the window, which lands only with the commit.
    last: Option<(u32, PageMetadata, String)>,
}

/// An adopted page: how and when it was requested, and the hash of its records.
pub(crate) struct LandedPage {
    pub asked: Next,
    pub fetched_at: Timestamp,
    pub content: u128,
}

impl WindowPass {
    /// From the start of a window, or from its resume point.
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
            from_other_runs: 0,
            asked: 0,
            bytes: 0,
            queue: VecDeque::new(),
            before: None,
            last: None,
        }
    }

    /// From the page at which an earlier invocation stopped.
    pub(crate) fn from_partial(http: &Http, pipeline: &PipelineName, partial: &PartialWindow) -> WindowPass {
        let from = &partial.from;
        let paging = http.pagination.clone().or_else(|| partial.paging.clone());
        let paginator = Paginator::new(paging, http.allows_empty, from.received).with_visited(partial.visited.clone());
        let pass = WindowPass::new(http, pipeline, partial.window.clone(), None);
        WindowPass { page: from.page, next: from.next.clone(), paginator, ..pass }
    }

    /// How many pages have been read.
    pub(crate) fn pages(&self) -> u32 {
        self.adopted + self.asked
    }

    /// Sets the last page of the window, which has not landed yet.
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

    /// Marks the landed pages as not usable for resuming. They are kept for inspection.
    pub(crate) fn invalidate(&self, context: &Context<'_>) -> Result<(), Error> {
        Ok(self.landing.invalidate(context.lake)?)
    }

    /// Deletes landed pages without new records, so that they are not taken for the answer to a later request.
    pub(crate) fn forget(&self, context: &Context<'_>) {
        self.landing.delete(context.lake, self.page - 1 - u32::from(self.last.is_some()));
    }

    /// The point from which another run resumes.
    pub(crate) fn resume_point(&self, definition: &str, observed: &Observed<'_>) -> ResumePoint {
        ResumePoint {
            definition: definition.to_owned(),
            window: self.window.clone(),
            page: self.page,
            next: self.next.clone(),
            received: self.paginator.received,
            greatest: observed.greatest,
            paging: self.paginator.paging.clone(),
            started_at: observed.started_at,
            complete: None,
        }
    }
}

/// A page as bytes.
pub(crate) fn pack(note: &PageMetadata, body: &str) -> Result<Bytes, Error> {
    packed(note, body).map_err(|error| Error::new(ErrorKind::Bug, "a page cannot be packed").because(error))
}
