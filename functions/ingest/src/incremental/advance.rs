//! Computes the next bookmark from the result of a window. Pure.

use jiff::Timestamp;

use super::bookmark::Bookmark;
use super::observed::Observed;
use super::window::{Resume, Window, WindowPlan};

/// The state before a window is read.
pub(crate) struct Before<'a, R> {
    pub bookmark: &'a Bookmark<R>,
    pub plan: &'a WindowPlan<R>,
    /// Whether the source is queried by time.
    pub is_timed: bool,
    /// Whether the raw dataset was read with the same definition.
    pub is_same_definition: bool,
    /// Up to which time the raw dataset is complete once everything has been read.
    pub complete: Option<Timestamp>,
}

/// The result of reading a window.
pub(crate) struct WindowEnd<'a, R> {
    /// The window as it was read. It may have been started by another run, with another end.
    pub window: &'a Window,
    /// Where to resume it. None if it is complete.
    pub resume: Option<R>,
    pub observed: &'a Observed<'a>,
    /// Whether some of its pages were requested by an earlier run, so that they may be outdated.
    pub includes_other_runs: bool,
}

/// The state after a window.
pub(crate) struct Advance<R> {
    pub bookmark: Bookmark<R>,
    /// All records are in the raw dataset already.
    pub is_known: bool,
    /// The source has to be read again.
    pub has_more: bool,
    /// Up to which time the raw dataset is complete once the window is.
    pub complete: Option<Timestamp>,
}

/// Computes the state after a window.
pub(crate) fn advance<R: Resume>(before: &Before<'_, R>, end: WindowEnd<'_, R>) -> Advance<R> {
    let Before { bookmark, plan, is_timed, is_same_definition, complete } = *before;
    let WindowEnd { window, resume, observed, includes_other_runs } = end;
    let reached = bookmark.reached.filter(|_| !plan.is_rebuild);
    let greatest = observed.greatest.max(plan.resume.as_ref().and_then(Resume::greatest));
    let greatest = greatest.map(|time| time.min(observed.started_at));
    // pages from an earlier run are complete only up to the time of that run; reading again will complete the rest
    let complete = match &plan.resume {
        Some(resume) => resume.complete(),
        None => complete.filter(|_| !includes_other_runs),
    };
    let resume = resume.map(|resume| resume.with_times(greatest, complete));
    let is_whole = resume.is_none();
    let mut next = Bookmark { reached, resume, overlap: None, rebuild_from: plan.rebuild_from };
    if is_whole {
        let end = window.range.until.filter(|_| !window.is_last);
        next.reached = if is_timed { reached.max(greatest).max(end) } else { None };
        next.overlap = observed.overlap(next.reached).filter(|_| plan.resume.is_none());
    }
    let is_known = is_whole
        && window.is_last
        && plan.rebuild_from.is_none()
        && plan.resume.is_none()
        && is_same_definition
        && bookmark.overlap.is_some_and(|overlap| overlap == observed.all);
    Advance {
        bookmark: next,
        is_known,
        has_more: !is_whole || !window.is_last || includes_other_runs || plan.resume.is_some(),
        complete: if window.is_last { complete } else { complete.min(window.range.until) },
    }
}
