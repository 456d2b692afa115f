//! An open database, and loads into it. Each load is one transaction.

use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, Schema, Series};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tidemark_pipeline::{DatasetName, Sqlite};

use super::error::{BUSY_TIMEOUT, Fault, SqliteError};
use super::loads::{Loaded, loaded_by, loaded_version, note};
use super::table::Table;
use super::write::Writer;

/// A load that takes a table from one version of its dataset to another.
pub struct Load<'a, R> {
    pub dataset: &'a DatasetName,
    /// The version of the dataset the table is at afterwards.
    pub version: i64,
    /// The version the change starts from, as returned by [`Store::loaded`]; `None` if nothing was loaded before.
    pub previous: Option<i64>,
    pub run_id: &'a str,
    /// The columns of the dataset. The frames of the change have at least these.
    pub schema: &'a Schema,
    pub change: Change<R>,
}

/// The change to make to the table. `R` yields the rows in frames, so that they need not all be in memory.
pub enum Change<R> {
    /// Deletes rows, and inserts or updates rows by the target's key. A row that does not differ is not touched.
    Upsert {
        rows: R,
        /// The key columns of the rows to delete.
        deleted_keys: DataFrame,
    },
    /// Replaces all rows of these partitions, or all rows of the table if the dataset is not partitioned.
    Swap {
        rows: R,
        /// The values of the partition column, possibly with NULL, in a series with its name.
        partitions: Option<Series>,
    },
    Append {
        rows: R,
    },
}

/// How a load ended. Being overtaken by another process is not an error.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Loaded(Loaded),
    /// Another run has loaded this version already; nothing was written.
    AlreadyLoaded,
    /// The table is not at the version the change starts from, because another process loaded it meanwhile.
    /// Nothing was written; plan again.
    Stale,
}

/// An open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the file; creates it and its folder if they are missing.
    ///
    /// The journal mode of the file is not changed (a new file has a rollback journal), and each commit is synced, so a process that is
    /// killed leaves either the whole load or nothing of it.
    pub fn open(path: &Path) -> Result<Store, SqliteError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| SqliteError::at(path, Fault::Folder(error)))?;
        }
        Store::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens the file for reading; `None` if there is none. Changes nothing, except that an unfinished transaction of a killed process is
    /// rolled back, because the file could not be read otherwise.
    pub fn open_existing(path: &Path) -> Result<Option<Store>, SqliteError> {
        if !path.exists() {
            return Ok(None);
        }
        match Store::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(error) if error.needs_rollback() => Store::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
            store => store,
        }
        .map(Some)
    }

    fn connect(path: &Path, mode: OpenFlags) -> Result<Store, SqliteError> {
        let connect = || -> Result<Connection, Fault> {
            // An absolute path is never one of the names with a special meaning to SQLite (``, `:memory:`, `file:`).
            let file = std::path::absolute(path).map_err(Fault::Folder)?;
            let connection = Connection::open_with_flags(file, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.execute_batch("PRAGMA synchronous = FULL")?;
            // SQLite opens any file; only reading shows whether it is a database.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        };
        let connection = connect().map_err(|fault| SqliteError::at(path, fault))?;
        Ok(Store { connection, path: path.to_owned() })
    }

    /// The version of the dataset that the table is at; `None` if it was never loaded, or is no longer there.
    pub fn loaded(&self, dataset: &DatasetName, table: &str) -> Result<Option<i64>, SqliteError> {
        loaded_version(&self.connection, dataset, table).map_err(|fault| SqliteError::at(&self.path, fault))
    }

    /// Takes the table of `target` to the next version, if it is at the previous one. Errors of the frames are returned as they are. After
    /// any error the database is as it was before.
    pub fn load<R, E>(&mut self, target: &Sqlite, load: Load<'_, R>) -> Result<Outcome, E>
    where
        R: IntoIterator<Item = Result<DataFrame, E>>,
        E: From<SqliteError>,
    {
        let path = &self.path;
        let failed = |fault: Fault| E::from(SqliteError::at(path, fault));
        // An immediate transaction, so that the version read next cannot change until the commit.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(error.into()))?;
        let version = loaded_version(&transaction, load.dataset, &target.to.table).map_err(failed)?;
        if version == Some(load.version) {
            // committed by an earlier attempt of the same run, whose answer was lost
            let own = loaded_by(&transaction, load.dataset, &target.to.table, load.run_id).map_err(failed)?;
            return Ok(own.map_or(Outcome::AlreadyLoaded, Outcome::Loaded));
        }
        if version != load.previous {
            return Ok(Outcome::Stale);
        }

        let table = Table::for_change(target, load.schema, &load.change);
        table.prepare(&transaction).map_err(failed)?;
        let mut writer = Writer::new(&transaction, &table);
        match load.change {
            Change::Upsert { rows, deleted_keys: gone } => {
                writer.delete(&gone).map_err(failed)?;
                for frame in rows {
                    writer.upsert(&frame?).map_err(failed)?;
                }
            }
            Change::Swap { rows, partitions } => {
                writer.clear(partitions.as_ref()).map_err(failed)?;
                for frame in rows {
                    writer.insert(&frame?).map_err(failed)?;
                }
            }
            Change::Append { rows } => {
                for frame in rows {
                    writer.insert(&frame?).map_err(failed)?;
                }
            }
        }
        let loaded = writer.loaded();
        note(&transaction, load.dataset, &target.to.table, load.version, load.run_id, loaded).map_err(failed)?;
        transaction.commit().map_err(|error| failed(error.into()))?;
        Ok(Outcome::Loaded(loaded))
    }
}

impl<'a> Table<'a> {
    fn for_change<R>(target: &'a Sqlite, schema: &'a Schema, change: &Change<R>) -> Self {
        let (key, partition) = match change {
            Change::Upsert { .. } => (Some(target.to.key.as_slice()), None),
            Change::Swap { partitions, .. } => (None, partitions.as_ref().map(|values| values.name().clone())),
            Change::Append { .. } => (None, None),
        };
        Table { name: &target.to.table, schema, key, partition }
    }
}

#[cfg(test)]
mod tests;
