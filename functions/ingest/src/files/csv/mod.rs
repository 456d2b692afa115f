//! CSV into raw frames: every field as text; a broken record as its text with the fault.

mod rows;
mod scan;

use std::io::Read;
use std::sync::Arc;

use tidemark_pipeline::{ColumnName, Csv, Header};

use self::rows::Rows;
use self::scan::{Flaw, Scanner, Step, value};
use super::batch::Batch;
use super::columns::column_names;
use super::error::{Fault, Stop};
use super::frame::lossless;
use super::limits::{Limits, size};
use super::position::{InCsv, InText, Position};
use super::stats::ReadStats;
use super::text::Text;
use super::verdict::FlawKind;
use super::window::Window;

pub(super) fn read<E>(
    limits: &Limits,
    text: Text,
    object: &str,
    dialect: &Csv,
    from: Option<&Position>,
    emit: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<ReadStats, Stop<E>> {
    let text_start = text.text_start;
    let mut window = Window::new(text.bytes, limits.chunk);
    let Some(Start { mut scanner, columns, terminator }) = begin(&mut window, dialect, from, limits)? else {
        return Ok(ReadStats::default());
    };
    let mut rows = Rows::new(&columns, dialect.quote, limits);
    let mut stats = from.map(Position::stats).unwrap_or_default();
    let position = |stats: &ReadStats, scanner: &Scanner| {
        let (offset, newlines, verdict) = scanner.place();
        let csv = InCsv { columns: columns.clone(), terminator, verdict };
        Position::new(stats, Some(InText { offset, newlines, text_start, csv: Some(csv) }))
    };
    let mut batch_start = position(&stats, &scanner);
    loop {
        let (data, ended) = (window.data(), window.ended());
        let mut at = 0;
        let too_long = loop {
            let (step, newlines) = scanner.step(&data[at..], ended);
            let line = scanner.line();
            let length = match step {
                Step::More => break false,
                Step::TooLong => break true,
                Step::Blank { length } => length,
                Step::Record { text, length } => {
                    rows.push(line, &data[at..at + text], &scanner.fields);
                    length
                }
                Step::Broken { text, length, fault } => {
                    rows.push_broken(line, lossless(&data[at..at + text]), flaw(fault, limits));
                    length
                }
            };
            at += length;
            scanner.advance(length, newlines);
            if rows.full() {
                let rows = rows.take(object, &mut stats)?;
                let from = std::mem::replace(&mut batch_start, position(&stats, &scanner));
                emit(Batch { rows, from }).map_err(Stop::Emit)?;
            }
        };
        window.consume(at);
        if too_long {
            let line = scanner.line();
            let (text, length) = window.skip_line(terminator, limits.excerpt)?;
            scanner.advance(length, 1);
            rows.push_broken(line, text, limits.too_long());
        } else if ended {
            break;
        } else {
            window.grow()?;
        }
    }
    if !rows.is_empty() || stats.rows == 0 {
        let rows = rows.take(object, &mut stats)?;
        emit(Batch { rows, from: batch_start }).map_err(Stop::Emit)?;
    }
    Ok(stats)
}

/// A scanner at the first record after the header, or at the position where reading resumes.
struct Start {
    scanner: Scanner,
    columns: Arc<Vec<String>>,
    terminator: u8,
}

/// Determines columns and line terminator from the start of a CSV, or takes them from the position to resume at. Returns None if the object
/// has only empty lines.
fn begin(
    window: &mut Window<impl Read>,
    dialect: &Csv,
    from: Option<&Position>,
    limits: &Limits,
) -> Result<Option<Start>, Fault> {
    if let Some(before) = from.and_then(|from| from.text.as_ref())
        && let Some(InCsv { columns, terminator, .. }) = &before.csv
    {
        let mut scanner = Scanner::new(dialect.delimiter, dialect.quote, *terminator, limits);
        scanner.resume(before);
        return Ok(Some(Start { scanner, columns: columns.clone(), terminator: *terminator }));
    }
    let terminator = terminator(window, dialect, limits)?;
    let mut scanner = Scanner::new(dialect.delimiter, dialect.quote, terminator, limits);
    let names = match &dialect.header {
        Header::Given(columns) => column_names(columns.iter().map(ColumnName::as_str))?,
        Header::First => match header(window, &mut scanner, dialect, limits)? {
            Some(names) => names,
            None => return Ok(None),
        },
    };
    Ok(Some(Start { scanner, columns: Arc::new(names), terminator }))
}

fn flaw(flaw: Flaw, limits: &Limits) -> String {
    let field = flaw.field;
    match flaw.kind {
        FlawKind::Junk => format!("text follows the closing quote of field {field}"),
        FlawKind::Open => format!(
            "the quote opened in field {field} is not closed before the file ends or within {} or {} lines",
            size(limits.quoted_bytes),
            limits.quoted_lines,
        ),
    }
}

fn terminator(window: &mut Window<impl Read>, dialect: &Csv, limits: &Limits) -> Result<u8, Fault> {
    loop {
        if let Some(terminator) = scan::terminator(window.data(), dialect.quote, window.ended()) {
            return Ok(terminator);
        }
        if window.data().len() > limits.line {
            return Ok(b'\n');
        }
        window.grow()?;
    }
}

/// Consumes the header. Returns None if the object has only empty lines.
fn header(
    window: &mut Window<impl Read>,
    scanner: &mut Scanner,
    dialect: &Csv,
    limits: &Limits,
) -> Result<Option<Vec<String>>, Fault> {
    const HINT: &str = "correct the header, or check `delimiter`, `quote` and `encoding` of the definition";
    let broken = |line: i64, what: &str| Fault::file(format!("the header in line {line} cannot be read: {what}"), HINT);
    loop {
        let data = window.data();
        let (step, newlines) = scanner.step(data, window.ended());
        let line = scanner.line();
        let (length, names) = match step {
            Step::More if window.ended() => return Ok(None),
            Step::More => {
                window.grow()?;
                continue;
            }
            Step::TooLong => return Err(broken(line, "the line is too long")),
            Step::Broken { fault, .. } => return Err(broken(line, &flaw(fault, limits))),
            Step::Blank { length } => (length, None),
            Step::Record { text, length } => {
                let Ok(record) = str::from_utf8(&data[..text]) else {
                    return Err(broken(line, "it holds bytes that are not UTF-8"));
                };
                let cells: Vec<_> = scanner.fields.iter().map(|field| value(record, field, dialect.quote)).collect();
                (length, Some(column_names(cells.iter().map(|cell| cell.as_ref()))?))
            }
        };
        window.consume(length);
        scanner.advance(length, newlines);
        if names.is_some() {
            return Ok(names);
        }
    }
}
