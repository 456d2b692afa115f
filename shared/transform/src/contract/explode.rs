//! Reads the elements of arrays in a column as rows, with the same types and rules as the columns of a contract.

use polars::prelude::*;
use tidemark_pipeline::definition::{self, Children, POSITION};

use super::cast::{Builder, Field};
use super::fault::{Broken, Faults, Place, TYPE};
use super::json::{Elements, Layout};
use super::plan::Plan;
use crate::error::ContractError;

/// Number of elements processed at a time.
const CHUNK: usize = 4096;

/// The columns of the elements, compiled once.
#[derive(Debug)]
pub(super) struct Elementwise {
    /// The column that holds the array.
    pub(super) column: String,
    pub(super) columns: Vec<Plan>,
    layout: Layout,
    /// Whether a column reads a member of an element. If so, elements must be objects, arrays or null.
    reads_members: bool,
}

/// A batch of elements.
struct Chunk {
    /// The row of each element.
    rows: Vec<IdxSize>,
    /// The position of each element in its array, from 1.
    positions: Vec<i64>,
    series: Vec<Series>,
    faults: Faults,
}

/// Fields of elements that have been read but not yet converted to columns.
#[derive(Default)]
struct Open<'t> {
    rows: Vec<IdxSize>,
    positions: Vec<i64>,
    fields: Vec<Field<'t>>,
}

type Take<'f> = &'f mut dyn FnMut(Chunk) -> Result<(), ContractError>;

impl Elementwise {
    pub(super) fn new(column: &str, columns: &[definition::Column]) -> Result<Elementwise, ContractError> {
        let columns = columns.iter().map(Plan::new).collect::<Result<Vec<_>, _>>()?;
        let layout = Layout::new(columns.iter().map(|column| column.from.as_str()));
        let reads_members = columns.iter().any(|column| !column.from.is_empty());
        Ok(Elementwise { column: column.to_owned(), columns, layout, reads_members })
    }

    /// Marks the rows that have an element that breaks a rule, or whose text is not an array. `at`: index of the column of the texts.
    /// `first`: index of the first column of the elements.
    pub(super) fn check(
        &self,
        texts: &StringChunked,
        at: usize,
        first: usize,
        faults: &mut Faults,
    ) -> Result<(), ContractError> {
        let bad = self.chunks(texts, &mut |chunk| {
            for (element, place) in chunk.faults.places() {
                faults.mark(chunk.rows[element] as usize, place.shifted(first));
            }
            Ok(())
        })?;
        for row in bad {
            faults.mark(row, Place::for_rule(at, TYPE));
        }
        Ok(())
    }

    /// The value of this column in the first element that breaks this rule.
    pub(super) fn violating_value(&self, text: &str, column: usize, rule: &'static str) -> Option<String> {
        let wanted = Broken::Column { column, rule };
        let mut position = None;
        let texts = StringChunked::from_slice("".into(), &[text]);
        let result = self.chunks(&texts, &mut |chunk| {
            let mut broken = chunk.faults.iter(self.columns.len());
            let found = broken.find(|(_, broken)| *broken == wanted).map(|(element, _)| chunk.positions[element]);
            position = position.or(found);
            Ok(())
        });
        result.ok()?;
        let (mut elements, mut scanner) = (Elements::new(text), self.layout.scanner());
        let mut slots = vec![Field::Null; self.layout.slots()];
        for _ in 0..position? {
            slots.fill(Field::Null);
            elements.next(&mut scanner, &mut slots).ok()??;
        }
        let mut unescaped = String::new();
        slots[self.layout.slot(column)].text(&mut unescaped).map(str::to_owned)
    }

    /// Reads all elements of the texts and passes them to `take` in chunks. NULL counts as an empty array. Returns the rows whose text
    /// is not an array of elements that the columns can read.
    fn chunks(&self, texts: &StringChunked, take: Take<'_>) -> Result<Vec<usize>, ContractError> {
        let mut scanner = self.layout.scanner();
        let mut slots = vec![Field::Null; self.layout.slots()];
        let mut open = Open::default();
        let mut bad = Vec::new();
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            let mut elements = Elements::new(text);
            for position in 1.. {
                slots.fill(Field::Null);
                let is_read = match elements.next(&mut scanner, &mut slots) {
                    Ok(None) => break,
                    Ok(Some(Field::Null | Field::Nested(_))) => true,
                    Ok(Some(_)) => !self.reads_members,
                    Err(_) => false,
                };
                if !is_read {
                    bad.push(row);
                    break;
                }
                open.rows.push(row as IdxSize);
                open.positions.push(position);
                open.fields.extend_from_slice(&slots);
                if open.rows.len() == CHUNK {
                    take(self.close(std::mem::take(&mut open))?)?;
                }
            }
        }
        take(self.close(open)?)?;
        Ok(bad)
    }

    fn close(&self, open: Open<'_>) -> Result<Chunk, ContractError> {
        let Open { rows, positions, fields } = open;
        let mut faults = Faults::new(rows.len());
        let width = self.layout.slots();
        let mut series = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let mut builder = Builder::new(&column.cast, &column.name, rows.len());
            let slot = self.layout.slot(at);
            builder.extend((0..rows.len()).map(|element| fields[element * width + slot]), 0, &mut faults, at);
            let values = builder.finish();
            column.rules.check(&values, at, &mut faults)?;
            series.push(values);
        }
        Ok(Chunk { rows, positions, series, faults })
    }
}

/// Turns the arrays in a column of one dataset into rows of another, one row per element.
#[derive(Debug)]
pub struct Exploder {
    elements: Elementwise,
    key: Vec<PlSmallStr>,
    partition: Option<PlSmallStr>,
}

impl Exploder {
    /// `partition`: name of the partition column of the parents.
    ///
    /// # Errors
    /// As [`super::Cleaner::new`].
    pub fn new(children: &Children, partition: Option<&str>) -> Result<Exploder, ContractError> {
        let Children { key, column, columns } = children;
        Ok(Exploder {
            elements: Elementwise::new(column.as_str(), columns)?,
            key: key.iter().map(|name| name.as_str().into()).collect(),
            partition: partition.filter(|name| key.iter().all(|key| key.as_str() != *name)).map(PlSmallStr::from_str),
        })
    }

    /// Names of the parent columns that are needed.
    pub fn needs(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.carried().map(PlSmallStr::as_str).chain([self.elements.column.as_str()]) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn carried(&self) -> impl Iterator<Item = &PlSmallStr> {
        self.key.iter().chain(&self.partition)
    }

    /// One row per element, in the order of the parents. Columns: the parent's key, the position, the element's columns, the partition.
    ///
    /// # Errors
    /// A parent row that a contract with these rules would have quarantined.
    pub fn explode(&self, parents: &DataFrame) -> Result<DataFrame, ContractError> {
        let texts = parents.column(&self.elements.column)?.str()?;
        let (mut rows, mut positions) = (Vec::new(), Vec::new());
        let mut columns: Vec<Series> = Vec::new();
        let mut is_broken = false;
        let bad = self.elements.chunks(texts, &mut |chunk| {
            is_broken |= chunk.faults.any();
            rows.extend(chunk.rows);
            positions.extend(chunk.positions);
            if columns.is_empty() {
                columns = chunk.series;
                return Ok(());
            }
            for (column, more) in columns.iter_mut().zip(&chunk.series) {
                column.append(more)?;
            }
            Ok(())
        })?;
        if is_broken || !bad.is_empty() {
            return Err(ContractError::Elements { column: self.elements.column.clone() });
        }
        let rows = IdxCa::from_vec("row".into(), rows);
        let carried = parents.select(self.carried().cloned())?.take(&rows)?;
        let mut all: Vec<Column> = Vec::new();
        all.extend_from_slice(&carried.columns()[..self.key.len()]);
        all.push(Column::new(POSITION.into(), positions));
        all.extend(columns.into_iter().map(Column::from));
        all.extend_from_slice(&carried.columns()[self.key.len()..]);
        Ok(DataFrame::new(rows.len(), all)?)
    }
}
