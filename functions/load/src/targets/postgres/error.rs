//! Errors of a load into PostgreSQL, with hints on how to resolve them.

use std::time::Duration;

use polars::prelude::{DataType, PolarsError};
use tidemark_flow::{Error, ErrorKind, joined};
use tidemark_postgres::{Action, ClientError, DbError, Fault, SqlType, is_row_error, server_message};

/// The error of a load. The database is as it was before, except for [`LoadFault::Unsure`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadFault {
    #[error(transparent)]
    Server(#[from] Fault),
    #[error("the server asks for a password: {}", .0.why)]
    NoPassword(UnknownPassword),
    #[error("the server has not said for {} s whether the load is committed", .0.as_secs())]
    Unsure(Duration),

    #[error("{table} is {kind}, not a table")]
    NotATable { table: String, kind: &'static str },
    #[error("column {column:?} has {} bytes, and PostgreSQL keeps 63 of a name", column.len())]
    LongName { column: String },
    #[error("column {column:?} is {whose} own")]
    Reserved { column: String, whose: &'static str },
    #[error("PostgreSQL has no type for column {column:?} ({dtype})")]
    Type { column: String, dtype: DataType },
    #[error("`types` names column {column:?}, which the dataset does not have")]
    NoTyped { column: String },
    #[error(
        "column {column:?} of table {table} is {declared}, which does not hold the dataset's {wanted} ({dtype}) as it is"
    )]
    Declared { table: String, column: String, declared: String, wanted: SqlType, dtype: Box<DataType> },
    #[error("column {column:?} of table {table} is made by the database itself ({how})")]
    Generated { table: String, column: String, how: &'static str },
    #[error("the dataset has no column {column:?}, which table {table} is to be loaded by")]
    NoColumn { table: String, column: String },
    #[error("table {table} has no column {column:?} any more")]
    Lacks { table: String, column: String },
    #[error("table {table} has no unique index on its key")]
    NoUniqueIndex { table: String, sql: String },

    #[error("{} of the change: column {column:?} has {why}", place(*.row, .key.as_deref()))]
    Unrepresentable { row: u64, key: Option<String>, column: String, why: String },
    #[error("{} of the change is refused: {}", place(*.row, .key.as_deref()), server_message(.by))]
    Row { row: u64, key: Option<String>, by: Box<DbError> },
    #[error("two rows of the dataset have the key {key}, by which table {table} is loaded")]
    Twice { table: String, key: String },
    #[error("{refused} of {rows} rows are refused, and max_refused allows {allowed}: the first, {first}")]
    TooMany { refused: u64, rows: u64, allowed: String, first: String },

    #[error("{rows} rows do not go into the database in the time this run has")]
    Late { rows: u64 },
    #[error("the rows of the change cannot be read")]
    Frame(#[from] PolarsError),
    #[error(transparent)]
    Lake(#[from] Error),
}

/// Why a password is unknown.
#[derive(Debug, Clone)]
pub(crate) struct UnknownPassword {
    pub(crate) why: String,
    pub(crate) kind: ErrorKind,
}

/// The hint on how to give a target its password.
const PASSWORD_HINT: &str = "give the target `password = { secret = \"…\" }`, and the secret a value";

/// `row 17 (id 5)`. Rows are counted from 1; 0 means that the row's number is unknown.
fn place(row: u64, key: Option<&str>) -> String {
    match (row, key) {
        (0, Some(key)) => format!("the row with {key}"),
        (0, None) => "a row".to_owned(),
        (row, Some(key)) => format!("row {row} ({key})"),
        (row, None) => format!("row {row}"),
    }
}

impl LoadFault {
    /// Whether the error is transient: the same load may succeed shortly without intervention.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            LoadFault::Server(fault) => fault.is_transient(),
            LoadFault::Unsure(_) => true,
            _ => false,
        }
    }

    /// The server's own error, if it is one.
    pub(super) fn server(&self) -> Option<&DbError> {
        match self {
            LoadFault::Server(fault) => fault.server(),
            _ => None,
        }
    }

    /// `place` says which database, without a password.
    pub(crate) fn failure(self, place: &str) -> Error {
        if let LoadFault::Lake(failure) = self {
            return failure;
        }
        let (kind, hint) = self.kind_and_hint();
        let cause = std::error::Error::source(&self).map(|cause| joined(cause.to_string(), cause.source()));
        let mut failure = Error::new(kind, format!("{place}: {self}"));
        failure.over_budget = matches!(self, LoadFault::TooMany { .. });
        let failure = match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match cause {
            Some(cause) => failure.because(cause),
            None => failure,
        }
    }

    fn kind_and_hint(&self) -> (ErrorKind, Option<String>) {
        let with_hint = |kind, hint: &str| (kind, Some(hint.to_owned()));
        match self {
            LoadFault::Server(fault) => fault_kind_and_hint(fault),
            LoadFault::NoPassword(unknown) => with_hint(unknown.kind, PASSWORD_HINT),
            LoadFault::Unsure(_) => {
                with_hint(ErrorKind::Retry, "run again: a load that is committed is found there, and not done twice")
            }
            LoadFault::NotATable { .. } => with_hint(ErrorKind::Definition, "name a table"),
            LoadFault::LongName { .. } | LoadFault::Reserved { .. } => {
                with_hint(ErrorKind::Definition, "rename it in the SQL of a model")
            }
            LoadFault::Type { .. } => with_hint(ErrorKind::Definition, "leave it out or cast it in the SQL of a model"),
            LoadFault::NoTyped { .. } => {
                with_hint(ErrorKind::Definition, "take it out of `types`, or name a column the dataset has")
            }
            LoadFault::Declared { .. } => with_hint(
                ErrorKind::Definition,
                "change the type of either, name another table, or drop this one so that it is loaded in full",
            ),
            LoadFault::Generated { .. } => {
                with_hint(ErrorKind::Definition, "name another table, or leave the column out in the SQL of a model")
            }
            LoadFault::NoColumn { .. } => with_hint(ErrorKind::Definition, "name columns the dataset has"),
            LoadFault::Lacks { .. } => with_hint(ErrorKind::Definition, "drop the table so that it is loaded in full"),
            LoadFault::NoUniqueIndex { sql, .. } => (ErrorKind::Definition, Some(format!("make one: {sql}"))),
            LoadFault::Unrepresentable { key: Some(_), .. } | LoadFault::Row { key: Some(_), .. } => with_hint(
                ErrorKind::Data,
                "nothing was loaded; mend the row, drop it with a check or filter of the contract, or let the target put such rows \
                 aside (max_refused)",
            ),
            LoadFault::Unrepresentable { .. } | LoadFault::Row { .. } => with_hint(
                ErrorKind::Data,
                "nothing was loaded; mend the row, or drop it with a check or filter of the contract",
            ),
            LoadFault::Twice { .. } => with_hint(
                ErrorKind::Data,
                "nothing was loaded; name a key that is unique in the dataset, or make it so in a model",
            ),
            LoadFault::TooMany { .. } => with_hint(ErrorKind::Data, "nothing was loaded; mend the rows, or allow more"),
            LoadFault::Late { .. } => with_hint(
                ErrorKind::Refused,
                "nothing was loaded; give the function a longer timeout, or run this load elsewhere",
            ),
            LoadFault::Frame(_) => (ErrorKind::Bug, None),
            LoadFault::Lake(failure) => (failure.kind, failure.hint.clone()),
        }
    }
}

/// Kind and hint for a fault of the server, worded for a target where that matters.
fn fault_kind_and_hint(fault: &Fault) -> (ErrorKind, Option<String>) {
    let advice = fault.advice();
    let kind = match advice.action {
        Action::RunAgain => ErrorKind::Retry,
        Action::Permit | Action::FreeSpace => ErrorKind::Refused,
        Action::Correct => ErrorKind::Definition,
        Action::CorrectRows => ErrorKind::Data,
    };
    let own = match fault {
        Fault::NoPassword => Some(PASSWORD_HINT),
        Fault::Timeout(_) => Some("run again; if a statement needs so long, give the target a longer timeout"),
        Fault::Server(error) => match error.code().code() {
            "42501" => Some(
                "grant the role what it lacks: CREATE and USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on the table",
            ),
            "23503" | "23001" => {
                Some("nothing was loaded; other rows of the database reference it, or it references missing rows")
            }
            _ if is_row_error(error) => Some("nothing was loaded"),
            _ => None,
        },
        _ => None,
    };
    (kind, own.map(str::to_owned).or(advice.hint))
}

impl From<ClientError> for LoadFault {
    fn from(error: ClientError) -> LoadFault {
        Fault::from(error).into()
    }
}
