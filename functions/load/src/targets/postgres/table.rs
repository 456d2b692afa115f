//! The table a dataset is loaded into. The user's own columns in it, and objects that depend on it, are never touched.

use tidemark_pipeline::Postgres;
use tidemark_postgres::{Session, SqlType, Type, quoted};

use super::error::LoadFault;
use super::wire::Slot;

/// The column of a temporary table that numbers its rows. No column of a dataset may have this name.
pub(super) const ROW: &str = "tidemark_row";

/// The destination of rows. Its names are quoted for SQL.
pub(super) struct Table<'a> {
    pub(super) target: &'a Postgres,
    pub(super) schema: String,
    /// `"schema"."table"`
    pub(super) name: String,
    pub(super) oid: u32,
    pub(super) columns: Vec<Column>,
    /// Whether this transaction created the table; if so, it has no key yet.
    pub(super) is_new: bool,
    /// Whether this transaction added columns to the table.
    pub(super) is_wider: bool,
    /// Whether the table is empty.
    pub(super) is_empty: bool,
    /// The server's estimate of the number of rows; `None` if it has none.
    pub(super) rows: Option<u64>,
}

/// A column of the dataset, and the type it has in the table.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql: SqlType,
    pub(super) is_key: bool,
    /// The base type, if the type is a domain. The staging table uses it, because rows with only a key are NULL where a domain may forbid
    /// it.
    pub(super) over: Option<String>,
}

impl<'a> Table<'a> {
    pub(super) fn slots(&self) -> Vec<Slot<'_>> {
        self.columns.iter().map(Column::slot).collect()
    }

    pub(super) fn key(&self) -> impl Iterator<Item = &Column> + Clone {
        self.columns.iter().filter(|column| column.is_key)
    }

    /// The table before it is looked up: it has no columns yet.
    pub(super) fn new(target: &'a Postgres, schema: String) -> Table<'a> {
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

    /// Looks the table up; returns `false` if it does not exist.
    ///
    /// # Errors
    /// There is a relation of this name that is not a table.
    pub(super) fn find(&mut self, session: &Session) -> Result<bool, LoadFault> {
        let sql = "SELECT c.oid, c.relkind::text, c.reltuples::float8 FROM pg_class c \
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
        let found = session.rows(sql, &[(&self.schema, Type::NAME), (&self.target.to.table, Type::NAME)])?;
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

    /// The table reduced to this column, without a key.
    pub(super) fn only(&self, column: &str) -> Table<'a> {
        let found = self.columns.iter().filter(|found| found.name == column);
        let columns =
            found.map(|found| Column { name: found.name.clone(), sql: found.sql, is_key: false, over: None }).collect();
        Table { schema: self.schema.clone(), name: self.name.clone(), columns, ..*self }
    }

    /// The quoted name of one of Tidemark's own tables in the same schema.
    pub(super) fn sibling(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }
}

impl Column {
    /// The select item that gives a staging table this column.
    pub(super) fn staged(&self) -> String {
        let name = quoted(&self.name);
        self.over.as_ref().map_or(name.clone(), |over| format!("{name}::{over} AS {name}"))
    }

    pub(super) fn slot(&self) -> Slot<'_> {
        Slot { name: &self.name, sql: self.sql, is_key: self.is_key }
    }
}
