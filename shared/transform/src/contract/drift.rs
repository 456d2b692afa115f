//! Differences between records and the contract: fields that no column reads, and fields of columns that no record has.

use super::fields::{FieldKind, MAX_FIELDS, cut};
use super::json::Tallied;
use super::plan::Plan;
use super::source::{Raw, is_field};

/// A field no column reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// A JSON pointer, or the name of a raw column.
    pub field: String,
    pub records: u64,
    /// `<object>:<row>` of the first record with the field.
    pub first: String,
    /// Kind of the first value that is not null.
    pub kind: FieldKind,
}

/// How some raw rows differ from what the contract reads. Records that are not valid JSON objects are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    pub unknown: Vec<Unknown>,
    /// There were more than [`MAX_FIELDS`] unknown fields.
    pub has_more: bool,
    /// For JSON: the number of records read.
    pub records: u64,
    /// For JSON: pointers of the columns whose field none of the records has.
    pub absent: Vec<String>,
}

impl Drift {
    /// Raw columns with a value somewhere that no column of the contract reads.
    pub(super) fn from_columns(source: &Raw, columns: &[Plan]) -> Drift {
        let mut drift = Drift::default();
        for field in source.frame.columns() {
            let name = field.name().as_str();
            let records = (field.len() - field.null_count()) as u64;
            if records == 0 || !is_field(name) || columns.iter().any(|column| column.from == name) {
                continue;
            }
            if drift.unknown.len() >= MAX_FIELDS {
                drift.has_more = true;
                break;
            }
            let first = field.is_not_null().iter().position(|has| has == Some(true)).unwrap_or_default();
            let kind = FieldKind::from_dtype(field.dtype());
            drift.unknown.push(Unknown { field: cut(name).into_owned(), records, first: source.place(first), kind });
        }
        drift
    }

    pub(super) fn from_json(source: &Raw, tallied: Tallied, pointers: Vec<String>) -> Drift {
        let Tallied { good, seen, unknown, has_more } = tallied;
        let unknown = unknown.into_iter();
        let unknown =
            unknown.map(|(field, records, row, kind)| Unknown { field, records, first: source.place(row), kind });
        let absent = pointers.into_iter().zip(seen).filter(|(_, seen)| !seen).map(|(pointer, _)| pointer);
        Drift {
            unknown: unknown.collect(),
            has_more,
            records: good,
            absent: if good > 0 { absent.collect() } else { Vec::new() },
        }
    }
}
