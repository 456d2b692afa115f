//! How much a run takes in.

use serde::{Deserialize, Serialize};

use crate::drift::thousands;

/// What a step would take in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Partitions, objects of a source, or files of a report.
    pub partitions: u64,
    /// `None` where only reading would tell.
    pub rows: Option<u64>,
    pub bytes: u64,
    /// By which way, where there are several.
    pub how: Option<&'static str>,
}

/// What a plan is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// What of it a person would want to see named: partitions, objects of a source.
    pub partitions: Vec<String>,
    pub size: Size,
}

/// What a run that failed would have taken in, as its record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRecord {
    /// The first of them, by name: partitions, objects of a source, files of a report.
    pub partitions: Vec<String>,
    /// How many there are.
    pub of: u64,
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
        ScopeRecord { partitions, of, rows: size.rows, bytes: size.bytes }
    }
}

impl std::fmt::Display for ScopeRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.partitions.join(", "))?;
        match self.of.saturating_sub(self.partitions.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {} more", thousands(more)),
        }
    }
}
