//! The database of a target: how to connect to it, and where the target's table is.

use std::time::Duration;

use tidemark_flow::Secret;
use tidemark_pipeline::postgres::Address;
use tidemark_pipeline::{DatasetName, Mode, Postgres};
use tidemark_postgres::{Fault, Session, quoted};

use super::catalog::{exists, has_rows};
use super::error::{LoadFault, UnknownPassword};
use super::load_state::{LOADS, LoadState};

/// A database that can be connected to.
pub(crate) struct Database<'a> {
    pub(crate) target: &'a Postgres,
    pub(crate) address: Address,
    /// The password, or why it is unknown.
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

    /// The version the table is at; `None` if it was never loaded or no longer exists. Runs one statement, and one more for the schema if
    /// the target names none.
    pub(crate) fn load_state(&self, session: &Session, dataset: &DatasetName) -> Result<Option<LoadState>, LoadFault> {
        let to = self.target.to.table.as_str();
        let (loads, table) = (self.qualified_name(session, LOADS)?, self.qualified_name(session, to)?);
        Ok(LoadState::read(session, (&loads, &table), to, dataset)?)
    }

    /// The quoted name of a table in the target's schema.
    pub(super) fn qualified_name(&self, session: &Session, table: &str) -> Result<String, LoadFault> {
        let schema = self.target.schema.as_deref().map_or_else(|| session.schema(), Ok)?;
        Ok(format!("{}.{}", quoted(schema), quoted(table)))
    }

    /// How rows would be brought into the table in its current state.
    pub(crate) fn path(&self, session: &Session) -> Result<&'static str, LoadFault> {
        let table = self.qualified_name(session, &self.target.to.table)?;
        let is_there = exists(session, &table)?;
        let is_empty = is_there && !has_rows(session, &table)?;
        Ok(path(self.target, is_there, is_empty))
    }
}

/// How rows would be brought into a table, as text for people.
fn path(target: &Postgres, is_there: bool, is_empty: bool) -> &'static str {
    match (target.to.mode, is_there, is_empty) {
        (Mode::Upsert, false, _) => "COPY into a new table, then its key",
        (Mode::Upsert, true, true) => "COPY straight into the empty table",
        (Mode::Upsert, true, false) => "COPY into a temporary table, then MERGE",
        (Mode::Swap, true, false) => "DELETE the partitions, then COPY",
        (Mode::Swap | Mode::Append, ..) => "COPY straight into the table",
    }
}
