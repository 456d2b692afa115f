//! Splits a text into records: RFC 4180, read tolerantly. It works on bytes, since every significant byte is ASCII and no byte of a
//! multi-byte UTF-8 character is.
//!
//! - A record ends with LF or CRLF (in a file whose first line ends with a lone CR: with CR). Empty lines are not records.
//! - A field is quoted only if its first byte is the quote; a quote later in the field is text.
//! - A record is broken if a quoted field is not closed, or if text follows its closing quote. Then only the line in which the record
//!   starts is consumed, and scanning continues with the next line: a stray quote costs a line, not the file.
//!
//! To stay linear in the length of the text although scanning goes back to an earlier line, the result of scanning ahead is cached
//! ([`Verdict`]): from a newline within quotes, the scan ends the same way whichever record opened the quotes.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3_iter};

use super::super::limits::Limits;
use super::super::position::InText;
use super::super::verdict::{FlawKind, Verdict};

/// The byte range of a field in its record, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it contains doubled quotes.
    pub(super) doubled: bool,
}

/// The text of a field, with doubled quotes replaced by single ones.
#[inline]
pub(super) fn value<'a>(record: &'a str, field: &Field, quote: Option<u8>) -> Cow<'a, str> {
    let text = &record[field.start..field.end];
    match quote {
        Some(quote) if field.doubled => {
            let mut single = String::with_capacity(text.len());
            let mut rest = text;
            while let Some(at) = rest.find(char::from(quote)) {
                single.push_str(&rest[..=at]);
                rest = rest.get(at + 2..).unwrap_or_default();
            }
            single.push_str(rest);
            Cow::Owned(single)
        }
        _ => Cow::Borrowed(text),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The data does not contain a whole record yet; at the end of the text: no record is left.
    More,
    /// An empty line of `length` bytes.
    Blank { length: usize },
    /// A record of `text` bytes, or `length` bytes including its line end. Its fields are in [`Scanner::fields`].
    Record { text: usize, length: usize },
    /// The first line of a broken record.
    Broken { text: usize, length: usize, fault: Flaw },
    /// The line is longer than the limit.
    TooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Number of the field, from 1.
    pub(super) field: usize,
    pub(super) kind: FlawKind,
}

pub(super) struct Scanner {
    delimiter: u8,
    quote: Option<u8>,
    terminator: u8,
    limits: Limits,
    /// The fields of the last record.
    pub(super) fields: Vec<Field>,
    /// Position of the next record in the whole text, and the number of newlines before it.
    position: u64,
    newlines: u64,
    verdict: Option<Verdict>,
}

/// Line counts of a record while it is being scanned.
#[derive(Default)]
struct Lines {
    /// The offset at which its second line starts, if it has one.
    second: Option<usize>,
    /// The field in which the first line ended.
    field: usize,
    count: u64,
    /// Whether fields were skipped because of a cached verdict.
    skipped: bool,
}

enum Quoted {
    /// The position of the closing quote.
    Closed {
        at: usize,
        doubled: bool,
    },
    Flawed(FlawKind),
    More,
}

/// The byte that ends a line: LF, unless a lone CR outside quotes comes before any LF. Returns None if more data is needed to decide.
pub(super) fn terminator(data: &[u8], quote: Option<u8>, ended: bool) -> Option<u8> {
    let mut quoted = false;
    for at in memchr3_iter(quote.unwrap_or(b'\r'), b'\r', b'\n', data) {
        match data[at] {
            b'\n' => return Some(b'\n'),
            b'\r' if data.get(at + 1) == Some(&b'\n') => return Some(b'\n'),
            b'\r' if at + 1 == data.len() && !ended => return None,
            b'\r' if !quoted => return Some(b'\r'),
            b'\r' => {}
            _ => quoted = !quoted,
        }
    }
    ended.then_some(b'\n')
}

impl Scanner {
    pub(super) fn new(delimiter: u8, quote: Option<u8>, terminator: u8, limits: &Limits) -> Self {
        Scanner {
            delimiter,
            quote,
            terminator,
            limits: *limits,
            fields: Vec::new(),
            position: 0,
            newlines: 0,
            verdict: None,
        }
    }

    /// Resumes where another scanner of the same text stopped.
    pub(super) fn resume(&mut self, before: &InText) {
        self.position = before.offset;
        self.newlines = before.newlines;
        self.verdict = before.csv.as_ref().and_then(|csv| csv.verdict);
    }

    /// Bytes and line ends before the next record, and the verdict on the text after it.
    pub(super) fn place(&self) -> (u64, u64, Option<Verdict>) {
        // a verdict that ends before the position is of no use any more
        let verdict = self.verdict.filter(|verdict| verdict.until > self.position);
        (self.position, self.newlines, verdict)
    }

    /// The line at which the next record starts, from 1.
    pub(super) fn line(&self) -> i64 {
        self.newlines as i64 + 1
    }

    /// Moves past the result of a step: `length` bytes with `newlines` line ends.
    pub(super) fn advance(&mut self, length: usize, newlines: u64) {
        self.position += length as u64;
        self.newlines += newlines;
    }

    /// Scans one record (or blank line) from the start of `data`, and returns it with the number of its line ends. `ended`: no more text
    /// follows `data`.
    pub(super) fn step(&mut self, data: &[u8], ended: bool) -> (Step, u64) {
        if let Some(step) = self.blank(data, ended) {
            return (step, 1);
        }
        let mut lines = Lines::default();
        let mut step = self.record(data, ended, &mut lines);
        if lines.skipped && matches!(step, Step::Record { .. }) {
            // the record is valid, but some fields were skipped: scan it again without the verdict to get all of them
            self.verdict = None;
            lines = Lines::default();
            step = self.record(data, ended, &mut lines);
        }
        match step {
            Step::Record { length, .. } | Step::Broken { length, .. } if length > self.limits.line => {
                (self.more(data, &lines), 1)
            }
            Step::Record { .. } => (step, lines.count + 1),
            _ => (step, 1),
        }
    }

    fn blank(&self, data: &[u8], ended: bool) -> Option<Step> {
        let first = *data.first()?;
        if first == self.terminator {
            return Some(Step::Blank { length: 1 });
        }
        if first != b'\r' {
            return None;
        }
        match data.get(1) {
            Some(&second) if second == self.terminator => Some(Step::Blank { length: 2 }),
            Some(_) => None,
            None if ended => Some(Step::Blank { length: 1 }),
            None => Some(Step::More),
        }
    }

    fn record(&mut self, data: &[u8], ended: bool, lines: &mut Lines) -> Step {
        self.fields.clear();
        let mut at = 0;
        loop {
            let Some(&first) = data.get(at) else {
                if !ended || at == 0 {
                    return self.more(data, lines);
                }
                // The text ends with a delimiter: an empty field.
                self.fields.push(Field { start: at, end: at, doubled: false });
                return Step::Record { text: at, length: at };
            };
            if self.quote == Some(first) {
                let (close, doubled) = match self.quoted(data, at, ended, lines) {
                    Quoted::Closed { at, doubled } => (at, doubled),
                    Quoted::Flawed(kind) => return self.flawed(data, ended, lines, at, kind),
                    Quoted::More => return self.more(data, lines),
                };
                self.fields.push(Field { start: at + 1, end: close, doubled });
                match self.after_quote(data, close + 1, ended) {
                    After::Delimiter => at = close + 2,
                    After::End { length } => {
                        return Step::Record { text: close + 1, length };
                    }
                    After::More => return self.more(data, lines),
                    After::Junk => {
                        self.fields.pop();
                        return self.flawed(data, ended, lines, close + 1, FlawKind::Junk);
                    }
                }
                continue;
            }
            match memchr2(self.delimiter, self.terminator, &data[at..]) {
                Some(length) if data[at + length] == self.delimiter => {
                    self.fields.push(Field { start: at, end: at + length, doubled: false });
                    at += length + 1;
                }
                Some(length) => {
                    let end = self.without_cr(data, at, at + length);
                    self.fields.push(Field { start: at, end, doubled: false });
                    return Step::Record { text: end, length: at + length + 1 };
                }
                None if ended => {
                    let end = self.without_cr(data, at, data.len());
                    self.fields.push(Field { start: at, end, doubled: false });
                    return Step::Record { text: end, length: data.len() };
                }
                None => return self.more(data, lines),
            }
        }
    }

    /// Scans a quoted field from its opening quote at `open` to the closing one.
    fn quoted(&mut self, data: &[u8], open: usize, ended: bool, lines: &mut Lines) -> Quoted {
        let Some(quote) = self.quote else { return Quoted::More };
        let mut from = open + 1;
        let mut doubled = false;
        loop {
            let found = data.get(from..).and_then(|rest| memchr2(quote, self.terminator, rest)).map(|at| from + at);
            let reached = found.unwrap_or(data.len().max(from));
            let too_far = lines.second.is_some_and(|second| reached >= second + self.limits.quoted_bytes);
            let found = match found {
                Some(found) if !too_far => found,
                None if !too_far && !ended => return Quoted::More,
                _ => {
                    self.finish_record(reached, lines, None);
                    return Quoted::Flawed(FlawKind::Open);
                }
            };
            if data[found] == quote {
                match data.get(found + 1) {
                    Some(&next) if next == quote => {
                        doubled = true;
                        from = found + 2;
                    }
                    None if !ended => return Quoted::More,
                    _ => return Quoted::Closed { at: found, doubled },
                }
                continue;
            }
            from = found + 1;
            lines.count += 1;
            if lines.second.is_none() {
                lines.second = Some(from);
                lines.field = self.fields.len() + 1;
                match self.known_verdict(found) {
                    Some(Verdict { flaw: Some(kind), .. }) => return Quoted::Flawed(kind),
                    Some(Verdict { until, newlines, flaw: None }) => {
                        from = (until - self.position) as usize;
                        lines.count = newlines - self.newlines;
                        lines.skipped = true;
                    }
                    None => {}
                }
            }
            if lines.count > self.limits.quoted_lines {
                self.finish_record(from, lines, None);
                return Quoted::Flawed(FlawKind::Open);
            }
        }
    }

    /// The verdict for a scan that is within quotes at the newline at `at`, if one is cached.
    fn known_verdict(&self, at: usize) -> Option<Verdict> {
        self.verdict.filter(|verdict| self.position + (at as u64) < verdict.until)
    }

    /// Caches the verdict on the text up to `reached`. Without a flaw, a record that starts later may get further, since its limits start
    /// later too.
    fn finish_record(&mut self, reached: usize, lines: &Lines, flaw: Option<FlawKind>) {
        let until = self.position + reached as u64;
        if lines.second.is_some() && self.verdict.is_none_or(|verdict| verdict.until < until) {
            self.verdict = Some(Verdict { until, newlines: self.newlines + lines.count, flaw });
        }
    }

    fn without_cr(&self, data: &[u8], start: usize, end: usize) -> usize {
        let cr = self.terminator == b'\n' && end > start && data[end - 1] == b'\r';
        end - usize::from(cr)
    }

    fn after_quote(&self, data: &[u8], at: usize, ended: bool) -> After {
        match data.get(at) {
            None if ended => After::End { length: at },
            None => After::More,
            Some(&byte) if byte == self.delimiter => After::Delimiter,
            Some(&byte) if byte == self.terminator => After::End { length: at + 1 },
            Some(b'\r') => match data.get(at + 1) {
                None if ended => After::End { length: at + 1 },
                None => After::More,
                Some(&byte) if byte == self.terminator => After::End { length: at + 2 },
                Some(_) => After::Junk,
            },
            Some(_) => After::Junk,
        }
    }

    /// The record is broken at `at`: returns its first line.
    fn flawed(&mut self, data: &[u8], ended: bool, lines: &Lines, at: usize, kind: FlawKind) -> Step {
        if kind == FlawKind::Junk {
            self.finish_record(at, lines, Some(kind));
        }
        let field = if lines.second.is_some() { lines.field } else { self.fields.len() + 1 };
        let fault = Flaw { field, kind };
        let end = match lines.second {
            Some(second) => Some(second - 1),
            None => memchr(self.terminator, &data[at..]).map(|length| at + length),
        };
        match end {
            Some(end) => Step::Broken { text: self.without_cr(data, 0, end), length: end + 1, fault },
            None if ended => Step::Broken { text: self.without_cr(data, 0, data.len()), length: data.len(), fault },
            None => self.more(data, lines),
        }
    }

    /// Asks for more text, unless the limits are exceeded already.
    fn more(&mut self, data: &[u8], lines: &Lines) -> Step {
        if data.len() <= self.limits.line {
            return Step::More;
        }
        let Some(second) = lines.second.filter(|second| *second <= self.limits.line) else {
            return Step::TooLong;
        };
        // up to the limit and not to the end of `data`, so that the result does not depend on the chunk size
        self.finish_record(self.limits.line, lines, Some(FlawKind::Open));
        let fault = Flaw { field: lines.field, kind: FlawKind::Open };
        Step::Broken { text: self.without_cr(data, 0, second - 1), length: second, fault }
    }
}

enum After {
    Delimiter,
    End { length: usize },
    More,
    Junk,
}
