//! What can go wrong with a database server, said so that the reader knows what to do. What the server says of a row's content (its
//! "detail") is never passed on.

use std::error::Error;
use std::time::Duration;

use polars::prelude::{DataType, PolarsError};
use tidemark_flow::{Failure, Kind, joined};
use tokio_postgres::error::{DbError, SqlState};

use crate::types::SqlType;

/// A secret that is not known.
#[derive(Debug, Clone)]
pub struct Unknown {
    pub why: String,
    pub kind: Kind,
}

/// A load that did not happen: the database is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("no encrypted connection to the server comes about")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    #[error("the certificate file {file} cannot be read")]
    Certificates { file: String, source: Box<dyn Error + Send + Sync> },
    #[error("no host takes writes")]
    OnlyReads(#[source] Box<dyn Error + Send + Sync>),
    #[error("the server asks for a password: {}", .0.why)]
    NoPassword(Unknown),
    #[error("the connection broke")]
    Lost(#[source] Box<dyn Error + Send + Sync>),
    #[error("the server said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the server has not said for {} s whether the load is committed", .0.as_secs())]
    Unsure(Duration),
    #[error("{}", said(.0))]
    Server(Box<DbError>),
    #[error("the server answers with what is no answer")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),

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
    Unheld { row: u64, key: Option<String>, column: String, why: String },
    #[error("{} of the change is refused: {}", place(*.row, .key.as_deref()), said(.by))]
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
    Lake(#[from] Failure),
}

/// `row 17 (id 5)`; rows are counted from 1, and 0 is one whose number nobody knows.
fn place(row: u64, key: Option<&str>) -> String {
    match (row, key) {
        (0, Some(key)) => format!("the row with {key}"),
        (0, None) => "a row".to_owned(),
        (row, Some(key)) => format!("row {row} ({key})"),
        (row, None) => format!("row {row}"),
    }
}

/// What the server says, without what it says of values.
pub fn said(error: &DbError) -> String {
    let code = error.code();
    // these quote the value itself
    let quotes = [
        SqlState::INVALID_TEXT_REPRESENTATION,
        SqlState::INVALID_DATETIME_FORMAT,
        SqlState::DATETIME_FIELD_OVERFLOW,
        SqlState::INVALID_BINARY_REPRESENTATION,
    ];
    let column = || error.column().or_else(|| error.where_().and_then(column_of_copy));
    let mut text = match quotes.contains(code).then(column).flatten() {
        Some(column) => format!("a value of column {column:?} is not of its type"),
        None if quotes.contains(code) => "a value is not of its column's type".to_owned(),
        None if *code == SqlState::NUMERIC_VALUE_OUT_OF_RANGE
            && error.message().contains(|c: char| c.is_ascii_digit()) =>
        {
            "a number is out of range".to_owned()
        }
        None => error.message().chars().take(300).collect(),
    };
    text.push_str(&format!(" (SQLSTATE {})", code.code()));
    text
}

/// `COPY orders, line 17, column id`: `id`, whatever language the server speaks.
fn column_of_copy(place: &str) -> Option<&str> {
    let place = place.lines().find(|line| line.starts_with("COPY "))?;
    let columns = place.match_indices(", ").filter_map(|(at, comma)| {
        let (line, column) = place[at + comma.len()..].split_once(", ")?;
        let number = line.rsplit_once(' ')?.1;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| column.split_once(' '))?.map(|(_, name)| name)
    });
    // the table may be named like that too
    columns.last()
}

/// Whether a row is at fault: its data, or a constraint or trigger it does not pass.
pub fn is_of_a_row(error: &DbError) -> bool {
    let code = error.code().code();
    (code.starts_with("22") || code.starts_with("23") || code.starts_with("44") || code == "P0001")
        // a row of another table hangs on it; no row of ours is wrong
        && *error.code() != SqlState::RESTRICT_VIOLATION
}

impl Fault {
    /// Whether the same load may succeed in a moment, with nobody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Fault::Unreachable(_) | Fault::Lost(_) | Fault::Unsure(_) => true,
            Fault::Server(error) => is_transient(error.code()),
            _ => false,
        }
    }

    pub fn server(&self) -> Option<&DbError> {
        match self {
            Fault::Server(error) => Some(error),
            _ => None,
        }
    }

    /// `place` says which database, without a password.
    pub fn failure(self, place: &str) -> Failure {
        if let Fault::Lake(failure) = self {
            return failure;
        }
        let (kind, hint) = self.remedy();
        let cause = Error::source(&self).map(|cause| joined(cause.to_string(), cause.source()));
        let mut failure = Failure::new(kind, format!("{place}: {self}"));
        failure.over_budget = matches!(self, Fault::TooMany { .. });
        let failure = match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match cause {
            Some(cause) => failure.because(cause),
            None => failure,
        }
    }

    fn remedy(&self) -> (Kind, Option<String>) {
        let said = |kind, hint: &str| (kind, Some(hint.to_owned()));
        match self {
            Fault::Unreachable(_) => {
                said(Kind::Retry, "check host and port, and that this machine may connect to them; then run again")
            }
            Fault::Tls(_) => said(
                Kind::Definition,
                "name the file of the authority that signed the server's certificate in sslrootcert, and the host as the certificate \
                 has it; or choose another sslmode",
            ),
            Fault::OnlyReads(_) => {
                said(Kind::Retry, "name the primary too, or run again when one of the hosts takes writes")
            }
            Fault::NoPassword(unknown) => {
                said(unknown.kind, "give the target `password = { secret = \"…\" }`, and the secret a value")
            }
            Fault::Certificates { .. } => said(Kind::Definition, "name a file of PEM certificates in sslrootcert"),
            Fault::Lost(_) => said(Kind::Retry, "run again"),
            Fault::Unsure(_) => {
                said(Kind::Retry, "run again: a load that is committed is found there, and not done twice")
            }
            Fault::Silent(_) => {
                said(Kind::Retry, "run again; if a statement needs so long, give the target a longer timeout")
            }
            Fault::Server(error) => remedy(error),
            Fault::Protocol(_) => said(Kind::Definition, "check that a PostgreSQL server listens there"),
            Fault::NotATable { .. } => said(Kind::Definition, "name a table"),
            Fault::LongName { .. } | Fault::Reserved { .. } => {
                said(Kind::Definition, "rename it in the SQL of a model")
            }
            Fault::Type { .. } => said(Kind::Definition, "leave it out or cast it in the SQL of a model"),
            Fault::NoTyped { .. } => said(Kind::Definition, "take it out of `types`, or name a column the dataset has"),
            Fault::Declared { .. } => said(
                Kind::Definition,
                "change the type of either, name another table, or drop this one to have it loaded anew",
            ),
            Fault::Generated { .. } => {
                said(Kind::Definition, "name another table, or leave the column out in the SQL of a model")
            }
            Fault::NoColumn { .. } => said(Kind::Definition, "name columns the dataset has"),
            Fault::Lacks { .. } => said(Kind::Definition, "drop the table to have it loaded anew"),
            Fault::NoUniqueIndex { sql, .. } => (Kind::Definition, Some(format!("make one: {sql}"))),
            Fault::Unheld { key: Some(_), .. } | Fault::Row { key: Some(_), .. } => said(
                Kind::Data,
                "nothing was loaded; mend the row, drop it with a check or filter of the contract, or let the target put such rows \
                 aside (max_refused)",
            ),
            Fault::Unheld { .. } | Fault::Row { .. } => {
                said(Kind::Data, "nothing was loaded; mend the row, or drop it with a check or filter of the contract")
            }
            Fault::Twice { .. } => said(
                Kind::Data,
                "nothing was loaded; name a key that is unique in the dataset, or make it so in a model",
            ),
            Fault::TooMany { .. } => said(Kind::Data, "nothing was loaded; mend the rows, or allow more"),
            Fault::Late { .. } => said(
                Kind::Refused,
                "nothing was loaded; give the function a longer timeout, or run this load elsewhere",
            ),
            Fault::Frame(_) => (Kind::Bug, None),
            Fault::Lake(failure) => (failure.kind, failure.hint.clone()),
        }
    }
}

fn is_transient(code: &SqlState) -> bool {
    let again = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    code.code().starts_with("08") || again.contains(code)
}

/// What to do about what a server says.
fn remedy(error: &DbError) -> (Kind, Option<String>) {
    let code = error.code();
    let (kind, hint) = match code.code() {
        _ if is_transient(code) => (Kind::Retry, "run again"),
        "57014" => (
            Kind::Retry,
            "somebody cancelled it, or it took longer than the role's statement_timeout: raise that for this role, or run again",
        ),
        "55P03" => {
            (Kind::Retry, "another session holds the table for longer than lock_timeout; run again when it is done")
        }
        "53100" => (Kind::Refused, "the server's disk is full: free some space there and run again"),
        "53200" => (Kind::Retry, "the server is short of memory; run again when it is less busy"),
        "25006" => (
            Kind::Definition,
            "this server only reads: name the primary, or give target_session_attrs=read-write with both hosts",
        ),
        "42501" => (
            Kind::Refused,
            "grant the role what it lacks: CREATE and USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on the table",
        ),
        "28P01" => (Kind::Refused, "check the user and the secret of its password"),
        "28000" => {
            (Kind::Refused, "check the user, and the sslmode: a server may let in who encrypts, and nobody else")
        }
        "3D000" => (Kind::Definition, "name a database that is there"),
        "3F000" => (Kind::Definition, "name a schema, or give the role a search_path with one that is there"),
        "23503" | "23001" => {
            (Kind::Data, "nothing was loaded; other rows of the database hang on it, or it on rows that are not there")
        }
        _ if is_of_a_row(error) => (Kind::Data, "nothing was loaded"),
        _ => return (Kind::Definition, error.hint().map(str::to_owned)),
    };
    (kind, Some(hint.to_owned()))
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        if let Some(server) = error.as_db_error() {
            return Fault::Server(Box::new(server.clone()));
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<std::io::Error>() {
                break;
            }
            cause = error.source();
        }
        match error.is_closed() || cause.is_some() {
            true => Fault::Lost(error.into()),
            false => Fault::Protocol(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_an_error_is_read_in_any_language() {
        assert_eq!(column_of_copy("COPY orders, line 17, column my id"), Some("my id"));
        assert_eq!(column_of_copy("COPY my, table 5, Zeile 1234, Spalte a, b"), Some("a, b"));
        assert_eq!(column_of_copy("COPY orders, line 17"), None);
        assert_eq!(column_of_copy("PL/pgSQL function x, line 1, column y"), None);
    }
}
