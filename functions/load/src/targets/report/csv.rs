//! A sheet's table as CSV: the column names and the unformatted values, for reading by programs.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};

use super::error::ReportError;
use super::table::{Table, columns};
use crate::targets::cell::Cell;

/// UTF-8 with LF line endings. NULL is an empty field, dates are ISO 8601, instants RFC 3339, decimals have their scale.
pub(super) fn write(table: &Table) -> Result<Vec<u8>, ReportError> {
    let columns = columns(table)?;
    let mut writer = WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| guarded(column.name).into_owned()))?;
    for row in 0..table.rows.height() {
        for column in &columns {
            match column.cell(row)? {
                Cell::Null => writer.write_field("")?,
                Cell::Bool(value) => writer.write_field(if value { "true" } else { "false" })?,
                Cell::Integer(value) => writer.write_field(value.to_string())?,
                Cell::Float(value) => writer.write_field(format!("{value:?}"))?,
                Cell::Decimal(value) => writer.write_field(value.to_string())?,
                Cell::Text(value) => writer.write_field(guarded(value).as_ref())?,
                Cell::Date(value) => writer.write_field(value.to_string())?,
                Cell::Time(value) => writer.write_field(value.to_string())?,
                Cell::Datetime(value) => writer.write_field(value.to_string())?,
            }
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))
}

/// Prefixes a text with `'` if a spreadsheet would run it as a formula because of its first character, quoted or not. Numbers are not
/// prefixed: −5 stays −5.
fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
