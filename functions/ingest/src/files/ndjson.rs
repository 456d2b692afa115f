//! Newline-delimited JSON into raw frames: every record as text.
//!
//! The contract parses the text of a record later and finds invalid JSON then; parsing it here too would double the cost. Here a record
//! must only be UTF-8, start with `{` and end with `}`.

use memchr::memchr;
use polars::prelude::*;
use tidemark_pipeline::raw::TEXT;

use super::batch::Batch;
use super::error::{Fault, Stop};
use super::frame::{self, Broken, lossless};
use super::limits::Limits;
use super::position::{InText, Position};
use super::stats::ReadStats;
use super::text::Text;
use super::window::Window;

pub(super) fn read<E>(
    limits: &Limits,
    text: Text,
    object: &str,
    from: Option<&Position>,
    emit: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<ReadStats, Stop<E>> {
    let text_start = text.text_start;
    let mut window = Window::new(text.bytes, limits.chunk);
    let mut records = Records::new(limits, 0);
    let mut stats = from.map(Position::stats).unwrap_or_default();
    let before = from.and_then(|from| from.text.as_ref());
    let (mut offset, mut newlines) = before.map_or((0, 0), |before| (before.offset, before.newlines));
    let position = |stats: &ReadStats, offset, newlines| {
        Position::new(stats, Some(InText { offset, newlines, text_start, csv: None }))
    };
    let mut batch_start = position(&stats, offset, newlines);
    loop {
        let (data, ended) = (window.data(), window.ended());
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            let (text, length) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], end + 1),
                None if ended => (rest, rest.len()),
                None => break,
            };
            if length > limits.line {
                break;
            }
            records.push(line(newlines), text);
            newlines += 1;
            at += length;
            if records.full() {
                let rows = records.take(object, &mut stats)?;
                let next = position(&stats, offset + at as u64, newlines);
                emit(Batch { rows, from: std::mem::replace(&mut batch_start, next) }).map_err(Stop::Emit)?;
            }
        }
        let too_long = data.len() - at > limits.line;
        window.consume(at);
        offset += at as u64;
        if too_long {
            let (text, length) = window.skip_line(b'\n', limits.excerpt)?;
            records.push_broken(line(newlines), text, limits.too_long());
            newlines += 1;
            offset += length as u64;
        } else if ended {
            break;
        } else {
            window.grow()?;
        }
    }
    if !records.is_empty() || stats.rows == 0 {
        let rows = records.take(object, &mut stats)?;
        emit(Batch { rows, from: batch_start }).map_err(Stop::Emit)?;
    }
    Ok(stats)
}

/// The number of the line, from 1, that follows `newlines` line ends.
fn line(newlines: u64) -> i64 {
    newlines as i64 + 1
}

/// Why a trimmed text is not a JSON object, judging by its first and last character.
fn object_fault(text: &[u8]) -> Option<&'static str> {
    match (text.first()?, text.last()?) {
        (b'{', b'}') if text.len() > 1 => None,
        (b'{', _) => Some("the JSON object does not end on its line: one record per line is expected"),
        (b'[', _) => Some("expected a JSON object, found an array"),
        (b'"', _) => Some("expected a JSON object, found a string"),
        (b'-' | b'0'..=b'9', _) => Some("expected a JSON object, found a number"),
        _ if matches!(text, b"true" | b"false") => Some("expected a JSON object, found a boolean"),
        _ if text == b"null" => Some("expected a JSON object, found null"),
        _ => Some("expected a JSON object"),
    }
}

struct Records {
    texts: StringChunkedBuilder,
    lines: Vec<i64>,
    broken: Vec<Broken>,
    text: usize,
    limits: Limits,
}

impl Records {
    fn new(limits: &Limits, height: usize) -> Self {
        Records {
            texts: StringChunkedBuilder::new(TEXT.into(), height),
            lines: Vec::with_capacity(height),
            broken: Vec::new(),
            text: 0,
            limits: *limits,
        }
    }

    fn push(&mut self, line: i64, text: &[u8]) {
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        match (str::from_utf8(text), object_fault(text)) {
            (Ok(record), None) => {
                self.texts.append_value(record);
                self.lines.push(line);
                self.text += record.len();
            }
            (Ok(record), Some(fault)) => self.push_broken(line, record.to_owned(), fault.to_owned()),
            (Err(error), _) => {
                let at = error.valid_up_to();
                let fault = format!("byte {} of the line is not UTF-8: \\x{:02X}", at + 1, text[at]);
                self.push_broken(line, lossless(text), fault);
            }
        }
    }

    fn push_broken(&mut self, line: i64, text: String, fault: String) {
        self.texts.append_value(&text);
        self.text += text.len();
        self.broken.push(Broken { at: self.lines.len(), text: String::new(), fault });
        self.lines.push(line);
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn full(&self) -> bool {
        self.lines.len() >= self.limits.rows || self.text >= self.limits.text
    }

    fn take(&mut self, object: &str, stats: &mut ReadStats) -> Result<DataFrame, Fault> {
        let height = self.lines.len();
        let next = Records::new(&self.limits, height);
        let Records { texts, lines, broken, .. } = std::mem::replace(self, next);
        stats.rows += height as u64;
        stats.broken += broken.len() as u64;
        let text = texts.finish().into_column();
        frame::build(height, frame::origin(object, lines, &broken, Some(text)).into())
    }
}
