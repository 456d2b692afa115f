//! Why files of one shape cannot be files of another.

use std::fmt;

use tidemark_pipeline::ColumnName;

/// What of another shape a table's files cannot follow. Types are named as Delta names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    Type { column: String, table: String, now: String },
    Gone { column: String, table: String },
    Partition { table: Vec<ColumnName>, now: Vec<ColumnName> },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Type { column, table, now } => write!(f, "column {column} from {table} to {now}"),
            Misfit::Gone { column, table } => write!(f, "column {column} ({table}) gone"),
            Misfit::Partition { table, now } => write!(f, "partitions from {} to {}", named(table), named(now)),
        }
    }
}

fn named(columns: &[ColumnName]) -> String {
    match columns {
        [] => "nothing".into(),
        columns => columns.iter().map(ColumnName::as_str).collect::<Vec<_>>().join(", "),
    }
}
