//! Some records of a source, as the step `ingest` would have them, and what its fields said in them.

use polars::prelude::{AnyValue, Column, DataFrame, DataType};
use serde_json::{Map, Value};
use std::collections::HashMap;
use tidemark_pipeline::definition::Type;
use tidemark_pipeline::raw::is_added;
use tidemark_transform::RawLayout;

/// What a source looks like, wherever it is.
pub(crate) struct Sample {
    /// What people call the source.
    pub title: String,
    /// The lines below `[source]`.
    pub source: Vec<String>,
    /// Raw rows, as `ingest` makes them.
    pub raw: DataFrame,
    pub shape: RawLayout,
    pub fields: Vec<Field>,
    /// Whether the source has no more records than these.
    pub is_whole: bool,
    /// Names of the fields, where they come in as the first record.
    pub header: Option<Vec<String>>,
    /// Its records come again and again, so that they want a key.
    pub is_api: bool,
}

/// One field of the records.
pub(crate) struct Field {
    /// How a contract names it: a column of the source, or a JSON pointer.
    pub from: String,
    /// What its name is made of.
    pub words: String,
    /// Its type, where the source has types.
    pub native: Option<Type>,
    /// What it said, where it said something.
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

/// Fields of rows that came in columns.
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

/// Types that need no guess; texts and bytes do.
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

/// How deep objects are followed; what is deeper stays JSON text.
const DEPTH: usize = 6;

/// Fields of records that came as JSON: members of objects by their pointers, what is deeper or an array as it is.
pub(crate) fn fields_of_records<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<Field> {
    let mut found = Members::default();
    for text in texts {
        // one that is no JSON is for the quarantine, and says nothing
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
    /// Whether it was an object somewhere.
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
                // an object without members is as good as none
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

    /// What is an object here and something else there is one field, of JSON text.
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
    fn objects_are_followed_and_arrays_are_not() {
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
