//! The clock of `tidemark dev`: this machine's, or a virtual one that advances whenever there is nothing to do.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Error, EventOutcome, StepDue, host};

use super::queue::Job;

/// The result of a step, and the steps it announced.
pub type StepResult = (Result<EventOutcome, Error>, Vec<StepDue>);

/// What ends a wait.
pub enum Signal {
    StepEnded(Box<(Job, StepResult)>),
    Stop,
}

/// A clock with a wait.
pub trait Time: Sync {
    fn now(&self) -> Timestamp;
    /// Waits until a time or a signal. Returns None if the time came first. `is_busy`: a step is running.
    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, is_busy: bool) -> Option<Signal>;
}

/// The clock of this machine.
pub(super) struct Clock;

impl Time for Clock {
    fn now(&self) -> Timestamp {
        host::now()
    }

    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, _: bool) -> Option<Signal> {
        /// Timeouts may use a clock that stops while the machine sleeps, so the wall clock is checked at this interval.
        const LONGEST: Duration = Duration::from_secs(10);
        let left = Duration::try_from(until.duration_since(self.now())).unwrap_or_default();
        signals.recv_timeout(left.min(LONGEST)).ok()
    }
}

/// A clock that advances when nothing is running, and stops at `end`: days of schedules pass in seconds.
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
    /// Every reading advances the clock by a millisecond, so that no two readings are equal.
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
