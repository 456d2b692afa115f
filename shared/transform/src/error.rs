//! Errors of contracts, frames and queries. A bad *row* is never an error: it goes to quarantine.

use polars::prelude::PolarsError;

/// The contract cannot be applied: to any rows ([`crate::Cleaner::new`]) or to these ([`crate::Cleaner::clean`]).
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error("column `{column}`: {rule} {problem}: {value:?}")]
    Rule { column: String, rule: &'static str, problem: String, value: String },
    #[error("{kind} `{name}` is not valid SQL over the clean columns")]
    Sql { kind: &'static str, name: String, source: PolarsError },
    #[error("{kind} `{name}` is not a condition: it returns {found}; compare it with a value")]
    NoCondition { kind: &'static str, name: String, found: String },
    #[error("column `{column}`: the source has no column `{from}`{hint}; it has {found}")]
    Missing { column: String, from: String, hint: String, found: String },
    #[error(
        "column `{column}`: the source holds {found}, which cannot be converted to {wanted} without loss; declare another type"
    )]
    Lossy { column: String, found: String, wanted: String },
    #[error("column `{column}` holds arrays that the contract does not allow")]
    Elements { column: String },
    #[error("partition column `{0}` is not a column of the contract")]
    Partition(String),
    #[error("raw rows do not have the columns that ingest writes")]
    Raw(#[source] PolarsError),
    #[error("the rows cannot be computed")]
    Frame(#[from] PolarsError),
}

impl ContractError {
    /// The error is in a column of the elements of an array.
    pub(crate) fn within(self, explode: &str) -> ContractError {
        match self {
            ContractError::Rule { column, rule, problem, value } => {
                ContractError::Rule { column: format!("{explode}/{column}"), rule, problem, value }
            }
            other => other,
        }
    }
}

/// Frames that cannot be merged, added or subtracted.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("rows without column `{0}`, which the key or `latest_by` names")]
    NoColumn(String),
    #[error("rows have different columns: {left} and {right}")]
    Schema { left: String, right: String },
    #[error("column `{column}` of type {found} cannot be part of a key")]
    Key { column: String, found: String },
    #[error("the key has no columns")]
    NoKey,
    #[error("rows cannot be spread over {0} buckets")]
    Buckets(usize),
    #[error("the rows cannot be computed")]
    Frame(#[from] PolarsError),
}

/// Why SQL cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error("SQL: {0}")]
    Invalid(String),
    #[error("SQL: unknown dataset `{name}`; available are {known}")]
    NoDataset { name: String, known: String },
}
