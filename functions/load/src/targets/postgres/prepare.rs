//! Prepares the table for a load: creates it if it is missing, adds the dataset's new columns, and refuses it if it cannot hold the
//! dataset's values.

use std::collections::BTreeSet;

use polars::prelude::{DataType, Schema};
use tidemark_pipeline::{ColumnName, Mode, Postgres};
use tidemark_postgres::{Fault, Session, SqlState, SqlType, Type, quoted};

use super::catalog::{FoundColumn, columns_of, create_schema, has_unique_key};
use super::column_type::{for_column, holds, takes};
use super::error::LoadFault;
use super::table::{Column, ROW, Table};
use crate::targets::row_text::shown;

/// System columns, which every table has.
const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Creates or extends the table. Afterwards it has every column of the dataset and, for an upsert, a unique key; a new table has no
/// key yet.
pub(super) fn prepared<'a>(session: &Session, target: &'a Postgres, dataset: &Schema) -> Result<Table<'a>, LoadFault> {
    let wanted = wanted(target, dataset)?;
    let schema = match &target.schema {
        Some(schema) => {
            create_schema(session, schema)?;
            schema.clone()
        }
        None => session.schema()?.to_owned(),
    };
    let mut table = Table::new(target, schema);
    if !table.find(session)? {
        create(session, &mut table, wanted)?;
        return Ok(table);
    }
    widen(session, &mut table, dataset, wanted)?;
    let any = session.rows(&format!("SELECT FROM {} LIMIT 1", table.name), &[])?;
    table.is_empty = any.is_empty();
    Ok(table)
}

/// The existing table, which must have every column of the dataset.
pub(super) fn existing<'a>(session: &Session, target: &'a Postgres, dataset: &Schema) -> Result<Table<'a>, LoadFault> {
    let wanted = wanted(target, dataset)?;
    let schema = target.schema.as_deref().map_or_else(|| session.schema(), Ok)?.to_owned();
    let mut table = Table::new(target, schema);
    table.find(session)?;
    match take_columns(session, &mut table, dataset, wanted)?.into_iter().next() {
        Some(column) => Err(LoadFault::Lacks { table: table.name, column: column.name }),
        None => Ok(table),
    }
}

/// The dataset's columns with the types they are declared with. Makes all checks that need no access to the database.
fn wanted(target: &Postgres, dataset: &Schema) -> Result<Vec<Column>, LoadFault> {
    let key: &[ColumnName] = match target.to.mode {
        Mode::Upsert => &target.to.key,
        Mode::Swap | Mode::Append => &[],
    };
    let lacks = |column: &ColumnName| !dataset.contains(column.as_str());
    if let Some(column) = key.iter().find(|column| lacks(column)) {
        return Err(LoadFault::NoColumn { table: target.to.table.clone(), column: column.to_string() });
    }
    if let Some(column) = target.types.keys().find(|column| lacks(column)) {
        return Err(LoadFault::NoTyped { column: column.to_string() });
    }
    let column = |name: &str, dtype: &DataType| {
        if name.len() > 63 {
            return Err(LoadFault::LongName { column: name.to_owned() });
        }
        let reserved = |by| Err(LoadFault::Reserved { column: name.to_owned(), by });
        match name {
            _ if SYSTEM.contains(&name) => return reserved("PostgreSQL"),
            ROW => return reserved("Tidemark"),
            _ => {}
        }
        let by_default =
            for_column(dtype).ok_or_else(|| LoadFault::Type { column: name.to_owned(), dtype: dtype.clone() })?;
        let declared = target.types.iter().find(|(column, _)| column.as_str() == name).map(|(_, ty)| ty);
        let sql = declared.map_or(by_default, SqlType::from_declared);
        if !takes(sql, dtype) {
            let declared = declared.map(ToString::to_string).unwrap_or_default();
            let (table, column) = (target.to.table.clone(), name.to_owned());
            return Err(LoadFault::Declared {
                table,
                column,
                declared,
                wanted: by_default,
                dtype: Box::new(dtype.clone()),
            });
        }
        Ok(Column { name: name.to_owned(), sql, is_key: key.iter().any(|column| column.as_str() == name), over: None })
    };
    dataset.iter().map(|(name, dtype)| column(name, dtype)).collect()
}

fn create(session: &Session, table: &mut Table<'_>, wanted: Vec<Column>) -> Result<(), LoadFault> {
    let lines: Vec<String> = wanted
        .iter()
        .map(|column| {
            let required = if column.is_key { " NOT NULL" } else { "" };
            format!("{} {}{required}", quoted(&column.name), declaration(table.target, column))
        })
        .collect();
    session.run(&format!("CREATE TABLE {} (\n  {}\n)", table.name, lines.join(",\n  ")))?;
    let rows = session.rows("SELECT $1::text::regclass::oid", &[(&table.name, Type::TEXT)])?;
    if let Some(row) = rows.first() {
        table.oid = row.try_get(0)?;
    }
    (table.columns, table.is_new) = (wanted, true);
    Ok(())
}

/// Adds the key, and the index for partitions of a swap, to a table that this transaction created. Done after the rows are loaded, which
/// is faster.
pub(super) fn finish(session: &Session, table: &Table<'_>, partition: Option<&str>) -> Result<(), LoadFault> {
    if !table.is_new {
        return Ok(());
    }
    let key: Vec<String> = table.key().map(|column| quoted(&column.name)).collect();
    if !key.is_empty() {
        let created =
            session.run(&format!("SAVEPOINT keying; ALTER TABLE {} ADD PRIMARY KEY ({})", table.name, key.join(", ")));
        match created {
            Err(Fault::Server(error)) if *error.code() == SqlState::UNIQUE_VIOLATION => {
                session.run("ROLLBACK TO SAVEPOINT keying")?;
                return Err(LoadFault::Twice { table: table.name.clone(), key: duplicate_key(session, table)? });
            }
            created => created?,
        }
    }
    if let Some(partition) = partition {
        // without an index every swap of a day would read the whole table
        session.run(&format!("CREATE INDEX ON {} ({})", table.name, quoted(partition)))?;
    }
    Ok(())
}

/// A key that two rows of the table share: `order_id 17, position 2`.
fn duplicate_key(session: &Session, table: &Table<'_>) -> Result<String, LoadFault> {
    let key: Vec<String> = table.key().map(|column| quoted(&column.name)).collect();
    let texts: Vec<String> = key.iter().map(|name| format!("{name}::text")).collect();
    let (key, texts) = (key.join(", "), texts.join(", "));
    let rows =
        session.rows(&format!("SELECT {texts} FROM {} GROUP BY {key} HAVING count(*) > 1 LIMIT 1", table.name), &[])?;
    let Some(row) = rows.first() else { return Ok(String::new()) };
    let part = |(at, column): (usize, &Column)| Ok(format!("{} {}", column.name, shown(row.try_get(at)?)));
    Ok(table.key().enumerate().map(part).collect::<Result<Vec<_>, LoadFault>>()?.join(", "))
}

fn declaration(target: &Postgres, column: &Column) -> String {
    let declared = target.types.iter().find(|(name, _)| name.as_str() == column.name);
    declared.map_or_else(|| column.sql.to_string(), |(_, declared)| declared.to_string())
}

fn widen(session: &Session, table: &mut Table<'_>, dataset: &Schema, wanted: Vec<Column>) -> Result<(), LoadFault> {
    let new = take_columns(session, table, dataset, wanted)?;
    if !new.is_empty() {
        let add =
            |column: &Column| format!("ADD COLUMN {} {}", quoted(&column.name), declaration(table.target, column));
        let added: Vec<String> = new.iter().map(add).collect();
        session.run(&format!("ALTER TABLE {} {}", table.name, added.join(", ")))?;
        table.columns.extend(new);
        table.is_wider = true;
    }
    let key: BTreeSet<&str> = table.key().map(|column| column.name.as_str()).collect();
    if !key.is_empty() && !has_unique_key(session, table.oid, &key)? {
        let listed: Vec<String> = table.target.to.key.iter().map(|column| quoted(column.as_str())).collect();
        let sql = format!("CREATE UNIQUE INDEX ON {} ({})", table.name, listed.join(", "));
        return Err(LoadFault::NoUniqueIndex { table: table.name.clone(), sql });
    }
    Ok(())
}

/// Adds the wanted columns that exist in the database to `table`, with their types there; returns those that do not exist.
fn take_columns(
    session: &Session,
    table: &mut Table<'_>,
    dataset: &Schema,
    wanted: Vec<Column>,
) -> Result<Vec<Column>, LoadFault> {
    let found = columns_of(session, table.oid)?;
    let mut new = Vec::new();
    for mut column in wanted {
        match found.iter().find(|found| found.name == column.name) {
            None => {
                new.push(column);
                continue;
            }
            Some(FoundColumn { generated: Some(how), .. }) => {
                return Err(LoadFault::Generated { table: table.name.clone(), column: column.name, how });
            }
            Some(FoundColumn { sql, declared, over, .. }) => {
                let dtype = dataset.get(&column.name).cloned().unwrap_or(DataType::Null);
                // a declared type may hold fewer values than the dataset's type; then rows are rejected
                let is_asked = table.target.types.keys().any(|name| name.as_str() == column.name);
                match sql.filter(|sql| holds(*sql, &dtype) || (is_asked && takes(*sql, &dtype))) {
                    Some(sql) => (column.sql, column.over) = (sql, over.clone()),
                    None => {
                        let (table, declared) = (table.name.clone(), declared.clone());
                        return Err(LoadFault::Declared {
                            table,
                            column: column.name,
                            declared,
                            wanted: column.sql,
                            dtype: Box::new(dtype),
                        });
                    }
                }
            }
        }
        table.columns.push(column);
    }
    Ok(new)
}
