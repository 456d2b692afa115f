//! Several connections that send the rows of one load at once, each into its own staging table. The rows take effect only when the one
//! transaction of the load merges them into the target's table.

use std::collections::BTreeMap;

use tidemark_postgres::{Session, Type, is_row_error};

use super::copy::{Copy, Line};
use super::database::Database;
use super::error::LoadFault;
use super::load::Load;
use super::load_state::Loaded;
use super::rejected::RejectedRows;
use super::staged::{Merged, STAGED, Staged, StagedRange, is_duplicate_match};
use super::table::{Column, ROW, Table};

/// Minimum number of rows for which several connections are faster than one.
const MIN_ROWS: u64 = 50_000;

/// The additional connections of a load and their staging tables. Dropping this drops the tables; that must be after the load's
/// transaction, which reads them.
#[derive(Default)]
pub(super) struct ParallelConnections {
    /// Each connection with the name of its table.
    connections: Vec<(Session, String)>,
}

impl Drop for ParallelConnections {
    fn drop(&mut self) {
        for (session, name) in &self.connections {
            if let Err(fault) = session.run(&format!("DROP TABLE IF EXISTS {name}")) {
                tracing::warn!(
                    table = name,
                    error = fault.to_string(),
                    "a staging table was not dropped; the next load drops it"
                );
            }
        }
    }
}

impl ParallelConnections {
    /// Opens the connections if the target asks for more than one, there are enough rows, and this transaction has neither created nor
    /// extended the table.
    pub(super) fn open(
        database: &Database<'_>,
        table: &Table<'_>,
        rows: u64,
        run_id: &str,
    ) -> Result<ParallelConnections, LoadFault> {
        let mut opened = ParallelConnections::default();
        let connections = database.target.connections;
        if connections < 2 || table.is_new || table.is_wider || rows < MIN_ROWS {
            return Ok(opened);
        }
        let columns: Vec<String> = table.columns.iter().map(Column::staged).collect();
        let hash =
            |text: &str| text.bytes().fold(0_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        // names contain the run, so that a leftover connection of an earlier load cannot drop the tables of the next one
        let stem = format!("{STAGED}_{:08x}_", hash(&table.name));
        for number in 0..connections {
            let name = table.sibling(&format!("{stem}{:08x}_{number}", hash(run_id)));
            let session = database.connect()?;
            session.run("SET lock_timeout = '10s'; SET client_min_messages = error")?;
            if number == 0 {
                clean(&session, table, &stem)?;
            }
            session.run(&format!(
                "CREATE UNLOGGED TABLE {name} AS SELECT 0::bigint AS {ROW}, {} FROM {} WITH NO DATA",
                columns.join(", "),
                table.name
            ))?;
            opened.connections.push((session, name));
        }
        Ok(opened)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Sends and merges all rows. `None` if the database rejects a row: it can be found only over a single connection.
    pub(super) fn load(
        &self,
        session: &Session,
        table: &Table<'_>,
        load: &Load<'_>,
        rejected: &mut RejectedRows,
    ) -> Result<Option<(Loaded, u64)>, LoadFault> {
        session.run("SAVEPOINT parallel")?;
        let done = match self.attempt(session, table, load, rejected) {
            Err(fault) if fault.server().is_some_and(|error| is_row_error(error) || is_duplicate_match(error)) => None,
            done => Some(done?),
        };
        if done.is_none() {
            session.run("ROLLBACK TO SAVEPOINT parallel")?;
        }
        Ok(done)
    }

    fn attempt(
        &self,
        session: &Session,
        table: &Table<'_>,
        load: &Load<'_>,
        rejected: &mut RejectedRows,
    ) -> Result<(Loaded, u64), LoadFault> {
        let tables: Vec<String> = self.connections.iter().map(|(_, name)| format!("SELECT * FROM {name}")).collect();
        let staged = Staged::new(session, table, format!("({})", tables.join(" UNION ALL ")))?;
        let mut lines = Vec::new();
        for (session, name) in &self.connections {
            lines.push(Line::open(session, &staged.copy_statement(name))?);
        }
        let copy =
            Copy { session, table, statement: String::new(), is_staged: true, relation: STAGED, is_late: load.is_late };
        let sent = copy.send(&mut lines, (load.change)(), rejected, &BTreeMap::new())?;
        let names: Vec<&str> = self.connections.iter().map(|(_, name)| name.as_str()).collect();
        staged.analyze(&names.join(", "), sent.taken)?;
        let deleted = if sent.deleted > 0 { staged.delete()? } else { 0 };
        let Merged { inserted, updated } = staged.merge(&StagedRange::All)?;
        Ok((Loaded { inserted, updated, deleted, ..Loaded::default() }, sent.rows))
    }
}

/// Drops tables left by killed loads of this table. Those that cannot be dropped now are left to the next load.
fn clean(session: &Session, table: &Table<'_>, stem: &str) -> Result<(), LoadFault> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND starts_with(c.relname::text, $2) AND c.relkind = 'r'";
    for row in session.rows(sql, &[(&table.schema, Type::NAME), (&stem, Type::TEXT)])? {
        let name: String = row.try_get(0)?;
        if let Err(fault) = session.run(&format!("DROP TABLE IF EXISTS {}", table.sibling(&name))) {
            tracing::debug!(
                table = name,
                error = fault.to_string(),
                "a staging table of an earlier load was not dropped"
            );
        }
    }
    Ok(())
}
