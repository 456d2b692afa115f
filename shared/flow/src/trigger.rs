//! The reason to run a step, as parsed from an event.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// One reason to check a step. It says when, never what to do; the logs decide that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The scheduled time that the run is for, not the time at which it runs.
    pub scheduled_time: Timestamp,
    /// Ignore what has been consumed, and rebuild everything.
    pub full: bool,
    /// The days requested for reports; if `None`, the day before the scheduled time.
    pub days: Option<Days>,
    /// Number of the invocation, for a step that does not fit one invocation; 0 is the first.
    pub part: u32,
    /// Shared by everything that one event triggers, so that the log lines can be found together.
    pub correlation_id: String,
    pub cause: Cause,
    /// Write a run record even if there is nothing to do, because the watcher expects one.
    pub always_record: bool,
}

/// The origin of a trigger, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Schedule,
    /// An announcement: a dataset that the step reads has a new commit, or an earlier part of the step itself has ended.
    Due,
    /// A new object in the bucket of a source, by its URL.
    Object(String),
    /// A request by a user.
    Manual,
}

/// A range of days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    pub from: Date,
    pub to: Date,
}

impl Trigger {
    /// The trigger of a schedule.
    pub fn at(scheduled_time: Timestamp, correlation_id: impl Into<String>) -> Trigger {
        Trigger {
            scheduled_time,
            full: false,
            days: None,
            part: 0,
            correlation_id: correlation_id.into(),
            cause: Cause::Schedule,
            always_record: false,
        }
    }
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            Cause::Schedule => write!(f, "schedule {}", self.scheduled_time)?,
            Cause::Due => write!(f, "step due {}", self.scheduled_time)?,
            Cause::Object(object) => write!(f, "object {object}")?,
            Cause::Manual => write!(f, "manual {}", self.scheduled_time)?,
        }
        if let Some(Days { from, to }) = self.days {
            write!(f, ", days {from} to {to}")?;
        }
        if self.part > 0 {
            write!(f, ", part {}", self.part + 1)?;
        }
        f.write_str(if self.full { " (full)" } else { "" })
    }
}
