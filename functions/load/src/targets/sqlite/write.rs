//! Rows into a table: statements prepared once and fed cell by cell.

use polars::prelude::{Column, DataFrame, PolarsError, Series};
use rusqlite::types::Null;
use rusqlite::{Connection, ErrorCode, Statement};
use tidemark_pipeline::ColumnName;

use super::error::Fault;
use super::loads::Loaded;
use super::table::{Table, listed, quoted};
use crate::targets::cell::Cell;

/// Writes the rows of one change, and counts the results.
pub(super) struct Writer<'t> {
    connection: &'t Connection,
    table: &'t Table<'t>,
    loaded: Loaded,
    /// Number of rows received so far, over all frames.
    rows: u64,
}

impl<'t> Writer<'t> {
    pub(super) fn new(connection: &'t Connection, table: &'t Table<'t>) -> Self {
        Writer { connection, table, loaded: Loaded::default(), rows: 0 }
    }

    pub(super) fn loaded(&self) -> Loaded {
        self.loaded
    }

    /// Deletes the rows with these keys. Their types are those that the dataset had when the rows were loaded.
    pub(super) fn delete(&mut self, gone: &DataFrame) -> Result<(), Fault> {
        let key = self.table.key.unwrap_or_default();
        let conditions: Vec<String> =
            key.iter().enumerate().map(|(at, column)| format!("{} = ?{}", quoted(column.as_str()), at + 1)).collect();
        let sql = format!("DELETE FROM {} WHERE {}", quoted(self.table.name), conditions.join(" AND "));
        let column = |column: &ColumnName| Ok(gone.column(column.as_str())?.as_materialized_series().rechunk());
        let columns = key.iter().map(column).collect::<Result<Vec<_>, PolarsError>>()?;
        let mut statement = self.connection.prepare_cached(&sql)?;
        for row in 0..gone.height() {
            self.bind(&mut statement, &columns, row)?;
            self.loaded.deleted += self.execute(&mut statement, row)?;
        }
        Ok(())
    }

    /// Deletes the rows of these partitions, or all rows.
    pub(super) fn clear(&mut self, partitions: Option<&Series>) -> Result<(), Fault> {
        let table = quoted(self.table.name);
        let Some(partitions) = partitions else {
            self.loaded.deleted += self.connection.execute(&format!("DELETE FROM {table}"), [])? as u64;
            return Ok(());
        };
        let frame = partitions.clone().into_frame();
        let columns = self.columns(&frame, [partitions.name().as_str()])?;
        let sql = format!("DELETE FROM {table} WHERE {} IS ?1", quoted(partitions.name()));
        let mut statement = self.connection.prepare_cached(&sql)?;
        for row in 0..partitions.len() {
            self.bind(&mut statement, &columns, row)?;
            self.loaded.deleted += self.execute(&mut statement, row)?;
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, frame: &DataFrame) -> Result<(), Fault> {
        let columns = self.columns(frame, self.names())?;
        let mut insert = self.connection.prepare_cached(&self.insert_sql())?;
        for row in 0..frame.height() {
            self.bind(&mut insert, &columns, row)?;
            self.loaded.inserted += self.execute(&mut insert, row)?;
        }
        self.rows += frame.height() as u64;
        Ok(())
    }

    /// Runs `INSERT … DO NOTHING`, then an `UPDATE` if that inserted nothing. `DO UPDATE` would do both in one statement, but would not
    /// return which of them it did.
    pub(super) fn upsert(&mut self, frame: &DataFrame) -> Result<(), Fault> {
        let key = self.table.key.unwrap_or_default();
        let columns = self.columns(frame, self.names())?;
        let sql = format!("{} ON CONFLICT ({}) DO NOTHING", self.insert_sql(), listed(key));
        let mut insert = self.connection.prepare_cached(&sql)?;
        let mut update = self.update_sql().map(|sql| self.connection.prepare_cached(&sql)).transpose()?;
        for row in 0..frame.height() {
            self.bind(&mut insert, &columns, row)?;
            if self.execute(&mut insert, row)? == 1 {
                self.loaded.inserted += 1;
                continue;
            }
            let updated = match &mut update {
                Some(update) => {
                    self.bind(update, &columns, row)?;
                    self.execute(update, row)?
                }
                None => 0,
            };
            match updated {
                0 => self.loaded.unchanged += 1,
                _ => self.loaded.updated += 1,
            }
        }
        self.rows += frame.height() as u64;
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.table.schema.iter_names().map(|name| name.as_str())
    }

    fn insert_sql(&self) -> String {
        let columns: Vec<String> = self.names().map(quoted).collect();
        let values: Vec<String> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", quoted(self.table.name), columns.join(", "), values.join(", "))
    }

    /// Updates a row only if it differs, compared byte by byte whatever the collation of the column. `None` if the key columns are the only
    /// columns.
    fn update_sql(&self) -> Option<String> {
        let (mut values, mut keys, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for (at, name) in self.names().enumerate() {
            let (column, at) = (quoted(name), at + 1);
            if self.table.is_key(name) {
                keys.push(format!("{column} = ?{at}"));
            } else {
                values.push(format!("{column} = ?{at}"));
                changes.push(format!("{column} COLLATE BINARY IS NOT ?{at}"));
            }
        }
        let (table, values, keys) = (quoted(self.table.name), values.join(", "), keys.join(" AND "));
        (!changes.is_empty())
            .then(|| format!("UPDATE {table} SET {values} WHERE {keys} AND ({})", changes.join(" OR ")))
    }

    /// The columns of a frame in the order of the statement's parameters, each in one chunk and cast to the dataset's type.
    fn columns<'n>(&self, frame: &DataFrame, names: impl IntoIterator<Item = &'n str>) -> Result<Vec<Series>, Fault> {
        let column = |name: &str| {
            let series = frame.column(name).map(Column::as_materialized_series)?.rechunk();
            match self.table.schema.get(name) {
                Some(dtype) if dtype == series.dtype() => Ok(series),
                _ => Err(Fault::Frame(PolarsError::SchemaMismatch(name.to_owned().into()))),
            }
        };
        names.into_iter().map(column).collect()
    }

    fn bind(&self, statement: &mut Statement<'_>, columns: &[Series], row: usize) -> Result<(), Fault> {
        for (at, column) in columns.iter().enumerate() {
            let at = at + 1;
            let unrepresentable =
                |value: String| Fault::Unheld { column: column.name().to_string(), row: self.number(row), value };
            let beyond = || unrepresentable("a date beyond the years -9999 to 9999".into());
            match Cell::from_value(column.get(row)?).ok_or_else(beyond)? {
                Cell::Null => self.bind_null(statement, at, column, row)?,
                // SQLite has no NaN and stores it as NULL.
                Cell::Float(value) if value.is_nan() => self.bind_null(statement, at, column, row)?,
                Cell::Bool(value) => statement.raw_bind_parameter(at, value)?,
                Cell::Integer(value) => statement.raw_bind_parameter(at, value)?,
                Cell::Float(value) => statement.raw_bind_parameter(at, value)?,
                Cell::Decimal(value) if value.is_exact() => statement.raw_bind_parameter(at, value.to_f64())?,
                Cell::Decimal(value) => return Err(unrepresentable(value.to_string())),
                Cell::Text(value) => statement.raw_bind_parameter(at, value)?,
                Cell::Date(value) => statement.raw_bind_parameter(at, value.to_string())?,
                Cell::Time(value) => statement.raw_bind_parameter(at, value.to_string())?,
                Cell::Datetime(value) => statement.raw_bind_parameter(at, value.fixed())?,
            }
        }
        Ok(())
    }

    fn bind_null(&self, statement: &mut Statement<'_>, at: usize, column: &Series, row: usize) -> Result<(), Fault> {
        if self.table.is_key(column.name()) {
            let (table, column, row) = (self.table.name.into(), column.name().to_string(), self.number(row));
            return Err(Fault::NullKey { table, column, row });
        }
        Ok(statement.raw_bind_parameter(at, Null)?)
    }

    /// The number of rows the statement changed.
    fn execute(&self, statement: &mut Statement<'_>, row: usize) -> Result<u64, Fault> {
        match statement.raw_execute() {
            Ok(changed) => Ok(changed as u64),
            Err(source) if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(Fault::Constraint { table: self.table.name.into(), row: self.number(row), source })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The number of a row, from 1, over all frames of the change.
    fn number(&self, row: usize) -> u64 {
        self.rows + row as u64 + 1
    }
}
