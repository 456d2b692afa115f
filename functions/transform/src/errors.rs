//! Converts errors of the crates below into errors of a step.

use polars::error::PolarsError;
use tidemark_flow::{Error, ErrorKind};
use tidemark_transform::{ContractError, FrameError, SqlError};

/// A contract that cannot be applied: the definition and the data do not fit.
pub(crate) fn contract_error(error: ContractError) -> Error {
    Error::new(ErrorKind::Definition, error.to_string()).hint("correct [contract] in the pipeline file")
}

pub(crate) fn frame_error(error: FrameError) -> Error {
    Error::new(ErrorKind::Bug, "rows cannot be merged").because(error)
}

pub(crate) fn sql_error(what: &str, error: SqlError) -> Error {
    Error::new(ErrorKind::Definition, format!("{what}: {error}")).hint("correct the SQL")
}

pub(crate) fn polars_error(what: impl Into<String>, error: PolarsError) -> Error {
    Error::new(ErrorKind::Bug, what).because(error)
}
