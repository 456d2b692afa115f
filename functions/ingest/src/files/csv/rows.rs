//! Collects CSV records into a frame.

use std::borrow::Cow;

use polars::prelude::*;

use super::super::error::Fault;
use super::super::frame::{self, Broken, lossless};
use super::super::limits::Limits;
use super::super::stats::ReadStats;
use super::scan::{Field, value};

pub(super) struct Rows {
    names: Vec<PlSmallStr>,
    columns: Vec<StringChunkedBuilder>,
    lines: Vec<i64>,
    broken: Vec<Broken>,
    text: usize,
    quote: Option<u8>,
    limits: Limits,
}

impl Rows {
    pub(super) fn new(names: &[String], quote: Option<u8>, limits: &Limits) -> Self {
        let names: Vec<PlSmallStr> = names.iter().map(|name| PlSmallStr::from_str(name)).collect();
        let columns = builders(&names, 0);
        Rows { names, columns, lines: Vec::new(), broken: Vec::new(), text: 0, quote, limits: *limits }
    }

    /// Adds a record. With too few or too many fields, or bytes that are not UTF-8, it is added as a broken row with its fault.
    pub(super) fn push(&mut self, line: i64, record: &[u8], fields: &[Field]) {
        let expected = self.columns.len();
        if fields.len() != expected {
            let fault = format!("expected {}, found {}", count(expected), fields.len());
            return self.push_broken(line, lossless(record), fault);
        }
        let text = match str::from_utf8(record) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let field = fields.iter().position(|field| at < field.end).unwrap_or(expected - 1);
                let fault = format!("field {} is not UTF-8: byte \\x{:02X}", field + 1, record[at]);
                return self.push_broken(line, lossless(record), fault);
            }
        };
        for (column, field) in self.columns.iter_mut().zip(fields) {
            match value(text, field, self.quote) {
                Cow::Borrowed(text) => column.append_value(text),
                Cow::Owned(text) => column.append_value(text),
            }
        }
        self.lines.push(line);
        self.text += record.len();
    }

    pub(super) fn push_broken(&mut self, line: i64, text: String, fault: String) {
        for column in &mut self.columns {
            column.append_null();
        }
        self.text += text.len();
        self.broken.push(Broken { at: self.lines.len(), text, fault });
        self.lines.push(line);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn full(&self) -> bool {
        self.lines.len() >= self.limits.rows || self.text >= self.limits.text
    }

    /// Returns the rows collected so far as a frame, and starts a new one.
    pub(super) fn take(&mut self, object: &str, stats: &mut ReadStats) -> Result<DataFrame, Fault> {
        let height = self.lines.len();
        stats.rows += height as u64;
        stats.broken += self.broken.len() as u64;
        // the next frame most likely has the same height
        let columns = std::mem::replace(&mut self.columns, builders(&self.names, height));
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(height));
        let broken = std::mem::take(&mut self.broken);
        self.text = 0;
        let columns = columns.into_iter().map(|column| column.finish().into_column());
        let columns = columns.chain(frame::origin(object, lines, &broken, None)).collect();
        frame::build(height, columns)
    }
}

fn builders(names: &[PlSmallStr], height: usize) -> Vec<StringChunkedBuilder> {
    names.iter().map(|name| StringChunkedBuilder::new(name.clone(), height)).collect()
}

fn count(fields: usize) -> String {
    match fields {
        1 => "1 field".to_owned(),
        fields => format!("{fields} fields"),
    }
}
