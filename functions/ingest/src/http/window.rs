//! One window, page by page: those that have landed, then those that are asked for, each put down before the next is asked for.

use tidemark_flow::{Error, ErrorKind};

use super::accumulator::PageAccumulator;
use super::fetch::{FetchOutcome, FetchedPage, PageFetcher};
use super::resume::ResumePoint;
use super::window_pass::{LandedPage, WindowPass};

/// How the reading of a window ended.
pub(crate) enum WindowRead {
    /// All of its pages are in.
    Whole,
    /// The time is over; here it goes on.
    Late(Box<ResumePoint>),
    /// Its landed pages are not usable: it has to be read from its first page. `is_news`: this attempt found that out.
    Invalidated { is_news: bool },
}

impl PageFetcher<'_> {
    /// Reads a window from where it was left to its end, or until the time is over.
    pub(crate) fn read(
        &self,
        pass: &mut WindowPass,
        accumulator: &mut PageAccumulator<'_>,
    ) -> Result<WindowRead, Error> {
        while let Some((note, body)) = self.landed(pass)? {
            if pass.adopted == 0 && pass.landing.is_void(self.context.lake)? {
                return Ok(WindowRead::Invalidated { is_news: false });
            }
            if note.definition != self.definition || note.range.since != pass.window.range.since {
                return self.invalidated(pass);
            }
            if note.range != pass.window.range {
                // it is the window of whoever began it
                (pass.window.range, pass.window.is_last) = (note.range, true);
            }
            pass.foreign += u32::from(note.run_id.as_deref() != Some(self.run_id));
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
        self.look_back(pass)?;
        if self.has_moved(pass)? {
            return self.invalidated(pass);
        }
        loop {
            let page = match self.fetch(pass)? {
                FetchOutcome::Page(page) => *page,
                FetchOutcome::Late(wait) if pass.pages() == 0 => {
                    let message = format!(
                        "{} is to be waited for {:.0} s, longer than there is time",
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
        pass.give_up(self.context)?;
        Ok(WindowRead::Invalidated { is_news: true })
    }
}

/// Takes in a page; whether there is one behind it.
fn take(
    pass: &mut WindowPass,
    accumulator: &mut PageAccumulator<'_>,
    FetchedPage { note, page, has_landed }: FetchedPage,
) -> Result<bool, Error> {
    // a page of somebody else's may have been asked for before we began
    if let Some(marks) = &mut pass.marks {
        let received = note.received.saturating_sub(page.len() as u64);
        let start = accumulator.page_start(pass.page, &pass.next, received);
        marks.add(start.rows, start, accumulator.closed_rows());
    }
    let observed = &mut accumulator.observed;
    observed.begun_at = observed.begun_at.min(note.fetched_at);
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
