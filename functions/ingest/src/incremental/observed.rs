//! What the records of a window say of time, and which of them can come again.

use jiff::Timestamp;

use super::digest::OverlapDigest;
use super::event_time::EventTimeColumn;
use super::window;

/// Records whose times may be asked for later are forgotten down to the overlap when there are more.
const RECENT: usize = 1 << 16;

/// What is known of the records of a window together.
pub(crate) struct Observed<'a> {
    column: Option<&'a EventTimeColumn<'a>>,
    /// Records without a time that can be read, and with one that is still to come.
    pub missing: u64,
    pub ahead: u64,
    /// The greatest time, but none after the window was begun.
    pub greatest: Option<Timestamp>,
    pub begun_at: Timestamp,
    /// All of them.
    pub all: OverlapDigest,
    /// Time and hash of those that may be part of the next overlap.
    recent: Vec<(i64, u128)>,
}

impl<'a> Observed<'a> {
    /// Of a window that was begun at a time.
    pub(crate) fn new(column: Option<&'a EventTimeColumn<'a>>, begun_at: Timestamp) -> Observed<'a> {
        Observed {
            column,
            missing: 0,
            ahead: 0,
            greatest: None,
            begun_at,
            all: OverlapDigest::default(),
            recent: Vec::new(),
        }
    }

    /// A record has come, with a time in microseconds where one can be read.
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
        // a typing error of the year 2099 must not hide what comes until then, nor what changes late in a long window what had changed
        // before it in an answer that was read already
        self.greatest = self.greatest.max(Some(time.min(self.begun_at)));
    }

    /// Lets go of what cannot be part of the next overlap.
    pub(crate) fn forget(&mut self) {
        if let Some(column) = self.column
            && self.recent.len() > RECENT
        {
            let from = window::since(column.bounds, self.greatest).map_or(i64::MIN, Timestamp::as_microsecond);
            self.recent.retain(|(time, _)| *time >= from);
        }
    }

    /// What the next request would bring if nothing were new; `None` where that cannot be known.
    pub(crate) fn overlap(&self, reached: Option<Timestamp>) -> Option<OverlapDigest> {
        let Some(column) = self.column else { return Some(self.all) };
        let from = window::since(column.bounds, reached)?.as_microsecond();
        let mut overlap = OverlapDigest::default();
        self.recent.iter().filter(|(time, _)| *time >= from).for_each(|(_, hash)| overlap.add(*hash));
        (self.missing == 0).then_some(overlap)
    }
}
