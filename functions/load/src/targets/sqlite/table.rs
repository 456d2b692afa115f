//! The table a dataset is loaded into: created if it is missing, extended by the dataset's new columns, and refused if it would not keep
//! the dataset's values. Anything else the user has added to it (columns, indexes, triggers) is never touched.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::{DataType, PlSmallStr, Schema};
use rusqlite::{Connection, OptionalExtension};
use tidemark_pipeline::ColumnName;

use super::error::Fault;
use super::loads::LOADS;
use crate::targets::cell::CellType;

/// Declared type of a column in a table that Tidemark creates.
///
/// A date, time or instant is ISO 8601 text, for which SQLite has functions and whose order is the order in time. A decimal is REAL:
/// SQLite has no decimals, and text could be neither added up nor sorted. A value with more than 15 digits, which a double cannot
/// represent, is refused rather than rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Any,
    Integer,
    Real,
    Text,
    Iso,
}

impl Storage {
    fn from_dtype(dtype: &DataType) -> Option<Storage> {
        Some(match CellType::from_dtype(dtype)? {
            CellType::Null => Storage::Any,
            CellType::Bool | CellType::Integer => Storage::Integer,
            CellType::Float | CellType::Decimal => Storage::Real,
            CellType::Text => Storage::Text,
            CellType::Date | CellType::Time | CellType::Datetime => Storage::Iso,
        })
    }

    fn declaration(self) -> &'static str {
        match self {
            Storage::Any => "",
            Storage::Integer => " INTEGER",
            Storage::Real => " REAL",
            Storage::Text | Storage::Iso => " TEXT",
        }
    }

    /// Whether a column with this affinity returns values of this storage unchanged.
    fn is_kept_by(self, affinity: Affinity) -> bool {
        match (self, affinity) {
            (Storage::Any, _) | (_, Affinity::Blob) => true,
            (Storage::Integer, Affinity::Integer | Affinity::Numeric) => true,
            (Storage::Real, Affinity::Real | Affinity::Numeric) => true,
            (Storage::Text | Storage::Iso, Affinity::Text) => true,
            // `DATE` and `TIMESTAMP` have numeric affinity in SQLite, which converts only texts that are numbers.
            (Storage::Iso, Affinity::Numeric) => true,
            _ => false,
        }
    }
}

/// The type affinity of a column, which converts inserted values:
/// <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    fn from_declared(declared: &str) -> Affinity {
        let declared = declared.to_ascii_uppercase();
        let says = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if says(&["INT"]) {
            Affinity::Integer
        } else if says(&["CHAR", "CLOB", "TEXT"]) {
            Affinity::Text
        } else if declared.is_empty() || says(&["BLOB"]) {
            Affinity::Blob
        } else if says(&["REAL", "FLOA", "DOUB"]) {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

/// The table that a load needs.
pub(super) struct Table<'a> {
    pub(super) name: &'a str,
    pub(super) schema: &'a Schema,
    /// The key for upserts; `None` if rows are not upserted.
    pub(super) key: Option<&'a [ColumnName]>,
    /// The partition column of a swap.
    pub(super) partition: Option<PlSmallStr>,
}

impl Table<'_> {
    /// Creates or extends the table. Afterwards it has every column of the dataset and, for an upsert, a unique key.
    pub(super) fn prepare(&self, connection: &Connection) -> Result<(), Fault> {
        self.check()?;
        let kind: Option<String> = connection
            .query_row(
                "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
                [self.name],
                |row| row.get(0),
            )
            .optional()?;
        match kind.as_deref() {
            None => self.create(connection),
            Some("table") => self.widen(connection),
            Some(kind) => Err(Fault::NotATable { table: self.name.into(), kind: kind.into() }),
        }
    }

    pub(super) fn is_key(&self, column: &str) -> bool {
        self.key.unwrap_or_default().iter().any(|name| name.as_str() == column)
    }

    /// Checks that need no access to the database.
    fn check(&self) -> Result<(), Fault> {
        if self.name.eq_ignore_ascii_case(LOADS) {
            return Err(Fault::Reserved { table: LOADS });
        }
        let mut seen = HashMap::new();
        for (name, dtype) in self.schema.iter() {
            storage(name, dtype)?;
            if let Some(first) = seen.insert(name.to_ascii_lowercase(), name) {
                return Err(Fault::Twins { first: first.to_string(), second: name.to_string() });
            }
        }
        if self.key.is_some_and(<[_]>::is_empty) {
            return Err(Fault::NoKey { table: self.name.into() });
        }
        let mut needed = self.key.unwrap_or_default().iter().map(ColumnName::as_str).chain(self.partition.as_deref());
        match needed.find(|column| !self.schema.contains(column)) {
            Some(column) => Err(Fault::NoColumn { table: self.name.into(), column: column.into() }),
            None => Ok(()),
        }
    }

    fn create(&self, connection: &Connection) -> Result<(), Fault> {
        let mut lines = Vec::with_capacity(self.schema.len() + 1);
        for (name, dtype) in self.schema.iter() {
            let required = if self.is_key(name) { " NOT NULL" } else { "" };
            lines.push(format!("{}{}{required}", quoted(name), storage(name, dtype)?.declaration()));
        }
        if let Some(key) = self.key {
            lines.push(format!("PRIMARY KEY ({})", listed(key)));
        }
        connection.execute_batch(&format!("CREATE TABLE {} (\n  {}\n)", quoted(self.name), lines.join(",\n  ")))?;
        if let Some(partition) = &self.partition {
            // Without an index every swap of a day would read the whole table.
            let index = quoted(&format!("{}_by_{partition}", self.name));
            let sql = format!("CREATE INDEX IF NOT EXISTS {index} ON {} ({})", quoted(self.name), quoted(partition));
            connection.execute_batch(&sql)?;
        }
        Ok(())
    }

    fn widen(&self, connection: &Connection) -> Result<(), Fault> {
        let declared: HashMap<String, String> = connection
            .prepare("SELECT lower(name), type FROM pragma_table_xinfo(?1)")?
            .query_map([self.name], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (name, dtype) in self.schema.iter() {
            let storage = storage(name, dtype)?;
            match declared.get(&name.to_ascii_lowercase()) {
                None => connection.execute_batch(&format!(
                    "ALTER TABLE {} ADD COLUMN {}{}",
                    quoted(self.name),
                    quoted(name),
                    storage.declaration()
                ))?,
                Some(declared) if storage.is_kept_by(Affinity::from_declared(declared)) => {}
                Some(declared) => {
                    return Err(Fault::Declared {
                        table: self.name.into(),
                        column: name.to_string(),
                        declared: declared.clone(),
                        dtype: dtype.clone(),
                    });
                }
            }
        }
        match self.key {
            Some(key) if !has_unique_key(connection, self.name, key)? => {
                let index = quoted(&format!("{}_key", self.name));
                let sql = format!("CREATE UNIQUE INDEX {index} ON {} ({})", quoted(self.name), listed(key));
                Err(Fault::NoUniqueIndex { table: self.name.into(), sql })
            }
            _ => Ok(()),
        }
    }
}

/// Whether there is a primary key or a unique index (not partial) on exactly the key's columns, in any order, as `ON CONFLICT` requires.
fn has_unique_key(connection: &Connection, table: &str, key: &[ColumnName]) -> Result<bool, Fault> {
    let key: BTreeSet<String> = key.iter().map(|column| column.as_str().to_ascii_lowercase()).collect();
    let primary: BTreeSet<String> = connection
        .prepare("SELECT lower(name) FROM pragma_table_xinfo(?1) WHERE pk > 0")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if primary == key {
        return Ok(true);
    }
    let indexes: Vec<String> = connection
        .prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut columns = connection.prepare("SELECT coalesce(lower(name), '') FROM pragma_index_info(?1)")?;
    for index in indexes {
        let indexed: BTreeSet<String> = columns.query_map([index], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if indexed == key {
            return Ok(true);
        }
    }
    Ok(false)
}

fn storage(name: &str, dtype: &DataType) -> Result<Storage, Fault> {
    Storage::from_dtype(dtype).ok_or_else(|| Fault::Type { column: name.into(), dtype: dtype.clone() })
}

/// Quotes an identifier for SQL; any text is safe.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted identifiers, separated by commas.
pub(super) fn listed(columns: &[ColumnName]) -> String {
    columns.iter().map(|column| quoted(column.as_str())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities_follow_the_rules_of_sqlite() {
        for (declared, affinity) in [
            ("INTEGER", Affinity::Integer),
            ("bigint", Affinity::Integer),
            ("VARCHAR(20)", Affinity::Text),
            ("", Affinity::Blob),
            ("double precision", Affinity::Real),
            ("DECIMAL(12,2)", Affinity::Numeric),
            ("DATE", Affinity::Numeric),
            // The rule for INT comes first, and "POINT" contains it.
            ("FLOATING POINT", Affinity::Integer),
        ] {
            assert_eq!(Affinity::from_declared(declared), affinity, "{declared}");
        }
    }

    #[test]
    fn identifiers_cannot_leave_their_quotes() {
        assert_eq!(quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
    }
}
