//! The row accounting of a step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// Counts the rows a step has read and what happened to each of them. It is checked before each commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Rows read.
    #[serde(rename = "in")]
    pub rows_in: u64,
    /// Rows added to the output.
    pub written: u64,
    /// Rows that replaced an older version of themselves.
    pub updated: u64,
    /// Rows that the output already contained, with equal values.
    pub unchanged: u64,
    /// Rows superseded by a newer version with the same key.
    pub deduplicated: u64,
    /// Rows dropped, by the name of the filter.
    pub filtered: BTreeMap<String, u64>,
    pub quarantined: u64,
    /// Rows removed from the output because their source no longer has them. Not part of the equation.
    pub deleted: u64,
}

impl Balance {
    /// `in = written + updated + unchanged + deduplicated + filtered + quarantined`
    ///
    /// # Errors
    /// Kind `bug`, with both sides of the equation, if it does not hold. The caller then commits nothing.
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

    /// The JSON stored in the commit of the dataset's log.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
