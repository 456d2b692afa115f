//! Errors of a load into SQLite. Each message says what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use polars::prelude::{DataType, PolarsError};
use rusqlite::ErrorCode;

/// How long another process may hold the database before a load gives up ([`Fault::Locked`]).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The error of a load. The database is as it was before.
#[derive(Debug)]
pub struct SqliteError {
    path: PathBuf,
    fault: Box<Fault>,
}

impl SqliteError {
    pub(super) fn at(path: &Path, fault: impl Into<Fault>) -> Self {
        SqliteError { path: path.to_owned(), fault: Box::new(fault.into()) }
    }

    /// Whether the same load may succeed later because only the state of the host is at fault: a lock, a full disk, a failing disk.
    pub fn is_transient(&self) -> bool {
        matches!(*self.fault, Fault::Locked(_) | Fault::Full(_) | Fault::Io(_))
    }

    /// Whether a process died during a transaction, so that a process with write access must first roll it back from its journal.
    pub(super) fn needs_rollback(&self) -> bool {
        let source = match self.fault.as_ref() {
            Fault::NotWritable(source) => source.sqlite_error(),
            _ => None,
        };
        source.is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
    }

    /// Whether the error is caused by the rows, rather than by the definition of the target or by its database.
    pub fn is_data(&self) -> bool {
        matches!(*self.fault, Fault::NullKey { .. } | Fault::Unheld { .. } | Fault::Constraint { .. })
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl Error for SqliteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the database's folder cannot be found or created")]
    Folder(#[source] io::Error),
    #[error("another process has locked the database for more than {} s", BUSY_TIMEOUT.as_secs())]
    Locked(#[source] rusqlite::Error),
    #[error("the disk has no room for the database")]
    Full(#[source] rusqlite::Error),
    #[error("the disk of the database has failed")]
    Io(#[source] rusqlite::Error),
    #[error("the database cannot be opened or written; choose a writable file (not a folder) in a writable folder")]
    NotWritable(#[source] rusqlite::Error),
    #[error("the file is not a SQLite database; choose another one, or move it away so that a new one is created")]
    NotADatabase(#[source] rusqlite::Error),
    #[error("the database is damaged; restore it, or move it away so that it is loaded in full")]
    Corrupt(#[source] rusqlite::Error),
    #[error("SQLite rejected a statement")]
    Statement(#[source] rusqlite::Error),

    #[error("table {table:?} is reserved for the record of loads; choose another table")]
    Reserved { table: &'static str },
    #[error("{table:?} is a {kind}, not a table; choose a table")]
    NotATable { table: String, kind: String },
    #[error("SQLite has no type for column {column:?} ({dtype}); leave it out or cast it in the SQL of a model")]
    Type { column: String, dtype: DataType },
    #[error("columns {first:?} and {second:?} are the same in SQLite, which ignores case; rename one in the dataset")]
    Twins { first: String, second: String },
    #[error(
        "column {column:?} of table {table:?} is declared {declared:?}, which cannot hold the dataset's {dtype} without loss; \
         change one of the types, choose another table, or drop this one so that it is loaded in full"
    )]
    Declared { table: String, column: String, declared: String, dtype: DataType },
    #[error("mode \"upsert\" needs a key: none is given for table {table:?}")]
    NoKey { table: String },
    #[error("the dataset has no column {column:?}, which is the key of table {table:?}")]
    NoColumn { table: String, column: String },
    #[error("table {table:?} has no unique index on its key; create one: {sql}")]
    NoUniqueIndex { table: String, sql: String },

    #[error(
        "row {row} of the change has no value in key column {column:?} of table {table:?}; make the column required in the contract"
    )]
    NullKey { table: String, column: String, row: u64 },
    #[error(
        "row {row} of the change has a value in column {column:?} that SQLite cannot keep to the last digit: {value}; \
         cast the column to a double (rounds) or to text in the SQL of a model"
    )]
    Unheld { column: String, row: u64, value: String },
    #[error("row {row} of the change breaks a constraint of table {table:?}")]
    Constraint { table: String, row: u64, source: rusqlite::Error },
    #[error("the rows of the change cannot be read")]
    Frame(#[from] PolarsError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Locked(error),
            Some(ErrorCode::DiskFull) => Fault::Full(error),
            Some(ErrorCode::SystemIoFailure) => Fault::Io(error),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Fault::NotWritable(error)
            }
            Some(ErrorCode::NotADatabase) => Fault::NotADatabase(error),
            Some(ErrorCode::DatabaseCorrupt) => Fault::Corrupt(error),
            _ => Fault::Statement(error),
        }
    }
}
