//! Cuts the next record off a text: RFC 4180, read tolerantly. Knows bytes only, since every byte that means something is
//! ASCII and no byte of a longer UTF-8 character is.
//!
//! - A record ends with LF or CRLF (in a file whose first line ends with a lone CR: with CR). Empty lines are no records.
//! - A field is quoted only if its first byte is the quote; a quote further on is text.
//! - A record whose quoted field is not closed, or is followed by something, is broken: then only the line in which it
//!   starts is taken, and reading goes on with the next line. So a stray quote costs a line, not the file.
//!
//! To stay linear in the length of the text although reading goes back, what one record found out about the lines after it
//! is kept ([`Verdict`]): a newline within quotes leads to the same end whoever opened the quotes.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3_iter};

use super::super::limits::Limits;
use super::super::position::InText;
use super::super::verdict::{FlawKind, Verdict};

/// Where a field lies in its record, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Holds doubled quotes.
    pub(super) doubled: bool,
}

/// The text of a field, doubled quotes made one.
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
    /// The text does not hold a whole record yet (or nothing at all, if it has ended).
    More,
    /// An empty line of so many bytes.
    Blank { length: usize },
    /// A record of `text` bytes in `length` bytes with its line end; its fields are in [`Scanner::fields`].
    Record { text: usize, length: usize },
    /// A line whose record is none.
    Broken { text: usize, length: usize, fault: Flaw },
    /// The line is longer than is held.
    TooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    /// From 1.
    pub(super) field: usize,
    pub(super) kind: FlawKind,
}

pub(super) struct Scanner {
    delimiter: u8,
    quote: Option<u8>,
    terminator: u8,
    limits: Limits,
    /// Of the last record.
    pub(super) fields: Vec<Field>,
    /// Position in the whole text of the record to be scanned, and newlines before it.
    position: u64,
    newlines: u64,
    verdict: Option<Verdict>,
}

/// Of one record while it is scanned.
#[derive(Default)]
struct Lines {
    /// Where its second line starts, if it has one.
    second: Option<usize>,
    /// The field in which the first line ended.
    field: usize,
    count: u64,
    /// Fields were skipped by way of a verdict.
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

/// The byte that ends a line: LF, unless a lone CR outside quotes comes before any LF. None = cannot be told yet.
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

    /// Goes on where another scanner of the same text has stopped.
    pub(super) fn resume(&mut self, before: &InText) {
        self.position = before.offset;
        self.newlines = before.newlines;
        self.verdict = before.csv.as_ref().and_then(|csv| csv.verdict);
    }

    /// Bytes before the next record, line ends before it, and what is known of the text after it.
    pub(super) fn place(&self) -> (u64, u64, Option<Verdict>) {
        // one that lies behind says nothing any more
        let verdict = self.verdict.filter(|verdict| verdict.until > self.position);
        (self.position, self.newlines, verdict)
    }

    /// The line at which the next record starts, from 1.
    pub(super) fn line(&self) -> i64 {
        self.newlines as i64 + 1
    }

    /// Goes past what a step has found: `length` bytes with `newlines` line ends.
    pub(super) fn advance(&mut self, length: usize, newlines: u64) {
        self.position += length as u64;
        self.newlines += newlines;
    }

    /// Looks at the text from the start of a record on. `ended`: nothing comes after `data`.
    pub(super) fn step(&mut self, data: &[u8], ended: bool) -> (Step, u64) {
        if let Some(step) = self.blank(data, ended) {
            return (step, 1);
        }
        let mut lines = Lines::default();
        let mut step = self.record(data, ended, &mut lines);
        if lines.skipped && matches!(step, Step::Record { .. }) {
            // It does end well, and is consumed whole: look again, at every field.
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

    /// From an opening quote at `open` to its closing one.
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
                match self.foreseen(found) {
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

    /// The verdict that holds for whoever is within quotes at the newline at `at`.
    fn foreseen(&self, at: usize) -> Option<Verdict> {
        self.verdict.filter(|verdict| self.position + (at as u64) < verdict.until)
    }

    /// Keeps what has been found out up to `reached`. Without a flaw the quote may still be closed for a record that starts
    /// later, and so may go further.
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

    /// The record is flawed at `at`: its first line is taken.
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

    /// More text is needed, unless there is too much already.
    fn more(&mut self, data: &[u8], lines: &Lines) -> Step {
        if data.len() <= self.limits.line {
            return Step::More;
        }
        let Some(second) = lines.second.filter(|second| *second <= self.limits.line) else {
            return Step::TooLong;
        };
        // not as far as the data happens to go, so that how the text is cut into chunks changes nothing
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
