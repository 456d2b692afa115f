//! Why files with one schema do not fit another schema.

use std::fmt;

use tidemark_pipeline::ColumnName;

/// The difference that makes a table's files incompatible with another schema. Types have Delta's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaMismatch {
    Type { column: String, table: String, now: String },
    Missing { column: String, table: String },
    Partition { table: Vec<ColumnName>, now: Vec<ColumnName> },
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaMismatch::Type { column, table, now } => write!(f, "column {column} from {table} to {now}"),
            SchemaMismatch::Missing { column, table } => write!(f, "column {column} ({table}) removed"),
            SchemaMismatch::Partition { table, now } => {
                write!(f, "partition columns from {} to {}", named(table), named(now))
            }
        }
    }
}

fn named(columns: &[ColumnName]) -> String {
    match columns {
        [] => "nothing".into(),
        columns => columns.iter().map(ColumnName::as_str).collect::<Vec<_>>().join(", "),
    }
}
