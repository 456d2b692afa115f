//! What wakes a step, once the event has been understood.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// One reason to look at a step. It says when, never what to do: that the logs say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The moment of the schedule that is meant, not the moment of running.
    pub scheduled_time: Timestamp,
    /// Forget what has been consumed and make everything anew.
    pub full: bool,
    /// The days whose reports are meant; the day before the scheduled time where there are none.
    pub days: Option<Days>,
    /// The part of a step that did not fit one invocation; 0 is its beginning.
    pub part: u32,
    /// The same for everything that one event has set off, so that its lines are found together.
    pub correlation_id: String,
    pub cause: Cause,
    /// Somebody looks for the record of it: it is kept even if nothing is to be done.
    pub always_record: bool,
}

/// Where a trigger came from; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Schedule,
    /// A commit of the dataset a step reads, or an earlier part of the step itself.
    Due,
    /// An object that came into a source's bucket.
    Object(String),
    /// Somebody asked.
    Manual,
}

/// Some days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    pub from: Date,
    pub to: Date,
}

impl Trigger {
    /// What a schedule sets off.
    pub fn at(scheduled_time: Timestamp, chain: impl Into<String>) -> Trigger {
        Trigger {
            scheduled_time,
            full: false,
            days: None,
            part: 0,
            correlation_id: chain.into(),
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
