//! How far an API has been read, as the raw dataset's log has it, and what to ask for next.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_pipeline::http::{Http, Pagination, Since};

use crate::http::instant;
use crate::http::request::{Next, Range};

/// Its size does not hang on how much has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bookmark {
    /// Up to when records have been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Timestamp>,
    /// A window of which not all pages are in yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// What the next request would bring if nothing were new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
    /// Everything is being read anew: rows of earlier versions go once that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew_from: Option<i64>,
}

/// Where a window is to be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Within {
    /// Of the definition by which it was begun; another one begins anew.
    pub definition: String,
    pub window: Window,
    /// Number of the page to come.
    pub page: u32,
    pub next: Next,
    /// Records so far.
    pub received: u64,
    pub greatest: Option<Timestamp>,
    pub paging: Option<Pagination>,
    /// When its first page was asked for: what has changed since may be on a page that had been read.
    pub begun_at: Timestamp,
    /// Up to when all is there once the window is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Timestamp>,
}

/// Records without regard to their order: how many, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tail {
    pub records: u64,
    hash: [u64; 2],
}

impl Tail {
    pub(crate) fn add(&mut self, hash: u128) {
        let sum = self.sum().wrapping_add(hash);
        self.records += 1;
        self.hash = [(sum >> 64) as u64, sum as u64];
    }

    fn sum(&self) -> u128 {
        u128::from(self.hash[0]) << 64 | u128::from(self.hash[1])
    }
}

/// One stretch of time, read page by page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// Of its pages in `landing/`.
    pub name: String,
    pub range: Range,
    /// There is no later one.
    pub is_last: bool,
}

impl Window {
    /// The same requests, whose pages land elsewhere.
    pub(crate) fn again(&self, anew: u32) -> Window {
        match anew {
            0 => self.clone(),
            nth => Window { name: format!("{}.{nth}", self.name), ..self.clone() },
        }
    }
}

/// The window to read.
#[derive(Debug)]
pub(crate) struct Task {
    pub window: Window,
    /// Where it has been left.
    pub within: Option<Within>,
    pub anew_from: Option<i64>,
    /// What has been read before does not count.
    pub begins_anew: bool,
}

impl Task {
    /// `version`: the one the raw dataset will have. `None` if all that was meant at `now` has been read.
    pub(crate) fn next(http: &Http, bookmark: &Bookmark, full: bool, now: Timestamp, version: i64) -> Option<Task> {
        if let (Some(within), false) = (&bookmark.within, full) {
            let (window, within) = (within.window.clone(), Some(within.clone()));
            return Some(Task { window, within, anew_from: bookmark.anew_from, begins_anew: false });
        }
        let anew_from = if full { Some(version) } else { bookmark.anew_from };
        let reached = bookmark.reached.filter(|_| !full);
        let mark = if full { "full" } else { "v" };
        let Some(since) = &http.incremental else {
            let window = Window { name: format!("all-{mark}{version:05}"), range: Range::default(), is_last: true };
            return Some(Task { window, within: None, anew_from, begins_anew: full });
        };
        let from = from(since, reached);
        let range = range(since, reached, from, now)?;
        let is_last = since.every_s.is_none() || range.until.is_none_or(|until| until >= now);
        let label = from.map_or("all".to_owned(), |from| from.strftime("%Y%m%dT%H%M%SZ").to_string());
        let window = Window { name: format!("{label}-{mark}{version:05}"), range, is_last };
        Some(Task { window, within: None, anew_from, begins_anew: full })
    }
}

/// From when on records are asked for: what has been seen, less the lookback.
pub(crate) fn from(since: &Since, reached: Option<Timestamp>) -> Option<Timestamp> {
    let start = since.start.map(|start| instant::since(&Since { is_open: false, ..since.clone() }, start));
    let Some(reached) = reached else { return start };
    let back = SignedDuration::from_secs(i64::try_from(since.lookback_s).unwrap_or(i64::MAX));
    let from = instant::since(since, reached.checked_sub(back).unwrap_or(Timestamp::MIN));
    Some(start.map_or(from, |start| from.max(start)))
}

fn range(since: &Since, reached: Option<Timestamp>, from: Option<Timestamp>, now: Timestamp) -> Option<Range> {
    if since.until.is_none() {
        return Some(Range { since: from, until: None });
    }
    let step = since.every_s.map(|every| SignedDuration::from_secs(i64::try_from(every).unwrap_or(i64::MAX)));
    let end = match (step, reached.or(since.start)) {
        (Some(step), Some(begin)) => begin.checked_add(step).unwrap_or(now).min(now),
        _ => now,
    };
    // a time that is over has nothing to say any more
    if from.is_some_and(|from| from > end) {
        return None;
    }
    Some(Range { since: from, until: Some(instant::until(since, end)) })
}

#[cfg(test)]
mod tests {
    use tidemark_pipeline::http::{Missing, Parameter, TimeFormat};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn since(every_s: Option<u64>, lookback_s: u64) -> Since {
        Since {
            column: "t".parse().unwrap(),
            parameter: Parameter::Query("since".into()),
            until: every_s.map(|_| Parameter::Query("until".into())),
            format: TimeFormat::Rfc3339,
            start: Some(at("2026-03-01T00:00:00Z")),
            lookback_s,
            is_open: false,
            every_s,
            missing: Missing::Keep,
        }
    }

    #[test]
    fn what_has_been_seen_is_where_the_next_begins() {
        let lookback = since(None, 7200);
        assert_eq!(from(&lookback, None), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(from(&lookback, Some(at("2026-03-01T01:00:00Z"))), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(from(&lookback, Some(at("2026-03-02T08:30:00Z"))), Some(at("2026-03-02T06:30:00Z")));
    }

    #[test]
    fn a_long_catch_up_goes_window_by_window() {
        let daily = since(Some(86_400), 3600);
        let now = at("2026-03-03T12:00:00Z");
        let mut reached = None;
        let mut windows = Vec::new();
        while let Some(Range { since, until: Some(until) }) = range(&daily, reached, from(&daily, reached), now) {
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

    #[test]
    fn a_tail_knows_records_in_any_order() {
        let of = |hashes: &[u128]| {
            let mut tail = Tail::default();
            hashes.iter().for_each(|hash| tail.add(*hash));
            tail
        };
        assert_eq!(of(&[1, u128::MAX, 3]), of(&[3, 1, u128::MAX]));
        assert_ne!(of(&[1, 2]), of(&[3, 0, 0]));
        assert_ne!(of(&[1]), of(&[2]));
    }
}
