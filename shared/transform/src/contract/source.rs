//! Access to the columns that every raw frame has, and the error for a column of the contract that a raw frame lacks.

use polars::prelude::*;
use tidemark_pipeline::raw::{FAULT, OBJECT, PAGE, ROW, TEXT, is_added};

use super::fault::{Faults, Place};
use super::plan::Plan;
use crate::error::ContractError;

/// Raw rows with the columns ingest adds to them.
pub(super) struct Raw<'r> {
    pub(super) frame: &'r DataFrame,
    /// The number of the page, if the source is read in pages. `_row` is then the number of the record in its page.
    pub(super) page: Option<&'r Column>,
    pub(super) text: &'r StringChunked,
    pub(super) fault: &'r StringChunked,
}

impl<'r> Raw<'r> {
    pub(super) fn new(frame: &'r DataFrame) -> Result<Raw<'r>, ContractError> {
        let text = |name| frame.column(name).and_then(|column| column.str()).map_err(ContractError::Raw);
        text(OBJECT)?;
        frame.column(ROW).and_then(|column| column.i64()).map_err(ContractError::Raw)?;
        let page = frame.column(PAGE).ok();
        page.map(Column::i64).transpose().map_err(ContractError::Raw)?;
        Ok(Raw { frame, page, text: text(TEXT)?, fault: text(FAULT)? })
    }

    /// `<object>:<row>` of a row.
    pub(super) fn place(&self, row: usize) -> String {
        let value = |name| self.frame.column(name).and_then(|column| column.get(row)).unwrap_or(AnyValue::Null);
        let object = value(OBJECT);
        format!("{}:{}", object.get_str().unwrap_or_default(), value(ROW))
    }

    pub(super) fn mark_faults(&self, faults: &mut Faults) {
        if self.fault.null_count() == self.fault.len() {
            return;
        }
        for (row, fault) in self.fault.iter().enumerate() {
            if fault.is_some() {
                faults.mark(row, Place::FORMAT);
            }
        }
    }
}

/// Whether this column comes from the source and was not added by ingest.
pub(super) fn is_field(name: &str) -> bool {
    !is_added(name)
}

pub(super) fn missing(column: &Plan, raw: &DataFrame) -> ContractError {
    let fields: Vec<&str> =
        raw.columns().iter().map(|field| field.name().as_str()).filter(|name| is_field(name)).collect();
    let nearest = fields.iter().map(|field| (distance(&column.from, field), field)).min();
    let hint = match nearest {
        Some((distance, field)) if distance * 3 <= column.from.chars().count() => format!("; did you mean `{field}`?"),
        _ => String::new(),
    };
    let found = match fields.as_slice() {
        [] => "no columns".to_owned(),
        _ => fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", "),
    };
    ContractError::Missing { column: column.name.clone(), from: column.from.clone(), hint, found }
}

/// Levenshtein distance between two names, ignoring case and punctuation.
fn distance(left: &str, right: &str) -> usize {
    let letters = |name: &str| name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<Vec<_>>();
    let (left, right) = (letters(left), letters(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_ignores_case_and_punctuation() {
        assert_eq!(distance("customer_id", "CustomerID"), 0);
        assert_eq!(distance("costumer", "customer"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
