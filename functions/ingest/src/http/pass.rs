//! One way through a window: which page is to come, and what is known of those before it.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use tidemark_flow::{Context, Failure, Kind};
use tidemark_lake::Landing;
use tidemark_pipeline::PipelineName;
use tidemark_pipeline::http::Http;

use super::attempt::{Answer, NoAnswer};
use super::landed::{Note, packed};
use super::paging::Paginator;
use super::request::Next;
use super::resume::ResumePoint;
use crate::incremental::observed::Observed;
use crate::incremental::window::Window;

/// One way through a window.
pub(crate) struct WindowPass {
    pub window: Window,
    pub landing: Landing,
    /// The page to come: its number, and how it is asked for.
    pub page: u32,
    pub next: Next,
    pub paginator: Paginator,
    /// Pages that had landed before, and that were asked for.
    pub adopted: u32,
    pub asked: u32,
    /// Bytes as they were sent.
    pub bytes: u64,
    /// Answers that came before their turn.
    pub queue: VecDeque<(Next, Result<Answer, NoAnswer>)>,
    /// The last page that had landed before.
    pub before: Option<LandedPage>,
    /// The page that leads no further: it lands with the commit, if there is one.
    last: Option<(u32, Note, String)>,
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
            asked: 0,
            bytes: 0,
            queue: VecDeque::new(),
            before: None,
            last: None,
        }
    }

    /// Pages that are in.
    pub(crate) fn pages(&self) -> u32 {
        self.adopted + self.asked
    }

    /// A page leads no further, and has not landed yet.
    pub(crate) fn set_last(&mut self, page: u32, note: Note, body: String) {
        self.last = Some((page, note, body));
    }

    /// Lands the last page.
    pub(crate) fn land(&mut self, context: &Context<'_>) -> Result<(), Failure> {
        if let Some((page, note, body)) = self.last.take() {
            self.landing.land(context.lake, page, pack(&note, &body)?)?;
        }
        Ok(())
    }

    /// Nobody shall go on with what has landed; it stays to be looked at.
    pub(crate) fn give_up(&self, context: &Context<'_>) -> Result<(), Failure> {
        Ok(self.landing.make_void(context.lake)?)
    }

    /// Deletes what has landed and is no news, so that nobody takes it for the answer to a later question.
    pub(crate) fn forget(&self, context: &Context<'_>) {
        self.landing.forget(context.lake, self.page - 1 - u32::from(self.last.is_some()));
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
pub(crate) fn pack(note: &Note, body: &str) -> Result<Bytes, Failure> {
    packed(note, body).map_err(|error| Failure::new(Kind::Bug, "a page cannot be packed").because(error))
}
