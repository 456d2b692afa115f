//! Table `tidemark_loads`: the version of each loaded table, stored in the same file as the tables.

use rusqlite::{Connection, OptionalExtension, params};
use tidemark_pipeline::DatasetName;

use super::error::Fault;

/// Name of the table with one row per dataset and table: the version the table is at, and the result of the load that brought it there.
pub(super) const LOADS: &str = "tidemark_loads";

/// The result of a load, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    pub inserted: u64,
    pub updated: u64,
    /// Rows of an upsert that the table had already.
    pub unchanged: u64,
    pub deleted: u64,
}

/// The version the table is at. A table that does not exist has none, so dropping it causes a full load.
pub(super) fn loaded_version(
    connection: &Connection,
    dataset: &DatasetName,
    table: &str,
) -> Result<Option<i64>, Fault> {
    let both: bool = connection.query_row(
        "SELECT count(DISTINCT lower(name)) = 2 FROM sqlite_schema WHERE type = 'table' AND lower(name) IN (?1, lower(?2))",
        params![LOADS, table],
        |row| row.get(0),
    )?;
    if !both {
        return Ok(None);
    }
    let sql = format!("SELECT version FROM {LOADS} WHERE dataset = ?1 AND \"table\" = ?2");
    Ok(connection.query_row(&sql, params![dataset.as_str(), table], |row| row.get(0)).optional()?)
}

/// The result of the load that brought the table to its present version; `None` if another run did that load.
pub(super) fn loaded_by(
    connection: &Connection,
    dataset: &DatasetName,
    table: &str,
    run_id: &str,
) -> Result<Option<Loaded>, Fault> {
    let sql = format!(
        "SELECT inserted, updated, unchanged, deleted FROM {LOADS} WHERE dataset = ?1 AND \"table\" = ?2 AND run_id = ?3"
    );
    let loaded = connection.query_row(&sql, params![dataset.as_str(), table, run_id], |row| {
        let count = |at| row.get(at).map(|count: i64| count as u64);
        Ok(Loaded { inserted: count(0)?, updated: count(1)?, unchanged: count(2)?, deleted: count(3)? })
    });
    Ok(loaded.optional()?)
}

/// Records the version of the table, replacing the previous record; run records keep the history.
pub(super) fn note(
    connection: &Connection,
    dataset: &DatasetName,
    table: &str,
    version: i64,
    run_id: &str,
    loaded: Loaded,
) -> Result<(), Fault> {
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {LOADS} (
           dataset TEXT NOT NULL,
           \"table\" TEXT NOT NULL COLLATE NOCASE,
           version INTEGER NOT NULL,
           run_id TEXT NOT NULL,
           inserted INTEGER NOT NULL,
           updated INTEGER NOT NULL,
           unchanged INTEGER NOT NULL,
           deleted INTEGER NOT NULL,
           PRIMARY KEY (dataset, \"table\")
         )"
    ))?;
    let Loaded { inserted, updated, unchanged, deleted } = loaded;
    connection.execute(
        &format!("INSERT OR REPLACE INTO {LOADS} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        params![
            dataset.as_str(),
            table,
            version,
            run_id,
            inserted as i64,
            updated as i64,
            unchanged as i64,
            deleted as i64
        ],
    )?;
    Ok(())
}
