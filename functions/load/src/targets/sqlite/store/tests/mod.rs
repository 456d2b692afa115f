//! Loads into real files, read back by separate connections.

mod changes;
mod databases;

use std::error::Error;

use polars::prelude::*;
use rusqlite::types::Value;
use tidemark_pipeline::{ColumnName, Destination, Mode};

use super::*;
use crate::targets::folder::Folder;

type Frames = Vec<Result<DataFrame, Failed>>;

/// The caller's error type: errors of the store are converted into it, and errors of the frames have it already.
#[derive(Debug)]
enum Failed {
    Sqlite(SqliteError),
    Lake,
}

impl From<SqliteError> for Failed {
    fn from(error: SqliteError) -> Self {
        Failed::Sqlite(error)
    }
}

/// The message of an error with its causes.
fn message(result: Result<Outcome, Failed>) -> String {
    match result {
        Err(Failed::Sqlite(error)) => {
            let mut text = error.to_string();
            let mut next = error.source();
            while let Some(cause) = next {
                text.push_str(&format!(" <- {cause}"));
                next = cause.source();
            }
            text
        }
        other => panic!("{other:?}"),
    }
}

fn dataset() -> DatasetName {
    "orders".parse().unwrap()
}

fn target(key: &[&str]) -> Sqlite {
    Sqlite {
        name: "sqlite-orders".into(),
        path: String::new(),
        to: Destination {
            dataset: dataset(),
            table: "orders".into(),
            mode: Mode::Upsert,
            key: key.iter().map(|name| name.parse::<ColumnName>().unwrap()).collect(),
        },
    }
}

fn orders(ids: &[i64], status: &[Option<&str>]) -> DataFrame {
    df!("id" => ids, "status" => status).unwrap()
}

fn keys(ids: &[i64]) -> DataFrame {
    df!("id" => ids).unwrap()
}

fn step(
    store: &mut Store,
    target: &Sqlite,
    from: Option<i64>,
    to: i64,
    change: Change<Frames>,
    like: &DataFrame,
) -> Result<Outcome, Failed> {
    step_of("run-1", store, target, (from, to), change, like)
}

fn step_of(
    run_id: &str,
    store: &mut Store,
    target: &Sqlite,
    (previous, version): (Option<i64>, i64),
    change: Change<Frames>,
    like: &DataFrame,
) -> Result<Outcome, Failed> {
    store.load(target, Load { dataset: &dataset(), version, previous, run_id, schema: like.schema(), change })
}

fn upsert(store: &mut Store, from: Option<i64>, to: i64, rows: &DataFrame, gone: &[i64]) -> Result<Outcome, Failed> {
    let change = Change::Upsert { rows: vec![Ok(rows.clone())], deleted_keys: keys(gone) };
    step(store, &target(&["id"]), from, to, change, rows)
}

fn append_of(run_id: &str, store: &mut Store, from: Option<i64>, to: i64, rows: &DataFrame) -> Result<Outcome, Failed> {
    step_of(run_id, store, &target(&[]), (from, to), Change::Append { rows: vec![Ok(rows.clone())] }, rows)
}

fn append(store: &mut Store, from: Option<i64>, to: i64, rows: &DataFrame) -> Result<Outcome, Failed> {
    append_of("run-1", store, from, to, rows)
}

fn swap(
    store: &mut Store,
    from: Option<i64>,
    to: i64,
    rows: &DataFrame,
    partitions: Option<Series>,
) -> Result<Outcome, Failed> {
    step(store, &target(&[]), from, to, Change::Swap { rows: vec![Ok(rows.clone())], partitions }, rows)
}

fn read(path: &Path, sql: &str) -> Vec<Vec<Value>> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let rows = statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

fn texts(path: &Path, sql: &str) -> Vec<String> {
    read(path, sql)
        .into_iter()
        .map(|row| {
            let cells = row.into_iter().map(|cell| match cell {
                Value::Null => "-".to_owned(),
                Value::Integer(value) => value.to_string(),
                Value::Real(value) => format!("{value:?}"),
                Value::Text(value) => value,
                Value::Blob(_) => "blob".to_owned(),
            });
            cells.collect::<Vec<_>>().join("|")
        })
        .collect()
}

fn loaded(inserted: u64, updated: u64, unchanged: u64, deleted: u64) -> Outcome {
    Outcome::Loaded(Loaded { inserted, updated, unchanged, deleted })
}
