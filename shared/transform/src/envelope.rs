//! Finds the records and other values in a page of an API. Only the structure of the page is checked. Whether each record is valid is
//! decided by the contract later, so that one broken record does not make the whole page unusable.

use std::fmt;

/// The JSON pointers to read in every page of a source.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The tokens of each pointer. The first pointer is that of the records.
    wanted: Vec<Vec<String>>,
}

/// The values found in a page, as written.
#[derive(Debug, PartialEq)]
pub struct Page<'a> {
    pub records: Found<'a>,
    /// The values at the other pointers. None if absent.
    pub values: Vec<Option<&'a str>>,
}

/// The value found at the pointer to the records.
#[derive(Debug, PartialEq)]
pub enum Found<'a> {
    /// The elements of an array.
    Array(Vec<&'a str>),
    /// One object.
    Object(&'a str),
    /// `null`, which some APIs send when there are no records.
    Null,
    /// A text, number or boolean.
    Scalar(&'a str),
    Absent,
}

/// Why a body is not a valid page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    pub what: &'static str,
    /// Byte offset in the body.
    pub at: usize,
    /// Whether the body ends too early.
    pub is_cut: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { what, at, is_cut } = self;
        if *is_cut { write!(f, "the body ends too early, at byte {at}") } else { write!(f, "{what} at byte {at}") }
    }
}

impl std::error::Error for Broken {}

impl Envelope {
    /// JSON pointers (RFC 6901) to the records and to the other values to read.
    pub fn new<'p>(records: &'p str, others: impl IntoIterator<Item = &'p str>) -> Envelope {
        Envelope { wanted: std::iter::once(records).chain(others).map(tokens).collect() }
    }

    /// Reads a page. If a name occurs several times in an object, the last member counts.
    ///
    /// # Errors
    /// The structure of the body is not that of a JSON value.
    pub fn read<'a>(&self, body: &'a str) -> Result<Page<'a>, Broken> {
        let mut scan = EnvelopeScan::new(self, body);
        let all: Vec<usize> = (0..self.wanted.len()).collect();
        scan.value(0, &all)?;
        scan.space();
        if scan.at < scan.bytes.len() {
            return scan.broken("unexpected text after the value");
        }
        let EnvelopeScan { elements, mut found, .. } = scan;
        let values = found.split_off(1);
        let records = match (elements, found.pop().flatten()) {
            (Some(elements), _) => Found::Array(elements),
            (None, None) => Found::Absent,
            (None, Some(text)) => match text.as_bytes().first() {
                // longer pointers, to values inside the records' value, have been resolved before
                Some(b'[') => Found::Array(elements_of(text)?),
                Some(b'{') => Found::Object(text),
                _ if text == "null" => Found::Null,
                _ => Found::Scalar(text),
            },
        };
        Ok(Page { records, values })
    }
}

/// Names of the members of a body, at most ten. Empty if the body is not an object.
pub fn members(body: &str) -> Vec<String> {
    let envelope = Envelope { wanted: Vec::new() };
    let mut scan = EnvelopeScan::new(&envelope, body);
    let mut names = Vec::new();
    scan.space();
    if !scan.eat(b'{') {
        return names;
    }
    while names.len() < 10 {
        scan.space();
        let Ok(name) = scan.key() else { break };
        names.push(unescaped(name));
        if scan.skip().is_err() {
            break;
        }
        scan.space();
        if !scan.eat(b',') {
            break;
        }
    }
    names
}

/// The text of a JSON string, number or boolean. Returns None for null, objects and arrays.
pub fn scalar(value: &str) -> Option<String> {
    match value.as_bytes().first()? {
        b'"' => Some(unescaped(value)),
        b'{' | b'[' | b'n' => None,
        _ => Some(value.to_owned()),
    }
}

fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// A string without its quotes and with its escapes decoded. If an escape is invalid, the text is returned as written.
fn unescaped(quoted: &str) -> String {
    sonic_rs::from_str(quoted).unwrap_or_else(|_| quoted.trim_matches('"').to_owned())
}

fn elements_of(array: &str) -> Result<Vec<&str>, Broken> {
    let envelope = Envelope { wanted: Vec::new() };
    EnvelopeScan::new(&envelope, array).elements()
}

struct EnvelopeScan<'e, 'a> {
    envelope: &'e Envelope,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    found: Vec<Option<&'a str>>,
    elements: Option<Vec<&'a str>>,
}

impl<'e, 'a> EnvelopeScan<'e, 'a> {
    fn new(envelope: &'e Envelope, text: &'a str) -> Self {
        let found = vec![None; envelope.wanted.len()];
        EnvelopeScan { envelope, text, bytes: text.as_bytes(), at: 0, found, elements: None }
    }

    /// Reads a value. `active`: the pointers that end at it or lead through it. Recursion is limited by the length of the pointers.
    fn value(&mut self, depth: usize, active: &[usize]) -> Result<(), Broken> {
        self.space();
        let start = self.at;
        let wanted = &self.envelope.wanted;
        let deeper: Vec<usize> = active.iter().copied().filter(|&nth| wanted[nth].len() > depth).collect();
        let is_records = active.contains(&0) && wanted[0].len() == depth;
        match self.peek() {
            b'{' if !deeper.is_empty() => self.object(depth, &deeper)?,
            b'[' if !deeper.is_empty() => self.array(depth, &deeper)?,
            b'[' if is_records => self.elements = Some(self.elements()?),
            _ => self.skip()?,
        }
        let slice = &self.text[start..self.at];
        for &nth in active.iter().filter(|&&nth| wanted[nth].len() == depth) {
            self.found[nth] = Some(slice);
        }
        Ok(())
    }

    fn object(&mut self, depth: usize, deeper: &[usize]) -> Result<(), Broken> {
        self.at += 1;
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let key = self.key()?;
            self.member(depth, deeper, &unescaped(key))?;
            self.space();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return self.broken("expected `,` or `}`");
            }
        }
    }

    fn array(&mut self, depth: usize, deeper: &[usize]) -> Result<(), Broken> {
        self.at += 1;
        self.space();
        if self.eat(b']') {
            return Ok(());
        }
        for index in 0usize.. {
            self.member(depth, deeper, &index.to_string())?;
            self.space();
            if self.eat(b']') {
                break;
            }
            if !self.eat(b',') {
                return self.broken("expected `,` or `]`");
            }
        }
        Ok(())
    }

    fn member(&mut self, depth: usize, deeper: &[usize], key: &str) -> Result<(), Broken> {
        let wanted = &self.envelope.wanted;
        let below: Vec<usize> = deeper.iter().copied().filter(|&nth| wanted[nth][depth] == key).collect();
        if below.is_empty() {
            return self.skip();
        }
        // the last member of a name counts, even if it has fewer of the values than an earlier one
        for &nth in &below {
            self.found[nth] = None;
            if nth == 0 {
                self.elements = None;
            }
        }
        self.value(depth + 1, &below)
    }

    /// Reads the elements of the array at the current position.
    fn elements(&mut self) -> Result<Vec<&'a str>, Broken> {
        let mut elements = Vec::new();
        self.at += 1;
        self.space();
        if self.eat(b']') {
            return Ok(elements);
        }
        loop {
            self.space();
            let start = self.at;
            self.skip()?;
            elements.push(&self.text[start..self.at]);
            self.space();
            if self.eat(b']') {
                return Ok(elements);
            }
            if !self.eat(b',') {
                return self.broken("expected `,` or `]`");
            }
        }
    }

    /// Reads a key and the colon after it. Returns the key with its quotes.
    fn key(&mut self) -> Result<&'a str, Broken> {
        if self.peek() != b'"' {
            return self.broken("expected a key in quotes");
        }
        let start = self.at;
        self.string()?;
        let key = &self.text[start..self.at];
        self.space();
        if !self.eat(b':') {
            return self.broken("expected `:`");
        }
        Ok(key)
    }

    /// Skips a value.
    fn skip(&mut self) -> Result<(), Broken> {
        self.space();
        match self.peek() {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            b'}' | b']' | b',' | b':' => self.broken("expected a value"),
            _ => {
                let rest = &self.bytes[self.at..];
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b'"' | b':') || byte.is_ascii_whitespace();
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                self.at += length;
                if length == 0 { self.broken("expected a value") } else { Ok(()) }
            }
        }
    }

    fn nested(&mut self) -> Result<(), Broken> {
        let mut depth = 0usize;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')) else {
                self.at = self.bytes.len();
                return self.broken("");
            };
            self.at += length;
            match self.bytes[self.at] {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                _ => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn string(&mut self) -> Result<(), Broken> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
                Some(length) if rest[length] == b'"' => {
                    self.at += length + 1;
                    return Ok(());
                }
                Some(length) => self.at += length + 2,
                None => {
                    self.at = self.bytes.len();
                    return self.broken("");
                }
            }
        }
    }

    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn broken<T>(&self, what: &'static str) -> Result<T, Broken> {
        Err(Broken { what, at: self.at.min(self.bytes.len()), is_cut: self.at >= self.bytes.len() })
    }
}

#[cfg(test)]
mod tests;
