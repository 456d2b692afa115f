//! Rows that the database rejects: stored in `tidemark_refused` by the same transaction if the target allows it, else named in an error.

use std::collections::{BTreeSet, HashSet};

use polars::prelude::{DataFrame, PolarsError};
use serde_json::Value;
use tidemark_pipeline::{Budget, DatasetName};
use tidemark_postgres::{Session, Type};

use super::catalog::{create_own_table, exists};
use super::error::LoadFault;
use super::table::Table;
use crate::targets::row_text::{json_row, json_value, named_key};

/// Name of the table of rejected rows.
pub(super) const REFUSED: &str = "tidemark_refused";

/// The rejected rows of one load, and which rejected rows of earlier loads it supersedes.
pub(super) struct RejectedRows {
    key: Vec<String>,
    allows_any: bool,
    max_refused: Budget,
    rows: u64,
    lines: Vec<Line>,
    /// Keys of rows rejected by an earlier load.
    known: HashSet<String>,
    seen: BTreeSet<String>,
    /// Maps lines of a COPY to row numbers: after `line`, the next line is row `number` + 1, or no row of the change if `None`. Ascending.
    shifts: Vec<(u64, Option<u64>)>,
}

/// Number of rejected rows beyond which each one is checked against the limit at once.
const UNCHECKED_ROWS: u64 = 10_000;

struct Line {
    number: u64,
    key: String,
    row: String,
    reason: String,
}

impl RejectedRows {
    /// At most `rows` rows are upserted. `known` are the keys of [`known_keys`].
    pub(super) fn new(table: &Table<'_>, known: HashSet<String>, rows: u64) -> RejectedRows {
        let key = table.key().map(|column| column.name.clone()).collect();
        let max_refused = table.target.max_refused;
        let allows_any = max_refused.limit(u64::MAX) > 0;
        RejectedRows {
            key,
            allows_any,
            max_refused,
            rows,
            lines: Vec::new(),
            known,
            seen: BTreeSet::new(),
            shifts: Vec::new(),
        }
    }

    pub(super) fn allows_any(&self) -> bool {
        self.allows_any
    }

    pub(super) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Starts again with the first row of a COPY: forgets the rows rejected so far.
    pub(super) fn begin(&mut self) {
        self.lines.clear();
        self.shifts.clear();
    }

    /// Notes the key of a row of the change or of a deleted row: an earlier rejected row with this key is superseded.
    pub(super) fn mark_seen(&mut self, frame: &DataFrame, row: usize) -> Result<(), PolarsError> {
        if !self.known.is_empty() {
            let key = self.key_text(frame, row)?;
            if self.known.contains(&key) {
                self.seen.insert(key);
            }
        }
        Ok(())
    }

    /// Rejects a row.
    ///
    /// # Errors
    /// No rows may be rejected, or too many have been.
    pub(super) fn add(
        &mut self,
        frame: &DataFrame,
        row: usize,
        number: u64,
        column: Option<&str>,
        why: String,
    ) -> Result<(), LoadFault> {
        if !self.allows_any {
            let key = named_key(frame, row, &self.key)?;
            return Err(LoadFault::Unrepresentable {
                row: number,
                key,
                column: column.unwrap_or_default().to_owned(),
                why,
            });
        }
        let reason = match column {
            Some(column) => format!("column {column:?} has {why}"),
            None => why,
        };
        let (key, row) = (self.key_text(frame, row)?, Value::Object(json_row(frame, row)?).to_string());
        self.lines.push(Line { number, key, row, reason });
        // fails early, so that a large change is not kept in memory; `rows` is only an estimate if files lack statistics
        if self.len() > UNCHECKED_ROWS { self.check(self.rows.max(number)) } else { Ok(()) }
    }

    /// After `line` lines of a COPY, the next line is row `number` + 1, or no row of the change if `None`.
    pub(super) fn shift(&mut self, line: u64, number: Option<u64>) {
        self.shifts.push((line, number));
    }

    /// The number of the row at a line of a COPY; `None` if the line is not a row of the change.
    pub(super) fn number(&self, line: u64) -> Option<u64> {
        match self.shifts.iter().rev().find(|(before, _)| *before < line) {
            None => Some(line),
            Some((before, number)) => number.map(|number| number + line - before),
        }
    }

    /// `[700017]`
    pub(super) fn key_text(&self, frame: &DataFrame, row: usize) -> Result<String, PolarsError> {
        let values = self.key.iter().map(|name| json_value(frame, name, row));
        Ok(Value::Array(values.collect::<Result<_, PolarsError>>()?).to_string())
    }

    /// Fails if more rows are rejected than allowed.
    pub(super) fn check(&self, rows: u64) -> Result<(), LoadFault> {
        let allowed = self.max_refused;
        match self.lines.first() {
            Some(first) if self.len() > allowed.limit(rows) => Err(LoadFault::TooMany {
                refused: self.len(),
                rows,
                allowed: allowed.to_string(),
                first: format!("row {}: {}", first.number, first.reason),
            }),
            _ => Ok(()),
        }
    }

    /// Stores the rejected rows, replacing earlier ones with the same keys; with `is_rebuild`, all earlier ones of this table.
    pub(super) fn write(
        &mut self,
        session: &Session,
        table: &Table<'_>,
        dataset: &DatasetName,
        version: i64,
        run_id: &str,
        is_rebuild: bool,
    ) -> Result<(), LoadFault> {
        let lines = std::mem::take(&mut self.lines);
        let (kept, of) = (table.sibling(REFUSED), table.target.to.table.as_str());
        let dataset = dataset.as_str();
        if !self.known.is_empty() {
            let over: Vec<&String> = if is_rebuild { self.known.iter().collect() } else { self.seen.iter().collect() };
            session.rows(
                &format!("DELETE FROM {kept} WHERE dataset = $1 AND \"table\" = $2 AND key = ANY ($3)"),
                &[(&dataset, Type::TEXT), (&of, Type::TEXT), (&over, Type::TEXT_ARRAY)],
            )?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        create_own_table(
            session,
            &kept,
            "dataset text NOT NULL, \"table\" text NOT NULL, version bigint NOT NULL, run_id text NOT NULL, key text NOT NULL, \
             \"row\" text NOT NULL, reason text NOT NULL, refused_at timestamptz NOT NULL DEFAULT now()",
        )?;
        let keys: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        let rows: Vec<&str> = lines.iter().map(|line| line.row.as_str()).collect();
        let reasons: Vec<&str> = lines.iter().map(|line| line.reason.as_str()).collect();
        session.rows(
            &format!(
                "INSERT INTO {kept} (dataset, \"table\", version, run_id, key, \"row\", reason) \
                 SELECT $1, $2, $3, $4, * FROM unnest($5, $6, $7)"
            ),
            &[
                (&dataset, Type::TEXT),
                (&of, Type::TEXT),
                (&version, Type::INT8),
                (&run_id, Type::TEXT),
                (&keys, Type::TEXT_ARRAY),
                (&rows, Type::TEXT_ARRAY),
                (&reasons, Type::TEXT_ARRAY),
            ],
        )?;
        Ok(())
    }
}

/// Keys of rows of this table that earlier loads have rejected.
pub(super) fn known_keys(
    session: &Session,
    table: &Table<'_>,
    dataset: &DatasetName,
) -> Result<HashSet<String>, LoadFault> {
    let kept = table.sibling(REFUSED);
    if !exists(session, &kept)? {
        return Ok(HashSet::new());
    }
    let sql = format!("SELECT key FROM {kept} WHERE dataset = $1 AND \"table\" = $2");
    let (dataset, of) = (dataset.as_str(), table.target.to.table.as_str());
    let rows = session.rows(&sql, &[(&dataset, Type::TEXT), (&of, Type::TEXT)])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
