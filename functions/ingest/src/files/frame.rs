//! The columns that every raw frame has after the source's own.

use polars::prelude::*;
use tidemark_pipeline::raw::{FAULT, OBJECT, ROW, TEXT};

use super::error::Fault;

/// A record that could not be read.
#[derive(Debug)]
pub(super) struct Broken {
    /// Its row index in the frame.
    pub(super) at: usize,
    pub(super) text: String,
    pub(super) fault: String,
}

/// The origin columns of a frame: one row for each number in `rows`. `text` is used instead of a column with the texts of broken records.
pub(super) fn origin(object: &str, rows: Vec<i64>, broken: &[Broken], text: Option<Column>) -> [Column; 4] {
    let height = rows.len();
    let text = text.unwrap_or_else(|| sparse(TEXT, height, broken, |broken| &broken.text));
    let name = Scalar::new(DataType::String, AnyValue::StringOwned(object.into()));
    [
        text,
        sparse(FAULT, height, broken, |broken| &broken.fault),
        Column::new_scalar(OBJECT.into(), name, height),
        Int64Chunked::from_vec(ROW.into(), rows).into_column(),
    ]
}

fn sparse(name: &'static str, height: usize, broken: &[Broken], value: impl Fn(&Broken) -> &str) -> Column {
    if broken.is_empty() {
        return Column::full_null(name.into(), height, &DataType::String);
    }
    let mut column = StringChunkedBuilder::new(name.into(), height);
    let mut next = 0;
    for broken in broken {
        for _ in next..broken.at {
            column.append_null();
        }
        column.append_value(value(broken));
        next = broken.at + 1;
    }
    for _ in next..height {
        column.append_null();
    }
    column.finish().into_column()
}

/// Bytes as text; bytes that are not UTF-8 are written as `\xHH`.
pub(super) fn lossless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// Builds a frame of columns that all have `height` values.
pub(super) fn build(height: usize, columns: Vec<Column>) -> Result<DataFrame, Fault> {
    DataFrame::new(height, columns)
        .map_err(|error| Fault::file(format!("the rows do not form a table: {error}"), "report this as a bug"))
}
