//! SQL in a definition.

use serde::Serialize;

/// SQL and its location, for error messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sql {
    pub text: String,
    /// `infra/pipelines/daily-sales/by_day.sql`, or the pipeline file.
    pub file: String,
    /// Line in `file` at which `text` starts, from 1.
    pub line: usize,
}
