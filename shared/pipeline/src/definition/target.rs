//! `[[target]]`: databases and reports that datasets are loaded into.

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
    /// Unique within the pipeline; by default `postgres-<table>`, `sqlite-<table>` or `report`.
    pub fn name(&self) -> &str {
        match self {
            Target::Postgres(target) => &target.name,
            Target::Sqlite(target) => &target.name,
            Target::Report(target) => &target.name,
        }
    }

    /// The datasets that it reads.
    pub fn inputs(&self) -> Vec<DatasetName> {
        match self {
            Target::Postgres(target) => vec![target.to.dataset.clone()],
            Target::Sqlite(target) => vec![target.to.dataset.clone()],
            Target::Report(target) => target.inputs.clone(),
        }
    }
}

/// The part that all database targets have: a dataset, and the table for its rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Destination {
    pub dataset: DatasetName,
    pub table: String,
    pub mode: Mode,
    /// Key of an upsert; by default the contract's key.
    pub key: Vec<ColumnName>,
}

/// How changed partitions are written.
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
    /// The database file; created if it does not exist.
    pub path: String,
    #[serde(flatten)]
    pub to: Destination,
}

/// A table of a PostgreSQL database. The names of table and schema are 1 to 63 bytes without NUL.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Postgres {
    /// By default `postgres-<table>`, with `-` for characters other than letters, digits, `-` and `_`.
    pub name: String,
    pub url: PostgresUrl,
    /// `password = { secret = "name" }`
    pub password: Option<SecretName>,
    /// `None`: the connection's default schema (`current_schema()`).
    pub schema: Option<String>,
    #[serde(flatten)]
    pub to: Destination,
    /// Column types that replace those derived from the dataset's types.
    pub types: BTreeMap<ColumnName, PostgresType>,
    /// Maximum rows of one load that the database may reject and that are quarantined; 0 by default.
    pub max_refused: Budget,
    /// Number of connections, 1 to 8; 1 by default.
    pub connections: u8,
    /// Statement timeout in seconds, at most a week; 600 by default.
    pub timeout_s: u64,
}

/// Connection URL of a database; [`crate::postgres::Address`] is its parsed form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PostgresUrl {
    /// A valid URL without a password.
    Text(String),
    /// `url = { secret = "name" }`: checked once the secret is fetched.
    Secret(SecretName),
}

/// PostgreSQL types that must be declared with `types`. `Display` gives the SQL type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresType {
    Json,
    Jsonb,
    Uuid,
    /// Maximum length in characters, 1 to 10,485,760.
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
    /// Whether a column of type `ty` can be stored in this type: each value is unchanged after a round trip (except for the precision of
    /// `real`), or the database rejects it.
    pub fn takes(self, ty: Type) -> bool {
        match self {
            PostgresType::Json | PostgresType::Jsonb | PostgresType::Uuid | PostgresType::Varchar(_) => {
                ty == Type::String
            }
            PostgresType::Smallint | PostgresType::Integer | PostgresType::Bigint => {
                matches!(ty, Type::Int32 | Type::Int64)
            }
            PostgresType::Real => ty == Type::Float64,
            // PostgreSQL silently rounds to the scale
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
