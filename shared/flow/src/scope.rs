//! The amount of work of a run.

use serde::{Deserialize, Serialize};

use crate::drift::thousands;

/// The size of the work of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Partitions, objects of a source, or files of a report.
    pub partitions: u64,
    /// `None` if the number is unknown before reading.
    pub rows: Option<u64>,
    pub bytes: u64,
    /// The method, if there are several.
    pub how: Option<&'static str>,
}

/// The work of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The parts worth naming to a person: partitions, objects of a source.
    pub partitions: Vec<String>,
    pub size: Size,
}

/// The planned work of a failed run, as stored in its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRecord {
    /// Names of the first few partitions, objects of a source or files of a report.
    pub partitions: Vec<String>,
    /// How many there are in all.
    #[serde(rename = "of")]
    pub total: u64,
    pub rows: Option<u64>,
    pub bytes: u64,
}

impl ScopeRecord {
    const SHOWN: usize = 10;
}

impl From<Scope> for ScopeRecord {
    fn from(Scope { mut partitions, size }: Scope) -> ScopeRecord {
        let of = size.partitions.max(partitions.len() as u64);
        partitions.truncate(ScopeRecord::SHOWN);
        ScopeRecord { partitions, total: of, rows: size.rows, bytes: size.bytes }
    }
}

impl std::fmt::Display for ScopeRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.partitions.join(", "))?;
        match self.total.saturating_sub(self.partitions.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {} more", thousands(more)),
        }
    }
}
