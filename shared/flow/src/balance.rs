//! The row equation of a step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// What came in, and where every row of it went. Held before each commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Rows that came in.
    #[serde(rename = "in")]
    pub rows_in: u64,
    /// Rows that are new in the output.
    pub written: u64,
    /// Rows that replaced an older version of themselves.
    pub updated: u64,
    /// Rows that were there already, equal.
    pub unchanged: u64,
    /// Rows that a newer version of the same key made superfluous.
    pub deduplicated: u64,
    /// Rows dropped, by the name of the filter.
    pub filtered: BTreeMap<String, u64>,
    pub quarantined: u64,
    /// Rows of the output that went, because their source went. Not part of the equation.
    pub deleted: u64,
}

impl Balance {
    /// `in = written + updated + unchanged + deduplicated + filtered + quarantined`
    ///
    /// # Errors
    /// Kind `bug`, with both sides. Nothing is committed then.
    pub fn check(&self) -> Result<(), Error> {
        let filtered: u64 = self.filtered.values().sum();
        let out = self.written + self.updated + self.unchanged + self.deduplicated + filtered + self.quarantined;
        if self.rows_in == out {
            return Ok(());
        }
        let message = format!(
            "rows do not balance: {} in, but {} written + {} updated + {} unchanged + {} deduplicated + {filtered} filtered + {} \
             quarantined = {out}",
            self.rows_in, self.written, self.updated, self.unchanged, self.deduplicated, self.quarantined,
        );
        Err(Error::new(ErrorKind::Bug, message).hint("nothing was committed; please report this"))
    }

    /// As the log keeps it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
