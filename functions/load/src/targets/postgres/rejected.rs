//! Rows the database does not take: found by halves, put aside into `tidemark_refused` in the same transaction where the target
//! allows it, else named.

use std::collections::{BTreeSet, HashSet};

use polars::prelude::{DataFrame, PolarsError};
use serde_json::{Map, Value};
use tidemark_pipeline::{Budget, DatasetName};
use tidemark_postgres::{DbError, Fault, Session, Type, is_of_a_row, server_message};

use super::copy::sorted;
use super::error::LoadFault;
use super::staged::{Merged, Part, Staged};
use super::table::{REFUSED, Table, is_there, make_own, shown};
use crate::change::{Delta, Deltas};
use crate::targets::cell::Cell;

/// Rows put aside, and those put aside before that are heard of again.
pub(super) struct Aside {
    key: Vec<String>,
    allows_any: bool,
    max_refused: Budget,
    rows: u64,
    lines: Vec<Line>,
    /// Keys that have a line from an earlier load.
    known: HashSet<String>,
    met: BTreeSet<String>,
    /// From which line of a COPY on its lines are rows of another number, or no rows of the change: (line, number), rising.
    shifts: Vec<(u64, Option<u64>)>,
}

/// So many may be kept before they are looked at.
const KEPT: u64 = 10_000;

struct Line {
    number: u64,
    key: String,
    row: String,
    reason: String,
}

impl Aside {
    /// `rows`: at most so many come.
    pub(super) fn new(table: &Table<'_>, known: HashSet<String>, rows: u64) -> Aside {
        let key = table.key().map(|column| column.name.clone()).collect();
        let max_refused = table.target.max_refused;
        let allows_any = max_refused.most(u64::MAX) > 0;
        Aside { key, allows_any, max_refused, rows, lines: Vec::new(), known, met: BTreeSet::new(), shifts: Vec::new() }
    }

    pub(super) fn allows_any(&self) -> bool {
        self.allows_any
    }

    pub(super) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// A COPY begins, and puts aside from its first row on.
    pub(super) fn begin(&mut self) {
        self.lines.clear();
        self.shifts.clear();
    }

    /// A row of the change, or the key of one that went: what was put aside under its key is over.
    pub(super) fn meet(&mut self, frame: &DataFrame, row: usize) -> Result<(), PolarsError> {
        if !self.known.is_empty() {
            let key = self.key_text(frame, row)?;
            if self.known.contains(&key) {
                self.met.insert(key);
            }
        }
        Ok(())
    }

    /// Puts a row aside.
    ///
    /// # Errors
    /// None may be.
    pub(super) fn put(
        &mut self,
        frame: &DataFrame,
        row: usize,
        number: u64,
        column: Option<&str>,
        why: String,
    ) -> Result<(), LoadFault> {
        if !self.allows_any {
            let key = named(frame, row, &self.key)?;
            return Err(LoadFault::Unheld { row: number, key, column: column.unwrap_or_default().to_owned(), why });
        }
        let reason = match column {
            Some(column) => format!("column {column:?} has {why}"),
            None => why,
        };
        let (key, row) = (self.key_text(frame, row)?, Value::Object(json(frame, row)?).to_string());
        self.lines.push(Line { number, key, row, reason });
        // so that not all of a large change is kept, only to be too many in the end; how many come is a guess of files without statistics
        if self.len() > KEPT { self.check(self.rows.max(number)) } else { Ok(()) }
    }

    /// After `line` lines of a COPY the next is row `number` + 1, or no row of the change.
    pub(super) fn shift(&mut self, line: u64, number: Option<u64>) {
        self.shifts.push((line, number));
    }

    /// The number of the row that is the n-th line of a COPY, if it is one.
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

    /// Whether no more are put aside than may be.
    pub(super) fn check(&self, rows: u64) -> Result<(), LoadFault> {
        let allowed = self.max_refused;
        match self.lines.first() {
            Some(first) if self.len() > allowed.most(rows) => Err(LoadFault::TooMany {
                refused: self.len(),
                rows,
                allowed: allowed.to_string(),
                first: format!("row {}: {}", first.number, first.reason),
            }),
            _ => Ok(()),
        }
    }

    /// Writes down what is put aside, in place of what was under the same keys; `is_anew`: in place of all there is of this table.
    pub(super) fn keep(
        &mut self,
        session: &Session,
        table: &Table<'_>,
        dataset: &DatasetName,
        version: i64,
        run_id: &str,
        is_anew: bool,
    ) -> Result<(), LoadFault> {
        let lines = std::mem::take(&mut self.lines);
        let (kept, of) = (table.beside(REFUSED), table.target.to.table.as_str());
        let dataset = dataset.as_str();
        if !self.known.is_empty() {
            let over: Vec<&String> = if is_anew { self.known.iter().collect() } else { self.met.iter().collect() };
            session.rows(
                &format!("DELETE FROM {kept} WHERE dataset = $1 AND \"table\" = $2 AND key = ANY ($3)"),
                &[(&dataset, Type::TEXT), (&of, Type::TEXT), (&over, Type::TEXT_ARRAY)],
            )?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        make_own(
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

/// Keys of rows of this table that an earlier load has put aside.
pub(super) fn known(session: &Session, table: &Table<'_>, dataset: &DatasetName) -> Result<HashSet<String>, LoadFault> {
    let kept = table.beside(REFUSED);
    if !is_there(session, &kept)? {
        return Ok(HashSet::new());
    }
    let sql = format!("SELECT key FROM {kept} WHERE dataset = $1 AND \"table\" = $2");
    let (dataset, of) = (dataset.as_str(), table.target.to.table.as_str());
    let rows = session.rows(&sql, &[(&dataset, Type::TEXT), (&of, Type::TEXT)])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Merges what is staged; where the database refuses a row, by halves, until those are left that it refuses.
pub(super) fn merge<'f>(
    session: &Session,
    staged: &Staged<'_>,
    table: &Table<'_>,
    change: &dyn Fn() -> Deltas<'f>,
    rows: u64,
    aside: &mut Aside,
) -> Result<Merged, LoadFault> {
    // beyond this there is no hope; none may be: one is enough to name it
    let most = table.target.max_refused.most(rows).max(1);
    let mut halving = Halving { session, staged, most, refused: Vec::new() };
    let mut merged = Merged::default();
    session.run("SAVEPOINT merging")?;
    match staged.merge(&Part::All) {
        Ok(whole) => {
            session.run("RELEASE SAVEPOINT merging")?;
            return Ok(whole);
        }
        Err(fault) => {
            let Some(by) = fault.server().filter(|error| is_of_a_row(error) || is_twice(error)).cloned() else {
                return Err(fault.into());
            };
            session.run("ROLLBACK TO SAVEPOINT merging")?;
            if let Some(row) = staged.twins()? {
                let key = key_of(change(), table, row)?.unwrap_or_default();
                return Err(LoadFault::Twice { table: table.name.clone(), key });
            }
            if is_twice(&by) {
                return Err(fault.into());
            }
        }
    }
    halving.settle(&Part::Pages(0, staged.pages()?), &mut merged)?;
    let refused = std::mem::take(&mut halving.refused);
    if !aside.allows_any {
        return match refused.into_iter().next() {
            Some((row, by)) => Err(LoadFault::Row { row, key: key_of(change(), table, row)?, by }),
            None => Ok(merged),
        };
    }
    put_aside(
        change(),
        table,
        aside,
        &refused.into_iter().map(|(row, by)| (row, server_message(&by))).collect::<Vec<_>>(),
    )?;
    Ok(merged)
}

/// A MERGE that meets a row of the table twice.
pub(super) fn is_twice(error: &DbError) -> bool {
    error.code().code() == "21000"
}

struct Halving<'a> {
    session: &'a Session,
    staged: &'a Staged<'a>,
    most: u64,
    refused: Vec<(u64, Box<DbError>)>,
}

impl Halving<'_> {
    fn settle(&mut self, part: &Part, merged: &mut Merged) -> Result<(), Fault> {
        self.session.run("SAVEPOINT half")?;
        let by = match self.staged.merge(part) {
            Ok(more) => {
                self.session.run("RELEASE SAVEPOINT half")?;
                merged.inserted += more.inserted;
                merged.updated += more.updated;
                return Ok(());
            }
            Err(fault) => match fault.server().filter(|error| is_of_a_row(error)) {
                Some(by) => by.clone(),
                None => return Err(fault),
            },
        };
        self.session.run("ROLLBACK TO SAVEPOINT half; RELEASE SAVEPOINT half")?;
        for half in self.halves(part, by)? {
            if self.refused.len() as u64 <= self.most {
                self.settle(&half, merged)?;
            }
        }
        Ok(())
    }

    /// The halves of a part that is refused; none of one row, which is noted.
    fn halves(&mut self, part: &Part, by: DbError) -> Result<Vec<Part>, Fault> {
        let rows = match part {
            Part::Pages(from, to) if to - from > 1 => {
                let middle = from + (to - from) / 2;
                return Ok(vec![Part::Pages(*from, middle), Part::Pages(middle, *to)]);
            }
            part => self.staged.places(part)?,
        };
        if rows.is_empty() {
            // whatever the rows are: a trigger of the statement
            return Err(Fault::Server(Box::new(by)));
        }
        if let [(_, number)] = rows.as_slice() {
            self.refused.push((*number, Box::new(by)));
            return Ok(Vec::new());
        }
        let (left, right) = rows.split_at(rows.len() / 2);
        let part = |rows: &[(String, u64)]| Part::Rows(rows.iter().map(|(place, _)| place.clone()).collect());
        Ok(vec![part(left), part(right)])
    }
}

/// Reads the rows of these numbers again and puts them aside.
fn put_aside(
    change: Deltas<'_>,
    table: &Table<'_>,
    aside: &mut Aside,
    refused: &[(u64, String)],
) -> Result<(), LoadFault> {
    let mut before = 0;
    for delta in change {
        let Delta { came, .. } = delta?;
        let came = sorted(came, table)?;
        let rows = before + 1..=before + came.height() as u64;
        for (number, why) in refused.iter().filter(|(number, _)| rows.contains(number)) {
            aside.put(&came, (number - before - 1) as usize, *number, None, why.clone())?;
        }
        before += came.height() as u64;
    }
    Ok(())
}

/// The key of a row of the change, for people: `order_id 700017`.
pub(super) fn key_of(change: Deltas<'_>, table: &Table<'_>, number: u64) -> Result<Option<String>, LoadFault> {
    let key: Vec<String> = table.key().map(|column| column.name.clone()).collect();
    let mut before = 0;
    for delta in change {
        let came = sorted(delta?.came, table)?;
        let rows = came.height() as u64;
        if (before + 1..=before + rows).contains(&number) {
            return Ok(named(&came, (number - before - 1) as usize, &key)?);
        }
        before += rows;
    }
    Ok(None)
}

/// `order_id 700017, position 2`; `None` without a key.
pub(crate) fn named(frame: &DataFrame, row: usize, key: &[String]) -> Result<Option<String>, PolarsError> {
    let part = |name: &String| -> Result<String, PolarsError> {
        let text = match json_value(frame, name, row)? {
            Value::String(text) => shown(&text),
            value => value.to_string(),
        };
        Ok(format!("{name} {text}"))
    };
    let parts = key.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    Ok((!parts.is_empty()).then(|| parts.join(", ")))
}

fn json(frame: &DataFrame, row: usize) -> Result<Map<String, Value>, PolarsError> {
    let value = |name: &str| Ok((name.to_owned(), json_value(frame, name, row)?));
    frame.get_column_names().into_iter().map(|name| value(name)).collect()
}

/// A cell as JSON: numbers that JSON readers round as text, times in RFC 3339.
fn json_value(frame: &DataFrame, name: &str, row: usize) -> Result<Value, PolarsError> {
    Ok(match Cell::of(frame.column(name)?.get(row)?) {
        None => Value::String("a date that has no year of four digits".to_owned()),
        Some(Cell::Null) => Value::Null,
        Some(Cell::Bool(value)) => Value::Bool(value),
        Some(Cell::Integer(value)) => value.into(),
        Some(Cell::Float(value)) => {
            serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
        }
        Some(Cell::Decimal(value)) => value.to_string().into(),
        Some(Cell::Text(value)) => value.into(),
        Some(Cell::Date(value)) => value.to_string().into(),
        Some(Cell::Time(value)) => value.to_string().into(),
        Some(Cell::Datetime(value)) => value.fixed().into(),
    })
}
