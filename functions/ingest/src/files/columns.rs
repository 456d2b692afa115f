//! Column names of objects, and the merged columns of a dataset. Header cells become valid column names (the same header always gives the
//! same names); the columns of each object are added to those of the dataset.

use std::collections::HashMap;

use polars::prelude::{Schema, SchemaExt as _};
use tidemark_flow::{Error, ErrorKind};
use tidemark_pipeline::raw;

use super::error::Fault;

const MAX_BYTES: usize = 255;
const MAX_COLUMNS: usize = 10_000;

const GIVE_COLUMNS: &str = "rename it in the file, or name the columns in the definition with `header = false` and \
                            `columns = [...]`: the header line is then read as a row, which a filter can drop";

/// Makes column names from header cells or a schema's field names.
///
/// - Control characters (a line end in a quoted cell) become a space, and then spaces around the name are trimmed.
/// - An empty name, or one of only spaces, becomes `column_N`, N from 1: the unnamed column after a trailing delimiter too.
/// - A name longer than 255 bytes is cut.
///
/// # Errors
/// Two names that differ only in case or not at all (tables do not distinguish case), a name reserved for the columns that ingest adds,
/// more than 10,000 columns.
pub(super) fn column_names<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Fault> {
    let names: Vec<String> = cells.enumerate().map(|(at, cell)| column_name(cell, at + 1)).collect();
    if names.len() > MAX_COLUMNS {
        let message = format!("{} columns, but at most {MAX_COLUMNS} are supported", names.len());
        return Err(Fault::file(message, "check the delimiter and the line ends"));
    }
    let mut seen = HashMap::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        if raw::ADDED.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
            let message = format!("column {} is called {name:?}, a name that is reserved", at + 1);
            return Err(Fault::file(message, GIVE_COLUMNS));
        }
        if let Some(first) = seen.insert(name.to_lowercase(), at) {
            let message = format!(
                "columns {} and {} have the same name: {:?} and {name:?} (case does not count)",
                first + 1,
                at + 1,
                names[first],
            );
            return Err(Fault::file(message, GIVE_COLUMNS));
        }
    }
    Ok(names)
}

fn column_name(cell: &str, number: usize) -> String {
    let mut name = cell.to_owned();
    if cell.contains(char::is_control) {
        name = cell.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        name = name.trim().to_owned();
    }
    if name.trim().is_empty() {
        return format!("column_{number}");
    }
    let mut end = name.len().min(MAX_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// Adds the columns of an object that the dataset does not have yet.
///
/// # Errors
/// A column that already exists with another type, or a name that differs from an existing one only in case.
pub(super) fn widen(schema: &mut Schema, frame: &Schema, object: &str) -> Result<(), Error> {
    for field in frame.iter_fields() {
        let name = field.name().as_str();
        let refused =
            |message: String, hint: &str| Err(Error::new(ErrorKind::Data, format!("{object}: {message}")).hint(hint));
        if let Some(ty) = schema.get(name) {
            if ty != field.dtype() {
                let message = format!("column {name} has type {:?}, but {ty:?} in earlier files", field.dtype());
                return refused(
                    message,
                    "write the column with one type, or give the file a pipeline of its own; once all files have the new type, run \
                     with --full",
                );
            }
            continue;
        }
        if let Some(known) = schema.iter_names().find(|known| known.eq_ignore_ascii_case(name)) {
            let message = format!("column {name} differs from column {known} only in the case of its letters");
            return refused(message, "column names must differ not only in case; rename one");
        }
        schema.with_column(field.name().clone(), field.dtype().clone());
    }
    Ok(())
}
