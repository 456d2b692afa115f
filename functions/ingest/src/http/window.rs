//! Reads one window page by page: first the landed pages, then those requested from the API. Each is landed before the next is requested.

use tidemark_flow::{Error, ErrorKind};

use super::accumulator::PageAccumulator;
use super::fetch::{FetchOutcome, FetchedPage, PageFetcher};
use super::resume::ResumePoint;
use super::window_pass::{LandedPage, WindowPass};

/// How the reading of a window ended.
pub(crate) enum WindowRead {
    /// All of its pages have been read.
    Whole,
    /// The deadline has passed; reading resumes here.
    Late(Box<ResumePoint>),
    /// Its landed pages are not usable: it has to be read from its first page. `is_newly_found`: this attempt found that out, not an
    /// earlier one.
    Invalidated { is_newly_found: bool },
}

impl PageFetcher<'_> {
    /// Reads a window from its resume point to its end, or until the deadline.
    pub(crate) fn read(
        &self,
        pass: &mut WindowPass,
        accumulator: &mut PageAccumulator<'_>,
    ) -> Result<WindowRead, Error> {
        while let Some((note, body)) = self.landed(pass)? {
            if pass.adopted == 0 && pass.landing.is_invalidated(self.context.lake)? {
                return Ok(WindowRead::Invalidated { is_newly_found: false });
            }
            if note.definition != self.definition || note.range.since != pass.window.range.since {
                return self.invalidated(pass);
            }
            let is_own = note.run_id.as_deref() == Some(self.run_id);
            // a page of an earlier window of this run, which starts at the same time
            if is_own && note.range != pass.window.range {
                break;
            }
            if note.range != pass.window.range {
                // the window keeps the range of the run that started it
                (pass.window.range, pass.window.is_last) = (note.range, true);
            }
            pass.from_other_runs += u32::from(!is_own);
            let page = self.adopt(pass, note, body)?;
            let is_last = !take(pass, accumulator, page)?;
            pass.adopted += 1;
            if is_last {
                return Ok(WindowRead::Whole);
            }
            if self.context.is_late() {
                return Ok(self.late(pass, accumulator));
            }
        }
        self.load_previous_page(pass)?;
        if self.has_moved(pass)? {
            return self.invalidated(pass);
        }
        loop {
            let page = match self.fetch(pass)? {
                FetchOutcome::Page(page) => *page,
                FetchOutcome::Late(wait) if pass.pages() == 0 => {
                    let message = format!(
                        "{} requires a wait of {:.0} s, which is longer than the remaining time",
                        self.http.url,
                        wait.as_secs_f64()
                    );
                    return Err(Error::new(ErrorKind::Retry, message).hint("run again later"));
                }
                FetchOutcome::Late(_) => return Ok(self.late(pass, accumulator)),
                FetchOutcome::Invalidated => return self.invalidated(pass),
            };
            let is_last = !take(pass, accumulator, page)?;
            pass.asked += 1;
            if is_last {
                return Ok(WindowRead::Whole);
            }
            if self.context.is_late() {
                return Ok(self.late(pass, accumulator));
            }
        }
    }

    fn late(&self, pass: &WindowPass, accumulator: &PageAccumulator<'_>) -> WindowRead {
        WindowRead::Late(Box::new(pass.resume_point(self.definition, &accumulator.observed)))
    }

    fn invalidated(&self, pass: &WindowPass) -> Result<WindowRead, Error> {
        pass.invalidate(self.context)?;
        Ok(WindowRead::Invalidated { is_newly_found: true })
    }
}

/// Adds a page, and returns whether another follows.
fn take(
    pass: &mut WindowPass,
    accumulator: &mut PageAccumulator<'_>,
    FetchedPage { note, page, has_landed }: FetchedPage,
) -> Result<bool, Error> {
    let observed = &mut accumulator.observed;
    // an adopted page may have been requested by another run, before this one started
    observed.started_at = observed.started_at.min(note.fetched_at);
    accumulator.add(pass.page, &page)?;
    pass.paginator.record(&note.asked, page.content, note.received);
    if pass.asked == 0 {
        let (asked, content) = (note.asked.clone(), page.content);
        pass.before = Some(LandedPage { asked, fetched_at: note.fetched_at, content });
    }
    let number = pass.page;
    pass.page += 1;
    match note.next.clone() {
        Some(next) => {
            pass.next = next;
            Ok(true)
        }
        None => {
            if !has_landed {
                pass.set_last(number, note, page.into_body());
            }
            Ok(false)
        }
    }
}
