//! SQL in a definition.

use serde::Serialize;

/// SQL with the place it was written at, so that an error can point there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sql {
    pub text: String,
    /// `infra/pipelines/daily-sales/by_day.sql`, or the TOML file itself.
    pub file: String,
    /// Line of the first line of `text` in `file`, from 1.
    pub line: usize,
}
