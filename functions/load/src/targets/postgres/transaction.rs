//! One load, which is one transaction: it commits the rows and the record of their version, or neither.

use std::collections::HashSet;

use tidemark_pipeline::Mode;
use tidemark_postgres::{Fault, Session, SqlState, Type, quoted};

use super::catalog::exists;
use super::copy::Copy;
use super::database::Database;
use super::error::LoadFault;
use super::halving::merge;
use super::load::{Load, Outcome};
use super::load_state::{LOADS, Loaded, note};
use super::parallel::ParallelConnections;
use super::prepare::{finish, prepared};
use super::rejected::{RejectedRows, known_keys};
use super::staged::{STAGED, Staged, TEMPORARY};
use super::table::Table;
use crate::targets::delta::{Delta, Deltas};

impl Database<'_> {
    /// Takes the table to the next version, if it is at the previous one. After any error, also of the frames, the database is as it was
    /// before.
    pub(crate) fn load(&self, session: &Session, load: &Load<'_>) -> Result<Outcome, LoadFault> {
        // read committed, whatever the role's default, so that reads after the lock see the result of the last load
        session.run(
            "BEGIN ISOLATION LEVEL READ COMMITTED; \
             SET LOCAL idle_in_transaction_session_timeout = '30min'; \
             SET LOCAL tcp_keepalives_idle = 30; SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3; \
             SET LOCAL client_min_messages = error; SET LOCAL work_mem = '64MB'; SET LOCAL temp_buffers = '64MB'; \
             SET CONSTRAINTS ALL IMMEDIATE",
        )?;
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('tidemark: ' || $1, 0))";
        session.rows(lock, &[(&self.qualified_name(session, &self.target.to.table)?, Type::TEXT)])?;
        // checked first, because a failed statement would abort the transaction
        let state = match exists(session, &self.qualified_name(session, LOADS)?)? {
            true => self.load_state(session, load.dataset)?,
            false => None,
        };
        // committed by an earlier attempt of this run, whose reply was lost
        if let Some(own) = state.as_ref().filter(|state| state.run_id == load.run_id) {
            session.run("ROLLBACK")?;
            return Ok(Outcome::Loaded(own.loaded));
        }
        let version = state.map(|state| state.version);
        if version == Some(load.version) && !load.is_rebuild {
            session.run("ROLLBACK")?;
            return Ok(Outcome::AlreadyLoaded);
        }
        if version != load.previous {
            session.run("ROLLBACK")?;
            return Ok(Outcome::Stale);
        }
        let table = prepared(session, self.target, load.schema)?;
        let mut connections = ParallelConnections::default();
        let loaded = match self.target.to.mode {
            Mode::Upsert => self.upsert(session, &table, load, &mut connections),
            Mode::Swap | Mode::Append => load_copied(session, &table, load),
        };
        let loaded = loaded
            .and_then(|loaded| {
                note(session, &table, (load.dataset, load.version, load.run_id), loaded)?;
                Ok(loaded)
            })
            .inspect_err(|_| {
                if !connections.is_empty() {
                    // releases the locks on their tables; the error that led here is reported, not one of the rollback
                    let _ = session.run("ROLLBACK");
                }
            })?;
        session.run("COMMIT").map_err(|fault| match fault {
            Fault::Timeout(time) => LoadFault::Unsure(time),
            fault => fault.into(),
        })?;
        Ok(Outcome::Loaded(loaded))
    }

    /// Loads directly into an empty table; otherwise stages the rows first.
    fn upsert(
        &self,
        session: &Session,
        table: &Table<'_>,
        load: &Load<'_>,
        connections: &mut ParallelConnections,
    ) -> Result<Loaded, LoadFault> {
        let mut rejected = RejectedRows::new(table, known_keys(session, table, load.dataset)?, load.rows);
        let is_whole = load.previous.is_none() || load.is_rebuild;
        let mut done = match table.is_empty && is_whole {
            true => load_directly(session, table, load, &mut rejected)?,
            false => None,
        };
        if done.is_none() {
            *connections = ParallelConnections::open(self, table, load.rows, load.run_id)?;
            done = if connections.is_empty() { None } else { connections.load(session, table, load, &mut rejected)? };
        }
        let (mut loaded, rows) = match done {
            Some(done) => done,
            None => load_staged(session, table, load, &mut rejected)?,
        };
        rejected.check(rows)?;
        loaded.refused = rejected.len();
        // includes rows that were not sent; `load.rows` may be too small if files lack statistics
        loaded.unchanged = load.rows.max(rows).saturating_sub(loaded.inserted + loaded.updated + loaded.refused);
        rejected.write(session, table, load.dataset, load.version, load.run_id, is_whole)?;
        Ok(loaded)
    }
}

/// Loads without staging. `None` if the database rejects a row and staging is needed to find it: because rows may be rejected, or because
/// the error does not identify the row to name.
fn load_directly(
    session: &Session,
    table: &Table<'_>,
    load: &Load<'_>,
    rejected: &mut RejectedRows,
) -> Result<Option<(Loaded, u64)>, LoadFault> {
    session.run("SAVEPOINT straight")?;
    let sent = copy(session, table, load, None).all(load.change, rejected);
    let sent = match sent {
        Err(LoadFault::Row { row, by, .. })
            if rejected.allows_any() || row == 0 || *by.code() == SqlState::UNIQUE_VIOLATION =>
        {
            session.run("ROLLBACK TO SAVEPOINT straight")?;
            return Ok(None);
        }
        sent => sent?,
    };
    session.run("RELEASE SAVEPOINT straight")?;
    finish(session, table, None)?;
    Ok(Some((Loaded { inserted: sent.taken, ..Loaded::default() }, sent.rows)))
}

fn load_staged(
    session: &Session,
    table: &Table<'_>,
    load: &Load<'_>,
    rejected: &mut RejectedRows,
) -> Result<(Loaded, u64), LoadFault> {
    finish(session, table, None)?;
    let staged = Staged::create(session, table)?;
    let sent = copy(session, table, load, Some(&staged)).all(load.change, rejected)?;
    staged.analyze(TEMPORARY, sent.taken)?;
    let deleted = if sent.deleted > 0 { staged.delete()? } else { 0 };
    let merged = merge(session, &staged, table, load.change, sent.rows, rejected)?;
    let loaded = Loaded { inserted: merged.inserted, updated: merged.updated, deleted, ..Loaded::default() };
    Ok((loaded, sent.rows))
}

/// A swap or an append: rows have no key and are all loaded directly.
fn load_copied(session: &Session, table: &Table<'_>, load: &Load<'_>) -> Result<Loaded, LoadFault> {
    let is_swap = table.target.to.mode == Mode::Swap;
    let deleted = if is_swap && !table.is_new { clear(session, table, load)? } else { 0 };
    let mut rejected = RejectedRows::new(table, HashSet::new(), 0);
    let sent = copy(session, table, load, None).all(load.change, &mut rejected)?;
    let partition = load.partitions.filter(|_| is_swap).map(|values| values.name().as_str());
    finish(session, table, partition)?;
    Ok(Loaded { inserted: sent.taken, unchanged: sent.rows - sent.taken, deleted, ..Loaded::default() })
}

/// Deletes the rows of the load's partitions, or all rows.
fn clear(session: &Session, table: &Table<'_>, load: &Load<'_>) -> Result<u64, LoadFault> {
    let Some(values) = load.partitions else {
        return Ok(session.change(&format!("DELETE FROM {}", table.name))?);
    };
    let column = values.name().as_str();
    session.run(&format!(
        "CREATE TEMPORARY TABLE {STAGED} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA",
        quoted(column),
        table.name
    ))?;
    let (only, has_null) = (table.only(column), values.null_count() > 0);
    let values = values.clone().into_frame();
    let change = || -> Deltas<'_> { Box::new(std::iter::once(Ok(Delta { upserts: values.clone(), deletes: None }))) };
    let statement = format!("COPY pg_temp.{STAGED} FROM STDIN (FORMAT binary)");
    let copy = Copy { session, table: &only, statement, is_staged: false, relation: STAGED, is_late: load.is_late };
    copy.all(&change, &mut RejectedRows::new(&only, HashSet::new(), 0))?;
    let (name, column) = (&table.name, quoted(column));
    let named = session
        .change(&format!("DELETE FROM {name} AS t USING pg_temp.{STAGED} AS s WHERE t.{column} = s.{column}"))?;
    let nameless = match has_null {
        true => session.change(&format!("DELETE FROM {name} WHERE {column} IS NULL"))?,
        false => 0,
    };
    session.run(&format!("DROP TABLE pg_temp.{STAGED}"))?;
    Ok(named + nameless)
}

fn copy<'a>(session: &'a Session, table: &'a Table<'a>, load: &'a Load<'_>, staged: Option<&Staged<'_>>) -> Copy<'a> {
    let straight = || {
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, columns.join(", "))
    };
    let (statement, relation) = match staged {
        Some(staged) => (staged.copy_statement(TEMPORARY), STAGED),
        None => (straight(), table.target.to.table.as_str()),
    };
    Copy { session, table, statement, is_staged: staged.is_some(), relation, is_late: load.is_late }
}
