//! Where datasets go.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::budget::Budget;
use super::column::Type;
use super::report::Report;
use crate::name::{ColumnName, DatasetName, SecretName};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Target {
    Postgres(Postgres),
    Sqlite(Sqlite),
    Report(Report),
}

impl Target {
    /// Unique within the pipeline; `name` in the file, else `postgres-<table>`, `sqlite-<table>` or `report`.
    pub fn name(&self) -> &str {
        match self {
            Target::Postgres(target) => &target.name,
            Target::Sqlite(target) => &target.name,
            Target::Report(target) => &target.name,
        }
    }

    pub fn inputs(&self) -> Vec<DatasetName> {
        match self {
            Target::Postgres(target) => vec![target.to.dataset.clone()],
            Target::Sqlite(target) => vec![target.to.dataset.clone()],
            Target::Report(target) => target.inputs.clone(),
        }
    }
}

/// What both databases have: the rows of a dataset into a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Destination {
    pub dataset: DatasetName,
    pub table: String,
    pub mode: Mode,
    /// Key of an upsert; the contract's key by default.
    pub key: Vec<ColumnName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Upsert,
    Swap,
    Append,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sqlite {
    pub name: String,
    /// The database file; created if absent.
    pub path: String,
    #[serde(flatten)]
    pub to: Destination,
}

/// A table of a PostgreSQL database. Its name and its schema's may be any text of 1 to 63 bytes without NUL.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Postgres {
    /// `postgres-<table>` by default, with `-` for what is no letter, digit, `-` or `_`.
    pub name: String,
    pub url: PostgresUrl,
    /// `password = { secret = "name" }`
    pub password: Option<SecretName>,
    /// `None` means the connection's default schema (`current_schema()`).
    pub schema: Option<String>,
    #[serde(flatten)]
    pub to: Destination,
    /// Columns whose type in the table is not the one that follows from the dataset's.
    pub types: BTreeMap<ColumnName, PostgresType>,
    /// Rows of one load that the database may refuse, which then go to quarantine; none by default.
    pub max_refused: Budget,
    /// 1 to 8; 1 by default.
    pub connections: u8,
    /// Seconds of one statement at most, up to a week; 600 by default.
    pub timeout_s: u64,
}

/// Where a database is; [`crate::postgres::Address`] is what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PostgresUrl {
    /// Checked, and without a password in it.
    Text(String),
    /// `url = { secret = "name" }`: checked when the secret is fetched.
    Secret(SecretName),
}

/// Types of PostgreSQL that a column is only given when asked for. `Display` is the type in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresType {
    Json,
    Jsonb,
    Uuid,
    /// Characters, 1 to 10,485,760.
    Varchar(u32),
    Smallint,
    Integer,
    Bigint,
    Real,
    /// 1 ≤ precision ≤ 1000, scale ≤ precision.
    Numeric {
        precision: u16,
        scale: u16,
    },
}

impl PostgresType {
    /// Whether values of a column's type can be told in this one: each of them is equal after the round trip (but for the
    /// digits that `real` has not), or refused by the database.
    pub fn takes(self, ty: Type) -> bool {
        match self {
            PostgresType::Json | PostgresType::Jsonb | PostgresType::Uuid | PostgresType::Varchar(_) => {
                ty == Type::String
            }
            PostgresType::Smallint | PostgresType::Integer | PostgresType::Bigint => {
                matches!(ty, Type::Int32 | Type::Int64)
            }
            PostgresType::Real => ty == Type::Float64,
            // PostgreSQL rounds to the scale without a word
            PostgresType::Numeric { scale, .. } => match ty {
                Type::Int32 | Type::Int64 => true,
                Type::Decimal { scale: least, .. } => scale >= u16::from(least),
                _ => false,
            },
        }
    }
}

impl fmt::Display for PostgresType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostgresType::Json => f.write_str("json"),
            PostgresType::Jsonb => f.write_str("jsonb"),
            PostgresType::Uuid => f.write_str("uuid"),
            PostgresType::Varchar(length) => write!(f, "varchar({length})"),
            PostgresType::Smallint => f.write_str("smallint"),
            PostgresType::Integer => f.write_str("integer"),
            PostgresType::Bigint => f.write_str("bigint"),
            PostgresType::Real => f.write_str("real"),
            PostgresType::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
        }
    }
}

impl Serialize for PostgresType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
