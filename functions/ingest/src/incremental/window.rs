//! Windows: the time ranges in which a source is read.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::bookmark::Bookmark;

/// The time range that a request to the source contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How a source is queried by time.
pub(crate) trait TimeBounds {
    /// Where the first window starts. None: everything is requested.
    fn start(&self) -> Option<Timestamp>;
    /// How far each request goes back before the latest time already read.
    fn lookback(&self) -> SignedDuration;
    /// The length of a window. None: one window up to now.
    fn every(&self) -> Option<SignedDuration>;
    /// Whether a request has an end time.
    fn has_end(&self) -> bool;
    /// The start time in the form (and precision) that is sent to the source.
    fn asked_start(&self) -> Option<Timestamp>;
    /// The start time to send so that the source returns all records from `time` on.
    fn asked_since(&self, time: Timestamp) -> Timestamp;
    /// The end time to send so that the source returns all records up to `time`.
    fn asked_until(&self, time: Timestamp) -> Timestamp;
}

/// One time range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// Different for each range and for each version of the raw dataset.
    pub name: String,
    pub range: Range,
    /// No later window is left to read.
    pub is_last: bool,
}

impl Window {
    /// The same range under another name, for the `restart`-th time it is read from its first page.
    pub(crate) fn again(&self, restart: u32) -> Window {
        match restart {
            0 => self.clone(),
            nth => Window { name: format!("{}.{nth}", self.name), ..self.clone() },
        }
    }
}

/// The point from which an unfinished window is resumed.
pub(crate) trait Resume: Clone {
    fn window(&self) -> &Window;
    /// The latest event time of a record so far.
    fn greatest(&self) -> Option<Timestamp>;
    /// Up to which time the raw dataset is complete once the window is.
    fn complete(&self) -> Option<Timestamp>;
    /// The same point with other times.
    fn with_times(self, greatest: Option<Timestamp>, complete: Option<Timestamp>) -> Self;
}

/// The window to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowPlan<R> {
    pub window: Window,
    /// Where an earlier run stopped in this window.
    pub resume: Option<R>,
    /// During a rebuild: the first version of the raw dataset that belongs to it.
    #[serde(rename = "anew_from")]
    pub rebuild_from: Option<i64>,
    /// Everything is read again: what the bookmark says has been read is ignored.
    #[serde(rename = "begins_anew")]
    pub is_rebuild: bool,
}

impl<R: Resume> WindowPlan<R> {
    /// `version` is the one that the next commit to the raw dataset will have. Returns None if everything up to `now` has been read.
    pub(crate) fn next(
        bounds: Option<&dyn TimeBounds>,
        bookmark: &Bookmark<R>,
        full: bool,
        now: Timestamp,
        version: i64,
    ) -> Option<WindowPlan<R>> {
        if let (Some(resume), false) = (&bookmark.resume, full) {
            let (window, resume) = (resume.window().clone(), Some(resume.clone()));
            return Some(WindowPlan { window, resume, rebuild_from: bookmark.rebuild_from, is_rebuild: false });
        }
        let rebuild_from = if full { Some(version) } else { bookmark.rebuild_from };
        let reached = bookmark.reached.filter(|_| !full);
        let mark = if full { "full" } else { "v" };
        let Some(bounds) = bounds else {
            let window = Window { name: format!("all-{mark}{version:05}"), range: Range::default(), is_last: true };
            return Some(WindowPlan { window, resume: None, rebuild_from, is_rebuild: full });
        };
        let from = since(bounds, reached);
        let range = range(bounds, reached, from, now)?;
        let is_last = bounds.every().is_none() || range.until.is_none_or(|until| until >= now);
        let label = from.map_or("all".to_owned(), |from| from.strftime("%Y%m%dT%H%M%SZ").to_string());
        let window = Window { name: format!("{label}-{mark}{version:05}"), range, is_last };
        Some(WindowPlan { window, resume: None, rebuild_from, is_rebuild: full })
    }
}

/// The start time of the next request: the latest time already read, less the lookback.
pub(crate) fn since(bounds: &dyn TimeBounds, reached: Option<Timestamp>) -> Option<Timestamp> {
    let start = bounds.asked_start();
    let Some(reached) = reached else { return start };
    let from = bounds.asked_since(reached.checked_sub(bounds.lookback()).unwrap_or(Timestamp::MIN));
    Some(start.map_or(from, |start| from.max(start)))
}

fn range(
    bounds: &dyn TimeBounds,
    reached: Option<Timestamp>,
    from: Option<Timestamp>,
    now: Timestamp,
) -> Option<Range> {
    if !bounds.has_end() {
        return Some(Range { since: from, until: None });
    }
    let end = match (bounds.every(), reached.or(bounds.start())) {
        (Some(every), Some(begin)) => begin.checked_add(every).unwrap_or(now).min(now),
        _ => now,
    };
    // the range would end before it starts
    if from.is_some_and(|from| from > end) {
        return None;
    }
    Some(Range { since: from, until: Some(bounds.asked_until(end)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Time bounds from 1 March 2026 on, with exact times in requests.
    struct Bounds {
        every: Option<SignedDuration>,
        lookback: SignedDuration,
    }

    impl TimeBounds for Bounds {
        fn start(&self) -> Option<Timestamp> {
            Some(at("2026-03-01T00:00:00Z"))
        }

        fn lookback(&self) -> SignedDuration {
            self.lookback
        }

        fn every(&self) -> Option<SignedDuration> {
            self.every
        }

        fn has_end(&self) -> bool {
            self.every.is_some()
        }

        fn asked_start(&self) -> Option<Timestamp> {
            self.start()
        }

        fn asked_since(&self, time: Timestamp) -> Timestamp {
            time
        }

        fn asked_until(&self, time: Timestamp) -> Timestamp {
            time
        }
    }

    #[test]
    fn the_next_request_starts_at_the_greatest_time_less_the_lookback() {
        let bounds = Bounds { every: None, lookback: SignedDuration::from_hours(2) };
        assert_eq!(since(&bounds, None), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(since(&bounds, Some(at("2026-03-01T01:00:00Z"))), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(since(&bounds, Some(at("2026-03-02T08:30:00Z"))), Some(at("2026-03-02T06:30:00Z")));
    }

    #[test]
    fn a_long_history_is_divided_into_windows() {
        let daily = Bounds { every: Some(SignedDuration::from_hours(24)), lookback: SignedDuration::from_hours(1) };
        let now = at("2026-03-03T12:00:00Z");
        let mut reached = None;
        let mut windows = Vec::new();
        while let Some(Range { since, until: Some(until) }) = range(&daily, reached, since(&daily, reached), now) {
            windows.push(format!("{} {until}", since.unwrap()));
            if until >= now {
                break;
            }
            reached = Some(until);
        }
        assert_eq!(
            windows,
            [
                "2026-03-01T00:00:00Z 2026-03-02T00:00:00Z",
                "2026-03-01T23:00:00Z 2026-03-03T00:00:00Z",
                "2026-03-02T23:00:00Z 2026-03-03T12:00:00Z",
            ]
        );
        assert_eq!(range(&daily, None, Some(at("2026-04-01T00:00:00Z")), now), None);
    }
}
