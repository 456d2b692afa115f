//! What wakes a step, once the event has been understood.

use jiff::Timestamp;

/// One reason to look at a pipeline. It says when, never what to do: that the logs say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// The moment of the schedule that is meant, not the moment of running.
    pub scheduled_time: Timestamp,
    /// Forget what has been consumed and make everything anew.
    pub full: bool,
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "schedule {}{}", self.scheduled_time, if self.full { " (full)" } else { "" })
    }
}
