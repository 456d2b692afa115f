//! A sample of records of a source, as the step `ingest` would write them, and the values of its fields.

use polars::prelude::{AnyValue, Column, DataFrame, DataType};
use serde_json::{Map, Value};
use std::collections::HashMap;
use tidemark_pipeline::definition::Type;
use tidemark_pipeline::raw::is_added;
use tidemark_transform::RawLayout;

/// A sample of a source.
pub(crate) struct Sample {
    /// Path or URL of the source, for messages.
    pub title: String,
    /// The lines below `[source]`.
    pub source: Vec<String>,
    /// Raw rows, as `ingest` would write them.
    pub raw: DataFrame,
    pub layout: RawLayout,
    pub fields: Vec<Field>,
    /// Whether the source has no more records than these.
    pub is_whole: bool,
    /// Names of the fields, if the header is read as the first record.
    pub header: Option<Vec<String>>,
    /// Whether it is an API, which returns the same records repeatedly, so that a key is needed.
    pub is_api: bool,
}

/// One field of the records.
pub(crate) struct Field {
    /// Its source in the contract: a column of the source, or a JSON pointer.
    pub from: String,
    /// The words from which its column name is made.
    pub words: String,
    /// Its type, if the source has types.
    pub native: Option<Type>,
    /// Its non-null values.
    pub cells: Vec<Cell>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    Number(String),
    Bool(bool),
    /// A JSON object or array.
    Nested,
}

/// The fields of rows with columns.
pub(crate) fn fields_of_columns(raw: &DataFrame) -> Vec<Field> {
    let columns = raw.columns().iter().filter(|column| !is_added(column.name()));
    columns
        .map(|column| Field {
            from: column.name().to_string(),
            words: column.name().to_string(),
            native: native(column.dtype()),
            cells: cells(column),
        })
        .collect()
}

/// The contract type of a typed column. None for texts and bytes, whose type has to be guessed.
fn native(ty: &DataType) -> Option<Type> {
    Some(match ty {
        DataType::Boolean => Type::Bool,
        DataType::Float32 | DataType::Float64 => Type::Float64,
        DataType::Decimal(precision, scale) => {
            Type::Decimal { precision: u8::try_from(*precision).ok()?, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Date => Type::Date,
        DataType::Datetime(..) => Type::Datetime,
        ty if ty.is_integer() => Type::Int64,
        _ => return None,
    })
}

fn cells(column: &Column) -> Vec<Cell> {
    let values = (0..column.len()).filter_map(|at| column.get(at).ok());
    values
        .filter_map(|value| match value {
            AnyValue::Null => None,
            AnyValue::String(text) => Some(Cell::Text(text.to_owned())),
            AnyValue::Boolean(value) => Some(Cell::Bool(value)),
            value => Some(Cell::Number(value.to_string())),
        })
        .collect()
}

/// Maximum depth of object members that become fields. Deeper ones stay JSON text.
const DEPTH: usize = 6;

/// The fields of JSON records: members of objects by their JSON pointers; arrays and deeper objects as JSON text.
pub(crate) fn fields_of_records<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<Field> {
    let mut found = Members::default();
    for text in texts {
        // invalid JSON will be quarantined, and says nothing about the fields
        if let Ok(Value::Object(members)) = serde_json::from_str(text) {
            found.object("", "", &members, 0);
        }
    }
    found.fields()
}

#[derive(Default)]
struct Members {
    places: HashMap<String, usize>,
    all: Vec<Member>,
}

struct Member {
    field: Field,
    /// Whether it is an object in some record.
    has_members: bool,
}

impl Members {
    fn object(&mut self, pointer: &str, words: &str, members: &Map<String, Value>, depth: usize) {
        for (name, value) in members {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            let words = if words.is_empty() { name.clone() } else { format!("{words} {name}") };
            let at = self.at(&pointer, &words);
            let cell = match value {
                Value::Null => continue,
                Value::Object(inner) if !inner.is_empty() && depth + 1 < DEPTH => {
                    self.all[at].has_members = true;
                    self.object(&pointer, &words, inner, depth + 1);
                    continue;
                }
                // an object without members is treated as null
                Value::Object(inner) if inner.is_empty() => continue,
                Value::Object(_) | Value::Array(_) => Cell::Nested,
                Value::Bool(value) => Cell::Bool(*value),
                Value::Number(number) => Cell::Number(number.to_string()),
                Value::String(text) => Cell::Text(text.clone()),
            };
            self.all[at].field.cells.push(cell);
        }
    }

    fn at(&mut self, pointer: &str, words: &str) -> usize {
        if let Some(at) = self.places.get(pointer) {
            return *at;
        }
        let field = Field { from: pointer.to_owned(), words: words.to_owned(), native: None, cells: Vec::new() };
        self.all.push(Member { field, has_members: false });
        self.places.insert(pointer.to_owned(), self.all.len() - 1);
        self.all.len() - 1
    }

    /// A member that is an object in some records and another value in others is one field of JSON text.
    fn fields(self) -> Vec<Field> {
        let is_mixed = |member: &&Member| member.has_members && !member.field.cells.is_empty();
        let mixed: Vec<String> =
            self.all.iter().filter(is_mixed).map(|member| format!("{}/", member.field.from)).collect();
        let mut fields = Vec::new();
        for Member { mut field, has_members } in self.all {
            if mixed.iter().any(|above| field.from.starts_with(above)) || (has_members && field.cells.is_empty()) {
                continue;
            }
            if has_members {
                field.cells.push(Cell::Nested);
            }
            fields.push(field);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_objects_become_fields_and_arrays_do_not() {
        let records = [
            r#"{"id": 1, "customer": {"name": "x", "a/b": {"~": true}}, "tags": [1], "odd": {"x": 1}, "none": null, "bare": {}}"#,
            r#"{"id": 2, "odd": 5, "late": 1.50}"#,
            r#"{"id": "#,
        ];
        let fields = fields_of_records(records.into_iter());
        let found: Vec<_> =
            fields.iter().map(|field| (field.from.as_str(), field.words.as_str(), field.cells.len())).collect();
        assert_eq!(
            found,
            [
                ("/id", "id", 2),
                ("/customer/name", "customer name", 1),
                ("/customer/a~1b/~0", "customer a/b ~", 1),
                ("/tags", "tags", 1),
                ("/odd", "odd", 2),
                ("/none", "none", 0),
                ("/bare", "bare", 0),
                ("/late", "late", 1),
            ]
        );
        assert_eq!(fields[3].cells, [Cell::Nested]);
    }
}
