//! One load, which is one transaction.

use std::collections::HashSet;
use std::time::Duration;

use polars::prelude::{Schema, Series};
use tidemark_flow::Secret;
use tidemark_pipeline::postgres::Address;
use tidemark_pipeline::{DatasetName, Mode, Postgres};
use tidemark_postgres::{Fault, Session, SqlState, ToSql, Type, quoted};

use super::copy::Copy;
use super::error::{LoadFault, UnknownPassword};
use super::parallel::Lanes;
use super::rejected::{self, Aside};
use super::staged::{self, STAGED, Staged, TEMPORARY};
use super::table::{self, LOADS, Table, has_rows, is_there};
use crate::change::{Delta, Deltas};

/// A step from one version of a dataset to another, to be taken by a table.
pub(crate) struct Load<'a> {
    pub(crate) dataset: &'a DatasetName,
    /// The version of the dataset the table is at afterwards.
    pub(crate) version: i64,
    /// The version the change starts from, as [`Database::standing`] gave it; `None` = from nothing.
    pub(crate) previous: Option<i64>,
    /// All rows come again, whatever the table is thought to have.
    pub(crate) is_anew: bool,
    pub(crate) run_id: &'a str,
    pub(crate) schema: &'a Schema,
    /// Rows of an upsert that came with the change, sent or not.
    pub(crate) rows: u64,
    /// What changed; asked for again where rows have to be sent again.
    pub(crate) change: &'a dyn Fn() -> Deltas<'a>,
    /// Of a swap: the values of the partition column (NULL is one too), under its name; without, all of the table is swapped.
    pub(crate) partitions: Option<&'a Series>,
    /// Whether it is time to stop.
    pub(crate) is_late: &'a dyn Fn() -> bool,
}

/// What a load did, in rows of the table, and of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    /// Rows that came and were in the table already.
    pub(crate) unchanged: u64,
    pub(crate) deleted: u64,
    /// Rows the database would not take.
    pub(crate) refused: u64,
}

/// How a load ended. Losing the race to another process is no error.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Loaded(Loaded),
    /// The table is at this version already; nothing was written.
    AlreadyLoaded,
    /// The table is not at the version the change starts from: somebody loaded meanwhile. Nothing was written; look again.
    Stale,
}

/// Where a table is, as far as its loads have noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) version: i64,
    pub(crate) run_id: String,
    pub(crate) loaded: Loaded,
}

/// A database that can be connected to.
pub(crate) struct Database<'a> {
    pub(crate) target: &'a Postgres,
    pub(crate) address: Address,
    /// Or why it is not known.
    pub(crate) password: Result<Option<Secret>, UnknownPassword>,
}

impl Database<'_> {
    pub(crate) fn connect(&self) -> Result<Session, LoadFault> {
        let (password, unknown) = match &self.password {
            Ok(password) => (password.as_ref().map(Secret::expose), None),
            Err(unknown) => (None, Some(unknown)),
        };
        let session = Session::open(&self.address, password, Duration::from_secs(self.target.timeout_s));
        session.map_err(|fault| match (fault, unknown) {
            (Fault::NoPassword, Some(unknown)) => LoadFault::NoPassword(unknown.clone()),
            (fault, _) => fault.into(),
        })
    }

    /// The version the table is at; `None` if it was never loaded, or is no longer there, so that dropping it has it loaded anew. One
    /// statement, and the one that asks for the schema where the target names none.
    pub(crate) fn standing(&self, session: &Session, dataset: &DatasetName) -> Result<Option<Standing>, LoadFault> {
        let to = self.target.to.table.as_str();
        let (loads, table) = (self.named(session, LOADS)?, self.named(session, to)?);
        let sql = format!(
            "SELECT version, run_id, inserted, updated, unchanged, deleted, refused FROM {loads} \
             WHERE dataset = $1 AND \"table\" = $2 AND to_regclass($3) IS NOT NULL"
        );
        let dataset = dataset.as_str();
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&dataset, Type::TEXT), (&to, Type::TEXT), (&table, Type::TEXT)];
        let rows = match session.rows(&sql, &values) {
            // nothing was ever loaded into this schema, or there is none yet
            Err(Fault::Server(error)) if ["42P01", "3F000"].contains(&error.code().code()) => return Ok(None),
            rows => rows?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        let count = |at| Ok::<_, LoadFault>(row.try_get::<_, i64>(at)?.cast_unsigned());
        let loaded = Loaded {
            inserted: count(2)?,
            updated: count(3)?,
            unchanged: count(4)?,
            deleted: count(5)?,
            refused: count(6)?,
        };
        Ok(Some(Standing { version: row.try_get(0)?, run_id: row.try_get(1)?, loaded }))
    }

    /// A table of the target's schema, as SQL has its name.
    pub(super) fn named(&self, session: &Session, table: &str) -> Result<String, LoadFault> {
        let schema = self.target.schema.as_deref().map_or_else(|| session.schema(), Ok)?;
        Ok(format!("{}.{}", quoted(schema), quoted(table)))
    }

    /// By which way rows would come into the table as it is.
    pub(crate) fn path(&self, session: &Session) -> Result<&'static str, LoadFault> {
        let table = self.named(session, &self.target.to.table)?;
        let is_there = is_there(session, &table)?;
        let is_empty = is_there && !has_rows(session, &table)?;
        Ok(staged::path(self.target, is_there, is_empty))
    }

    /// Takes the table to the next version, if it is at the one before. Like every error, one of the frames leaves the database as it
    /// was.
    pub(crate) fn load(&self, session: &Session, load: &Load<'_>) -> Result<Outcome, LoadFault> {
        // read committed, whatever the role's default: what is read after the lock is what the last load has left
        session.run(
            "BEGIN ISOLATION LEVEL READ COMMITTED; \
             SET LOCAL idle_in_transaction_session_timeout = '30min'; \
             SET LOCAL tcp_keepalives_idle = 30; SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3; \
             SET LOCAL client_min_messages = error; SET LOCAL work_mem = '64MB'; SET LOCAL temp_buffers = '64MB'; \
             SET CONSTRAINTS ALL IMMEDIATE",
        )?;
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('tidemark: ' || $1, 0))";
        session.rows(lock, &[(&self.named(session, &self.target.to.table)?, Type::TEXT)])?;
        // a statement that fails would be the end of the transaction
        let standing = match is_there(session, &self.named(session, LOADS)?)? {
            true => self.standing(session, load.dataset)?,
            false => None,
        };
        // of an earlier attempt, the reply to whose commit was lost
        if let Some(own) = standing.as_ref().filter(|standing| standing.run_id == load.run_id) {
            session.run("ROLLBACK")?;
            return Ok(Outcome::Loaded(own.loaded));
        }
        let version = standing.map(|standing| standing.version);
        if version == Some(load.version) && !load.is_anew {
            session.run("ROLLBACK")?;
            return Ok(Outcome::AlreadyLoaded);
        }
        if version != load.previous {
            session.run("ROLLBACK")?;
            return Ok(Outcome::Stale);
        }
        let table = table::prepared(session, self.target, load.schema)?;
        let mut lanes = Lanes::default();
        let loaded = match self.target.to.mode {
            Mode::Upsert => self.upsert(session, &table, load, &mut lanes),
            Mode::Swap | Mode::Append => copied(session, &table, load),
        };
        let loaded =
            loaded.and_then(|loaded| note(session, &table, load, loaded).map(|()| loaded)).inspect_err(|_| {
                if !lanes.is_empty() {
                    // lets go of their tables; that it fails is no news then
                    let _ = session.run("ROLLBACK");
                }
            })?;
        session.run("COMMIT").map_err(|fault| match fault {
            Fault::Silent(time) => LoadFault::Unsure(time),
            fault => fault.into(),
        })?;
        Ok(Outcome::Loaded(loaded))
    }

    /// Straight into the table where it is empty; else beside it first.
    fn upsert(
        &self,
        session: &Session,
        table: &Table<'_>,
        load: &Load<'_>,
        lanes: &mut Lanes,
    ) -> Result<Loaded, LoadFault> {
        let mut aside = Aside::new(table, rejected::known(session, table, load.dataset)?, load.rows);
        let is_whole = load.previous.is_none() || load.is_anew;
        let mut done = match table.is_empty && is_whole {
            true => straight(session, table, load, &mut aside)?,
            false => None,
        };
        if done.is_none() {
            *lanes = Lanes::open(self, table, load.rows, load.run_id)?;
            done = if lanes.is_empty() { None } else { lanes.load(session, table, load, &mut aside)? };
        }
        let (mut loaded, rows) = match done {
            Some(done) => done,
            None => beside(session, table, load, &mut aside)?,
        };
        aside.check(rows)?;
        loaded.refused = aside.len();
        // rows that were not even sent among them; a file may not know how many it has
        loaded.unchanged = load.rows.max(rows).saturating_sub(loaded.inserted + loaded.updated + loaded.refused);
        aside.keep(session, table, load.dataset, load.version, load.run_id, is_whole)?;
        Ok(loaded)
    }
}

/// `None` where the database refuses a row that is not the one to name, or may be put aside: then it has to be found.
fn straight(
    session: &Session,
    table: &Table<'_>,
    load: &Load<'_>,
    aside: &mut Aside,
) -> Result<Option<(Loaded, u64)>, LoadFault> {
    session.run("SAVEPOINT straight")?;
    let sent = copy(session, table, load, None).all(load.change, aside);
    let sent = match sent {
        Err(LoadFault::Row { row, by, .. })
            if aside.allows_any() || row == 0 || *by.code() == SqlState::UNIQUE_VIOLATION =>
        {
            session.run("ROLLBACK TO SAVEPOINT straight")?;
            return Ok(None);
        }
        sent => sent?,
    };
    session.run("RELEASE SAVEPOINT straight")?;
    table::finish(session, table, None)?;
    Ok(Some((Loaded { inserted: sent.taken, ..Loaded::default() }, sent.rows)))
}

fn beside(
    session: &Session,
    table: &Table<'_>,
    load: &Load<'_>,
    aside: &mut Aside,
) -> Result<(Loaded, u64), LoadFault> {
    table::finish(session, table, None)?;
    let staged = Staged::make(session, table)?;
    let sent = copy(session, table, load, Some(&staged)).all(load.change, aside)?;
    staged.analyze(TEMPORARY, sent.taken)?;
    let deleted = if sent.gone > 0 { staged.delete()? } else { 0 };
    let merged = rejected::merge(session, &staged, table, load.change, sent.rows, aside)?;
    let loaded = Loaded { inserted: merged.inserted, updated: merged.updated, deleted, ..Loaded::default() };
    Ok((loaded, sent.rows))
}

/// A swap or an append: rows have no key, and all go straight in.
fn copied(session: &Session, table: &Table<'_>, load: &Load<'_>) -> Result<Loaded, LoadFault> {
    let is_swap = table.target.to.mode == Mode::Swap;
    let deleted = if is_swap && !table.is_new { clear(session, table, load)? } else { 0 };
    let mut aside = Aside::new(table, HashSet::new(), 0);
    let sent = copy(session, table, load, None).all(load.change, &mut aside)?;
    let partition = load.partitions.filter(|_| is_swap).map(|values| values.name().as_str());
    table::finish(session, table, partition)?;
    Ok(Loaded { inserted: sent.taken, unchanged: sent.rows - sent.taken, deleted, ..Loaded::default() })
}

/// Takes out the rows of these partitions, or all rows.
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
    let change = || -> Deltas<'_> { Box::new(std::iter::once(Ok(Delta { came: values.clone(), went: None }))) };
    let statement = format!("COPY pg_temp.{STAGED} FROM STDIN (FORMAT binary)");
    let copy = Copy { session, table: &only, statement, is_staged: false, relation: STAGED, is_late: load.is_late };
    copy.all(&change, &mut Aside::new(&only, HashSet::new(), 0))?;
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

/// Writes down where the table stands: in place of what was written there before, since run records keep the history.
fn note(session: &Session, table: &Table<'_>, load: &Load<'_>, loaded: Loaded) -> Result<(), LoadFault> {
    let loads = table.beside(LOADS);
    table::make_own(
        session,
        &loads,
        "dataset text NOT NULL, \"table\" text NOT NULL, version bigint NOT NULL, run_id text NOT NULL, inserted bigint NOT NULL, \
         updated bigint NOT NULL, unchanged bigint NOT NULL, deleted bigint NOT NULL, refused bigint NOT NULL, \
         loaded_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (dataset, \"table\")",
    )?;
    let Loaded { inserted, updated, unchanged, deleted, refused } = loaded;
    let counts = [inserted, updated, unchanged, deleted, refused].map(u64::cast_signed);
    let (dataset, of) = (load.dataset.as_str(), table.target.to.table.as_str());
    session.rows(
        &format!(
            "INSERT INTO {loads} AS l (dataset, \"table\", version, run_id, inserted, updated, unchanged, deleted, refused) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (dataset, \"table\") DO UPDATE SET \
             (version, run_id, inserted, updated, unchanged, deleted, refused, loaded_at) = (excluded.version, excluded.run_id, \
             excluded.inserted, excluded.updated, excluded.unchanged, excluded.deleted, excluded.refused, now())"
        ),
        &[
            (&dataset, Type::TEXT),
            (&of, Type::TEXT),
            (&load.version, Type::INT8),
            (&load.run_id, Type::TEXT),
            (&counts[0], Type::INT8),
            (&counts[1], Type::INT8),
            (&counts[2], Type::INT8),
            (&counts[3], Type::INT8),
            (&counts[4], Type::INT8),
        ],
    )?;
    Ok(())
}
