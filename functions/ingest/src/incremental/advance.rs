//! What a window has brought into the next bookmark. Pure.

use jiff::Timestamp;

use super::bookmark::Bookmark;
use super::observed::Observed;
use super::window::{Resume, Window, WindowPlan};

/// What is known before a window is read.
pub(crate) struct Before<'a, R> {
    pub bookmark: &'a Bookmark<R>,
    pub plan: &'a WindowPlan<R>,
    /// Whether the source is asked by time.
    pub is_timed: bool,
    /// What stands has been read by the same definition.
    pub is_same_definition: bool,
    /// Up to when the raw dataset is complete once everything has been read.
    pub complete: Option<Timestamp>,
}

/// What reading a window has come to.
pub(crate) struct WindowEnd<'a, R> {
    /// As it was read, which may be the window of whoever began it.
    pub window: &'a Window,
    /// Where it is to be gone on with; `None` if it is whole.
    pub resume: Option<R>,
    pub observed: &'a Observed<'a>,
    /// Some of it was asked for by another run before this one, so it may be old.
    pub is_taken_up: bool,
}

/// How far the source has been read behind a window.
pub(crate) struct Advance<R> {
    pub bookmark: Bookmark<R>,
    /// Nothing came that is not there already.
    pub is_known: bool,
    /// The source is to be asked once more.
    pub has_more: bool,
    /// Up to when all is there, once the window is whole.
    pub complete: Option<Timestamp>,
}

/// How far a source has been read once a window has been.
pub(crate) fn advance<R: Resume>(before: &Before<'_, R>, end: WindowEnd<'_, R>) -> Advance<R> {
    let Before { bookmark, plan, is_timed, is_same_definition, complete } = *before;
    let WindowEnd { window, resume, observed, is_taken_up } = end;
    let reached = bookmark.reached.filter(|_| !plan.begins_anew);
    let greatest = observed.greatest.max(plan.resume.as_ref().and_then(Resume::greatest));
    let greatest = greatest.map(|time| time.min(observed.begun_at));
    // what others have asked for is complete up to when they asked, which asking once more will say
    let complete = match &plan.resume {
        Some(resume) => resume.complete(),
        None => complete.filter(|_| !is_taken_up),
    };
    let resume = resume.map(|resume| resume.with_times(greatest, complete));
    let is_whole = resume.is_none();
    let mut next = Bookmark { reached, resume, overlap: None, anew_from: plan.anew_from };
    if is_whole {
        let end = window.range.until.filter(|_| !window.is_last);
        next.reached = if is_timed { reached.max(greatest).max(end) } else { None };
        next.overlap = observed.overlap(next.reached).filter(|_| plan.resume.is_none());
    }
    let is_known = is_whole
        && window.is_last
        && plan.anew_from.is_none()
        && plan.resume.is_none()
        && is_same_definition
        && bookmark.overlap.is_some_and(|overlap| overlap == observed.all);
    Advance {
        bookmark: next,
        is_known,
        has_more: !is_whole || !window.is_last || is_taken_up || plan.resume.is_some(),
        complete: if window.is_last { complete } else { complete.min(window.range.until) },
    }
}
