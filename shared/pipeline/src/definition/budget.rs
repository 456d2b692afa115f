//! The maximum number of rows that one run may quarantine.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// Fraction of the rows of one run, 0 to 1 (`"1%"` is 0.01).
    Share(f64),
    /// Number of rows of one run.
    Count(u64),
}

impl Budget {
    /// The maximum for a run that reads `rows` rows.
    pub fn limit(self, rows: u64) -> u64 {
        match self {
            Budget::Share(share) => (share * rows as f64) as u64,
            Budget::Count(count) => count,
        }
    }
}

/// `1%`, or the count.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Share(share) => write!(f, "{}%", share * 100.0),
            Budget::Count(count) => count.fmt(f),
        }
    }
}
