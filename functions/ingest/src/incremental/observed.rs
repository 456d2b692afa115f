//! Statistics of the event times of a window, and the records that the next request can return again.

use jiff::Timestamp;

use super::digest::OverlapDigest;
use super::event_time::EventTimeColumn;
use super::window;

/// If more records than this are remembered, those before the overlap are dropped.
const RECENT: usize = 1 << 16;

/// Statistics of all records of a window.
pub(crate) struct Observed<'a> {
    column: Option<&'a EventTimeColumn<'a>>,
    /// How many records have no valid time, and how many have one in the future.
    pub missing: u64,
    pub ahead: u64,
    /// The latest event time, at most the time at which the window was started.
    pub greatest: Option<Timestamp>,
    pub started_at: Timestamp,
    /// Digest of all records.
    pub all: OverlapDigest,
    /// Time and hash of the records that may be part of the next overlap.
    recent: Vec<(i64, u128)>,
}

impl<'a> Observed<'a> {
    /// For a window that was started at `started_at`.
    pub(crate) fn new(column: Option<&'a EventTimeColumn<'a>>, started_at: Timestamp) -> Observed<'a> {
        Observed {
            column,
            missing: 0,
            ahead: 0,
            greatest: None,
            started_at,
            all: OverlapDigest::default(),
            recent: Vec::new(),
        }
    }

    /// Adds a record, with its time in microseconds if it has a valid one.
    pub(crate) fn add(&mut self, hash: u128, time: Option<i64>) {
        self.all.add(hash);
        let Some(column) = self.column else { return };
        let Some(time) = time else {
            self.missing += 1;
            return;
        };
        self.recent.push((time, hash));
        let Ok(time) = Timestamp::from_microsecond(time) else { return };
        if time > column.now {
            self.ahead += 1;
        }
        // Capped at the start of the window: a mistyped year 2099 must not hide all records until then, and a record changed while the window
        // is read must not hide earlier changes on pages that had been read before.
        self.greatest = self.greatest.max(Some(time.min(self.started_at)));
    }

    /// Drops records that cannot be part of the next overlap.
    pub(crate) fn forget(&mut self) {
        if let Some(column) = self.column
            && self.recent.len() > RECENT
        {
            let from = window::since(column.bounds, self.greatest).map_or(i64::MIN, Timestamp::as_microsecond);
            self.recent.retain(|(time, _)| *time >= from);
        }
    }

    /// Digest of the records that the next request would return if nothing were new. None if that is unknown.
    pub(crate) fn overlap(&self, reached: Option<Timestamp>) -> Option<OverlapDigest> {
        let Some(column) = self.column else { return Some(self.all) };
        let from = window::since(column.bounds, reached)?.as_microsecond();
        let mut overlap = OverlapDigest::default();
        self.recent.iter().filter(|(time, _)| *time >= from).for_each(|(_, hash)| overlap.add(*hash));
        (self.missing == 0).then_some(overlap)
    }
}
