//! Schemas, tables and columns of a database, read from the server's catalogue or created.

use std::collections::BTreeSet;

use tidemark_postgres::{Fault, Row, Session, SqlType, Type, quoted};

/// Taken before creating what several loads share. Concurrent statements would fail in spite of `IF NOT EXISTS`.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('tidemark loads', 0))";

/// A column of a table on the server.
pub(super) struct FoundColumn {
    pub(super) name: String,
    /// `None` if the type cannot hold any column of a dataset.
    pub(super) sql: Option<SqlType>,
    pub(super) declared: String,
    /// The base type, if the column's type is a domain.
    pub(super) over: Option<String>,
    /// The clause by which the database generates the column's values, if it does.
    pub(super) generated: Option<&'static str>,
}

/// Whether there is a table (or any other relation) with this name, which is quoted for SQL.
pub(super) fn exists(session: &Session, name: &str) -> Result<bool, Fault> {
    let rows = session.rows("SELECT to_regclass($1) IS NOT NULL", &[(&name, Type::TEXT)])?;
    Ok(rows.first().map_or(Ok(false), |row| row.try_get(0))?)
}

/// Whether there is a table with this name that has rows.
pub(super) fn has_rows(session: &Session, name: &str) -> Result<bool, Fault> {
    let sql = "SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind IN ('r', 'p')";
    Ok(!session.rows(sql, &[(&name, Type::TEXT)])?.is_empty()
        && !session.rows(&format!("SELECT FROM {name} LIMIT 1"), &[])?.is_empty())
}

/// Creates a schema if it does not exist.
pub(super) fn create_schema(session: &Session, name: &str) -> Result<(), Fault> {
    if session.rows("SELECT FROM pg_namespace WHERE nspname = $1", &[(&name, Type::NAME)])?.is_empty() {
        session.run(&format!("{LOCK}; CREATE SCHEMA IF NOT EXISTS {}", quoted(name)))?;
    }
    Ok(())
}

/// Creates one of Tidemark's own tables if it does not exist.
pub(super) fn create_own_table(session: &Session, name: &str, columns: &str) -> Result<(), Fault> {
    if exists(session, name)? {
        return Ok(());
    }
    session.run(&format!("{LOCK}; CREATE TABLE IF NOT EXISTS {name} ({columns})"))
}

/// The columns of a table.
pub(super) fn columns_of(session: &Session, oid: u32) -> Result<Vec<FoundColumn>, Fault> {
    // for a domain, its base type
    let sql = "SELECT a.attname::text, coalesce(b.typname, t.typname)::text, coalesce(b.typtype, t.typtype)::text, \
               CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END, format_type(a.atttypid, a.atttypmod), \
               a.attgenerated <> '', a.attidentity = 'a', CASE WHEN b.oid IS NOT NULL THEN format_type(b.oid, t.typtypmod) END \
               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype \
               WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";
    let found = |row: Row| {
        let (name, kind): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let generated = match (row.try_get(5)?, row.try_get(6)?) {
            (true, _) => Some("GENERATED ALWAYS AS"),
            (_, true) => Some("GENERATED ALWAYS AS IDENTITY"),
            _ => None,
        };
        Ok(FoundColumn {
            name: row.try_get(0)?,
            sql: SqlType::from_catalog(&name, &kind, row.try_get(3)?),
            declared: row.try_get(4)?,
            over: row.try_get(7)?,
            generated,
        })
    };
    session.rows(sql, &[(&oid, Type::OID)])?.into_iter().map(found).collect()
}

/// Whether there is a valid unique index (not partial) on exactly the key's columns, in any order.
pub(super) fn has_unique_key(session: &Session, oid: u32, key: &BTreeSet<&str>) -> Result<bool, Fault> {
    let sql = "SELECT array_agg(a.attname::text) FROM pg_index i \
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) \
               WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
               GROUP BY i.indexrelid";
    for row in session.rows(sql, &[(&oid, Type::OID)])? {
        let columns: Vec<String> = row.try_get(0)?;
        if columns.iter().map(String::as_str).collect::<BTreeSet<_>>() == *key {
            return Ok(true);
        }
    }
    Ok(false)
}
