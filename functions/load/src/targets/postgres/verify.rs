//! Reads a table row by row, in the binary format in which rows are sent, to compare it with its dataset.

use std::cell::RefCell;
use std::collections::HashSet;
use std::pin::pin;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;
use polars::prelude::{DataFrame, Schema};
use tidemark_pipeline::DatasetName;
use tidemark_postgres::{Session, SqlType, quoted};

use super::catalog::exists;
use super::database::Database;
use super::encode::date_text;
use super::error::LoadFault;
use super::load_state::{LOADS, LoadState};
use super::prepare::existing;
use super::rejected::{RejectedRows, known_keys};
use super::table::{Column, Table};
use super::wire::{HEADER, Rows};
use crate::targets::sums::Sums;

/// The state of a table at one moment, with the schema of the dataset it is compared with.
pub(crate) struct Snapshot<'a> {
    session: Session,
    table: Table<'a>,
    pub(crate) state: LoadState,
    /// Keys of rows that the database rejected.
    refused: HashSet<String>,
    /// Index of the partition column.
    partition: Option<usize>,
    /// The encoded keys of rejected rows, of which the table may have an earlier version. Filled while the dataset's rows are added.
    stale: RefCell<HashSet<Vec<u8>>>,
}

impl<'a> Database<'a> {
    /// Takes a snapshot; `None` if nothing has been loaded yet.
    pub(crate) fn snapshot(
        &self,
        session: Session,
        dataset: &DatasetName,
        schema_at: &dyn Fn(i64) -> Result<(Schema, Option<String>), LoadFault>,
    ) -> Result<Option<Snapshot<'a>>, LoadFault> {
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        if !exists(&session, &self.qualified_name(&session, LOADS)?)? {
            return Ok(None);
        }
        let Some(state) = self.load_state(&session, dataset)? else { return Ok(None) };
        let (schema, partition) = schema_at(state.version)?;
        let table = existing(&session, self.target, &schema)?;
        let refused = known_keys(&session, &table, dataset)?;
        let partition = table.columns.iter().position(|column| Some(&column.name) == partition.as_ref());
        Ok(Some(Snapshot { session, table, state, refused, partition, stale: RefCell::default() }))
    }
}

impl Snapshot<'_> {
    /// Columns of which only NULLs are compared, because the server changes the form of their values.
    pub(crate) fn null_checked(&self) -> Vec<String> {
        let is_null_checked = |sql| matches!(sql, SqlType::Json | SqlType::Jsonb);
        self.table
            .columns
            .iter()
            .filter(|column| is_null_checked(column.sql))
            .map(|column| column.name.clone())
            .collect()
    }

    /// Adds the rows of a frame of the dataset; returns how many of them the database rejected.
    pub(crate) fn add(&self, frame: &DataFrame, sums: &mut Sums) -> Result<u64, LoadFault> {
        let rows = Rows::new(frame, &self.table.slots())?;
        let rejected = RejectedRows::new(&self.table, HashSet::new(), 0);
        let (mut out, mut level, mut refused) = (BytesMut::new(), Vec::new(), 0);
        for row in 0..frame.height() {
            out.clear();
            let is_refused = !self.refused.is_empty() && self.refused.contains(&rejected.key_text(frame, row)?);
            match rows.write(row, None, &mut out) {
                Ok(()) if !is_refused => self.sum(&out, &mut level, sums),
                written => {
                    refused += 1;
                    if written.is_ok() {
                        self.stale.borrow_mut().insert(self.key_of(&out));
                    } else if let Some(key) = self.key_alone(frame, row)? {
                        self.stale.borrow_mut().insert(key);
                    }
                }
            }
        }
        Ok(refused)
    }

    /// Adds all rows of the table.
    pub(crate) fn add_table(&self, sums: &mut Sums) -> Result<(), LoadFault> {
        let columns: Vec<String> = self.table.columns.iter().map(|column| quoted(&column.name)).collect();
        // a partitioned table cannot be copied directly, only a query on it
        let sql = format!("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)", columns.join(", "), self.table.name);
        let stream = self.session.copy_out(&sql)?;
        let mut stream = pin!(stream);
        let (mut left, mut level) = (BytesMut::new(), Vec::new());
        let mut is_begun = false;
        loop {
            let next = async { stream.next().await.transpose() };
            let Some(bytes): Option<Bytes> = self.session.wait(next)? else { return Ok(()) };
            left.extend_from_slice(&bytes);
            if !is_begun {
                if left.len() < HEADER.len() {
                    continue;
                }
                left.advance(HEADER.len());
                is_begun = true;
            }
            while let Some(size) = row_size(&left) {
                let row = left.split_to(size);
                // the table may keep an earlier version of a rejected row
                if self.stale.borrow().is_empty() || !self.stale.borrow().contains(&self.key_of(&row)) {
                    self.sum(&row, &mut level, sums);
                }
            }
        }
    }

    /// Adds a row in the binary format. `level` is a reusable buffer.
    fn sum(&self, row: &[u8], level: &mut Vec<u8>, sums: &mut Sums) {
        level.clear();
        let mut partition = 0..0;
        for (n, (column, value)) in self.table.columns.iter().zip(values(row)).enumerate() {
            level.push(u8::from(value.is_some()));
            let start = level.len();
            if let Some(value) = value {
                write_comparable(column.sql, value, level);
                if Some(n) == self.partition {
                    partition = start..level.len();
                }
            }
        }
        let partition = level.get(partition).unwrap_or_default();
        match sums.get_mut(partition) {
            Some(sum) => sum.add(level),
            None => sums.entry(partition.to_vec()).or_default().add(level),
        }
    }

    /// The encoded key of a row in the binary format.
    fn key_of(&self, row: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        for (column, value) in self.table.columns.iter().zip(values(row)) {
            if let Some(value) = value.filter(|_| column.is_key) {
                write_comparable(column.sql, value, &mut key);
            }
        }
        key
    }

    /// The encoded key of a row that cannot be represented as a whole; `None` if its key cannot be represented either.
    fn key_alone(&self, frame: &DataFrame, row: usize) -> Result<Option<Vec<u8>>, LoadFault> {
        let slots: Vec<_> = self.table.key().map(Column::slot).collect();
        let mut out = BytesMut::new();
        if Rows::new(frame, &slots)?.write(row, None, &mut out).is_err() {
            return Ok(None);
        }
        let mut key = Vec::new();
        for (slot, value) in slots.iter().zip(values(&out)) {
            if let Some(value) = value {
                write_comparable(slot.sql, value, &mut key);
            }
        }
        Ok(Some(key))
    }

    /// The value of a partition as text, for partitions that only the table has.
    pub(crate) fn partition_text(&self, value: &[u8]) -> String {
        let column = self.partition.and_then(|at| self.table.columns.get(at));
        let is_null = value.is_empty();
        // the last four bytes are the length
        let value = value.split_last_chunk::<4>().map_or(value, |(value, _)| value);
        let text = || Some(String::from_utf8(value.to_vec()).ok()?.escape_debug().to_string());
        let text = match column.map(|column| column.sql) {
            None => Some(String::new()),
            Some(_) if is_null => Some("NULL".to_owned()),
            Some(SqlType::Date) => value.try_into().ok().and_then(|days| date_text(i32::from_be_bytes(days))),
            Some(SqlType::Int8) => value.try_into().ok().map(|value| i64::from_be_bytes(value).to_string()),
            Some(SqlType::Int4) => value.try_into().ok().map(|value| i32::from_be_bytes(value).to_string()),
            Some(_) => text(),
        };
        text.unwrap_or_else(|| "another value".to_owned())
    }
}

/// The values of a row in the binary format.
fn values(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let value = usize::try_from(i32::from_be_bytes(*size)).ok().and_then(|size| after.split_at_checked(size));
        rest = value.map_or(after, |(_, rest)| rest);
        Some(value.map(|(value, _)| value))
    })
}

/// Size of the first row in bytes; `None` if it is incomplete, or for the trailer.
fn row_size(bytes: &[u8]) -> Option<usize> {
    let fields = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    let fields = u16::try_from(fields).ok()?;
    let mut at = 2;
    for _ in 0..fields {
        let size = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4 + usize::try_from(size).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
}

/// Writes a value so that values that the server regards as equal have equal bytes. Writes nothing for types whose values the server
/// changes.
fn write_comparable(sql: SqlType, value: &[u8], out: &mut Vec<u8>) {
    match (sql, value) {
        (SqlType::Json | SqlType::Jsonb, _) => return,
        // number of digits, weight, sign, number of digits shown, digits; without the number shown, 1.50 equals 1.5
        (SqlType::Numeric(_), value) => {
            out.extend_from_slice(value.get(..6).unwrap_or_default());
            out.extend_from_slice(value.get(8..).unwrap_or_default());
        }
        (SqlType::Float8, value) => {
            let float = value.try_into().map_or(0.0, f64::from_be_bytes);
            out.extend_from_slice(&if float.is_nan() { f64::NAN } else { float + 0.0 }.to_be_bytes());
        }
        (SqlType::Float4, value) => {
            let float = value.try_into().map_or(0.0, f32::from_be_bytes);
            out.extend_from_slice(&if float.is_nan() { f32::NAN } else { float + 0.0 }.to_be_bytes());
        }
        (_, value) => out.extend_from_slice(value),
    }
    // the length marks the end of the value
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
}
