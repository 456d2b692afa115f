//! The time `tidemark dev` runs by: this machine's, or one that passes as fast as there is nothing to do.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Error, EventOutcome, StepDue, host};

use super::queue::Job;

/// What came of walking a step, and what it announced.
pub type StepResult = (Result<EventOutcome, Error>, Vec<StepDue>);

/// What ends a wait.
pub enum Signal {
    StepEnded(Box<(Job, StepResult)>),
    Stop,
}

/// A clock that can be waited by.
pub trait Time: Sync {
    fn now(&self) -> Timestamp;
    /// Waits until a moment or a signal. `is_busy`: a step is being walked.
    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, is_busy: bool) -> Option<Signal>;
}

/// This machine's.
pub(super) struct Clock;

impl Time for Clock {
    fn now(&self) -> Timestamp {
        host::now()
    }

    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, _: bool) -> Option<Signal> {
        /// A machine that sleeps may stop the clock by which it waits, so the other is looked at again.
        const LONGEST: Duration = Duration::from_secs(10);
        let left = Duration::try_from(until.duration_since(self.now())).unwrap_or_default();
        signals.recv_timeout(left.min(LONGEST)).ok()
    }
}

/// Passes when nothing is being done, and stops at its end: days of schedules in seconds.
pub struct Virtual {
    now: Mutex<Timestamp>,
    end: Timestamp,
}

impl Virtual {
    pub fn new(begin: Timestamp, end: Timestamp) -> Virtual {
        Virtual { now: Mutex::new(begin), end }
    }
}

impl Time for Virtual {
    /// A look takes a millisecond, so that of two things one is first.
    fn now(&self) -> Timestamp {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += SignedDuration::from_millis(1);
        *now
    }

    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, is_busy: bool) -> Option<Signal> {
        if is_busy {
            return signals.recv().ok();
        }
        if until > self.end {
            return Some(Signal::Stop);
        }
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = until.max(*now);
        None
    }
}
