//! The table a dataset is loaded into: made where it is missing, widened by the dataset's new columns, refused where it would not
//! hold what the dataset has. What else the user has in it, or hung on it, is never touched.

use std::collections::BTreeSet;

use polars::prelude::{DataType, Schema};
use tidemark_pipeline::{ColumnName, Mode, Postgres};
use tidemark_postgres::{Fault, Row, Session, SqlState, SqlType, Type, quoted};

use super::column_type::{for_column, holds, takes};
use super::error::LoadFault;
use super::staged::ROW;
use super::wire::Slot;

/// One line per dataset and table: the version the table is at, and what the load that brought it there did.
pub(super) const LOADS: &str = "tidemark_loads";
/// The rows that the database would not take.
pub(super) const REFUSED: &str = "tidemark_refused";

/// Columns that every table has already.
const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Before what several loads make. Two at once would stumble over each other, `IF NOT EXISTS` or not.
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtextextended('tidemark loads', 0))";

/// Where rows go, with its names as SQL has them.
pub(super) struct Table<'a> {
    pub(super) target: &'a Postgres,
    pub(super) schema: String,
    /// `"schema"."table"`
    pub(super) name: String,
    pub(super) oid: u32,
    pub(super) columns: Vec<Column>,
    /// Whether this transaction has made it; it has no key yet then.
    pub(super) is_new: bool,
    /// Whether this transaction has given it columns.
    pub(super) is_wider: bool,
    /// Whether it has no rows.
    pub(super) is_empty: bool,
    /// As many rows as the server thinks it has; none where it has never counted.
    pub(super) rows: Option<u64>,
}

/// A column of the dataset, and the type it has in the table.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql: SqlType,
    pub(super) is_key: bool,
    /// Of a domain, the type it is over: a row of which only the key is known has NULL where the domain may forbid it.
    pub(super) over: Option<String>,
}

/// A column as the server has it.
struct Found {
    name: String,
    sql: Option<SqlType>,
    declared: String,
    over: Option<String>,
    generated: Option<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn slots(&self) -> Vec<Slot<'_>> {
        self.columns.iter().map(Column::slot).collect()
    }

    pub(super) fn key(&self) -> impl Iterator<Item = &Column> + Clone {
        self.columns.iter().filter(|column| column.is_key)
    }

    fn named(target: &'a Postgres, schema: String) -> Table<'a> {
        let name = format!("{}.{}", quoted(&schema), quoted(&target.to.table));
        Table {
            target,
            schema,
            name,
            oid: 0,
            columns: Vec::new(),
            is_new: false,
            is_wider: false,
            is_empty: true,
            rows: None,
        }
    }

    /// Finds it; `false` if it is not there.
    ///
    /// # Errors
    /// Something of its name is no table.
    fn look(&mut self, session: &Session) -> Result<bool, LoadFault> {
        let look = "SELECT c.oid, c.relkind::text, c.reltuples::float8 FROM pg_class c \
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
        let found = session.rows(look, &[(&self.schema, Type::NAME), (&self.target.to.table, Type::NAME)])?;
        let Some(row) = found.first() else { return Ok(false) };
        let kind: String = row.try_get(1)?;
        let what = match kind.as_str() {
            "r" | "p" => None,
            "v" => Some("a view"),
            "m" => Some("a materialized view"),
            "f" => Some("a foreign table"),
            "i" | "I" => Some("an index"),
            "S" => Some("a sequence"),
            "c" => Some("a type"),
            _ => Some("something else"),
        };
        if let Some(kind) = what {
            return Err(LoadFault::NotATable { table: self.name.clone(), kind });
        }
        self.oid = row.try_get(0)?;
        self.rows = Some(row.try_get::<_, f64>(2)?).filter(|rows| *rows >= 0.0).map(|rows| rows as u64);
        Ok(true)
    }

    /// The table as if this column were all it has, and no key.
    pub(super) fn only(&self, column: &str) -> Table<'a> {
        let found = self.columns.iter().filter(|found| found.name == column);
        let columns =
            found.map(|found| Column { name: found.name.clone(), sql: found.sql, is_key: false, over: None }).collect();
        Table { schema: self.schema.clone(), name: self.name.clone(), columns, ..*self }
    }

    /// A table of ours in the same schema.
    pub(super) fn beside(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }
}

impl Column {
    /// As a table beside the target's takes it over.
    pub(super) fn staged(&self) -> String {
        let name = quoted(&self.name);
        self.over.as_ref().map_or(name.clone(), |over| format!("{name}::{over} AS {name}"))
    }

    pub(super) fn slot(&self) -> Slot<'_> {
        Slot { name: &self.name, sql: self.sql, is_key: self.is_key }
    }
}

/// Afterwards the table is there, with every column of the dataset and, for an upsert, a unique key (or none yet, if it is new).
pub(super) fn prepared<'a>(session: &Session, target: &'a Postgres, dataset: &Schema) -> Result<Table<'a>, LoadFault> {
    let wanted = wanted(target, dataset)?;
    let schema = match &target.schema {
        Some(schema) => {
            if session.rows("SELECT FROM pg_namespace WHERE nspname = $1", &[(schema, Type::NAME)])?.is_empty() {
                session.run(&format!("{ALONE}; CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)))?;
            }
            schema.clone()
        }
        None => session.schema()?.to_owned(),
    };
    let mut table = Table::named(target, schema);
    if !table.look(session)? {
        create(session, &mut table, wanted)?;
        return Ok(table);
    }
    widen(session, &mut table, dataset, wanted)?;
    let any = session.rows(&format!("SELECT FROM {} LIMIT 1", table.name), &[])?;
    table.is_empty = any.is_empty();
    Ok(table)
}

/// The table as it is, which has to be there and to have every column.
pub(super) fn found<'a>(session: &Session, target: &'a Postgres, dataset: &Schema) -> Result<Table<'a>, LoadFault> {
    let wanted = wanted(target, dataset)?;
    let schema = target.schema.as_deref().map_or_else(|| session.schema(), Ok)?.to_owned();
    let mut table = Table::named(target, schema);
    table.look(session)?;
    match fit(session, &mut table, dataset, wanted)?.into_iter().next() {
        Some(column) => Err(LoadFault::Lacks { table: table.name, column: column.name }),
        None => Ok(table),
    }
}

/// Whether there is a table (or anything else) of this name, which is as SQL has it.
pub(super) fn is_there(session: &Session, name: &str) -> Result<bool, Fault> {
    let rows = session.rows("SELECT to_regclass($1) IS NOT NULL", &[(&name, Type::TEXT)])?;
    Ok(rows.first().map_or(Ok(false), |row| row.try_get(0))?)
}

/// Whether there is a table of this name, and it has rows.
pub(super) fn has_rows(session: &Session, name: &str) -> Result<bool, Fault> {
    let sql = "SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind IN ('r', 'p')";
    Ok(!session.rows(sql, &[(&name, Type::TEXT)])?.is_empty()
        && !session.rows(&format!("SELECT FROM {name} LIMIT 1"), &[])?.is_empty())
}

/// The dataset's columns with the types they are declared with; what can be refused without a look at the database is.
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
        let reserved = |whose| Err(LoadFault::Reserved { column: name.to_owned(), whose });
        match name {
            _ if SYSTEM.contains(&name) => return reserved("PostgreSQL's"),
            ROW => return reserved("Tidemark's"),
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

/// What a table that this transaction has made still lacks: its key, and the index by which a swap finds its partitions. Made once the
/// rows are there, which is quicker.
pub(super) fn finish(session: &Session, table: &Table<'_>, partition: Option<&str>) -> Result<(), LoadFault> {
    if !table.is_new {
        return Ok(());
    }
    let key: Vec<String> = table.key().map(|column| quoted(&column.name)).collect();
    if !key.is_empty() {
        let made =
            session.run(&format!("SAVEPOINT keying; ALTER TABLE {} ADD PRIMARY KEY ({})", table.name, key.join(", ")));
        match made {
            Err(Fault::Server(error)) if *error.code() == SqlState::UNIQUE_VIOLATION => {
                session.run("ROLLBACK TO SAVEPOINT keying")?;
                return Err(LoadFault::Twice { table: table.name.clone(), key: twins(session, table)? });
            }
            made => made?,
        }
    }
    if let Some(partition) = partition {
        // else every swap of a day would read the table
        session.run(&format!("CREATE INDEX ON {} ({})", table.name, quoted(partition)))?;
    }
    Ok(())
}

/// A key that two rows of the table have: `order_id 17, position 2`.
fn twins(session: &Session, table: &Table<'_>) -> Result<String, LoadFault> {
    let key: Vec<String> = table.key().map(|column| quoted(&column.name)).collect();
    let texts: Vec<String> = key.iter().map(|name| format!("{name}::text")).collect();
    let (key, texts) = (key.join(", "), texts.join(", "));
    let rows =
        session.rows(&format!("SELECT {texts} FROM {} GROUP BY {key} HAVING count(*) > 1 LIMIT 1", table.name), &[])?;
    let Some(row) = rows.first() else { return Ok(String::new()) };
    let part = |(at, column): (usize, &Column)| Ok(format!("{} {}", column.name, shown(row.try_get(at)?)));
    Ok(table.key().enumerate().map(part).collect::<Result<Vec<_>, LoadFault>>()?.join(", "))
}

/// A text of a key, as short and plain as a message needs it.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().take(40).collect()
}

/// Makes a table of ours, if it is not there.
pub(super) fn make_own(session: &Session, name: &str, columns: &str) -> Result<(), Fault> {
    if is_there(session, name)? {
        return Ok(());
    }
    session.run(&format!("{ALONE}; CREATE TABLE IF NOT EXISTS {name} ({columns})"))
}

fn declaration(target: &Postgres, column: &Column) -> String {
    let declared = target.types.iter().find(|(name, _)| name.as_str() == column.name);
    declared.map_or_else(|| column.sql.to_string(), |(_, declared)| declared.to_string())
}

fn widen(session: &Session, table: &mut Table<'_>, dataset: &Schema, wanted: Vec<Column>) -> Result<(), LoadFault> {
    let new = fit(session, table, dataset, wanted)?;
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

/// Gives the table the columns it has of those wanted, with the types they have there; returns those it does not have.
fn fit(
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
            Some(Found { generated: Some(how), .. }) => {
                return Err(LoadFault::Generated { table: table.name.clone(), column: column.name, how });
            }
            Some(Found { sql, declared, over, .. }) => {
                let dtype = dataset.get(&column.name).cloned().unwrap_or(DataType::Null);
                // what was asked for may hold less than all there could be, and then refuses rows
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

fn columns_of(session: &Session, oid: u32) -> Result<Vec<Found>, LoadFault> {
    // of a domain, what it is over
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
        Ok(Found {
            name: row.try_get(0)?,
            sql: SqlType::from_catalog(&name, &kind, row.try_get(3)?),
            declared: row.try_get(4)?,
            over: row.try_get(7)?,
            generated,
        })
    };
    session.rows(sql, &[(&oid, Type::OID)])?.into_iter().map(found).collect()
}

/// A whole, valid, unique index over just the key's columns, in any order.
fn has_unique_key(session: &Session, oid: u32, key: &BTreeSet<&str>) -> Result<bool, LoadFault> {
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
