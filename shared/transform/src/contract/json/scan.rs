//! A JSON scanner that finds the fields of a contract in one pass and checks the grammar (RFC 8259) of all it passes.
//!
//! Records of one source mostly have the same keys in the same order, so the scanner expects at each position the key it
//! saw there last and compares bytes; only a surprise costs a look-up. It never recurses into data: nesting is counted in
//! bits and ends at [`MAX_DEPTH`]; recursion follows the contract's pointers only.

use std::fmt;

use super::super::cast::Field;
use super::paths::{Member, NodeId, Paths};

/// Deeper nesting is a fault. Far beyond what a record needs, and far below what harms whoever parses the text after us.
pub(crate) const MAX_DEPTH: usize = 1024;

/// Keys longer than this, or later in their object, are looked up each time; so what is remembered stays small.
const REMEMBERED: usize = 256;

/// Why a text is not a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    what: &'static str,
    /// Offset in bytes.
    at: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

/// What the scanner does with the value of a key.
#[derive(Debug, Clone, Copy)]
enum Target {
    Pass,
    /// Keep it.
    Slot(usize),
    /// Go on in it, as the n-th member of the node says.
    Branch(usize),
}

/// A key with its quotes, as last seen at one position of an object.
#[derive(Debug)]
struct Expected {
    key: Box<[u8]>,
    /// The first bytes of the key as one word, and which bits of it count; a key of up to 16 bytes is compared at once.
    word: u128,
    mask: u128,
    target: Target,
}

impl Expected {
    fn new(key: &[u8], target: Target) -> Expected {
        let mut word = [0; 16];
        let mut mask = [0; 16];
        for (at, byte) in key.iter().take(16).enumerate() {
            (word[at], mask[at]) = (*byte, 0xFF);
        }
        Expected { key: key.into(), word: u128::from_le_bytes(word), mask: u128::from_le_bytes(mask), target }
    }

    #[inline]
    fn begins(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk::<16>() {
            Some(chunk) if self.key.len() <= 16 => u128::from_le_bytes(*chunk) & self.mask == self.word,
            _ => bytes.starts_with(&self.key),
        }
    }
}

pub(crate) struct Scanner<'p> {
    paths: &'p Paths,
    /// Per node, by position in the object.
    expected: Vec<Vec<Expected>>,
}

/// The scan has ended; the cursor holds why, so that the result of every good value stays small.
#[derive(Debug)]
struct Stop;

type Scan<T> = Result<T, Stop>;

impl<'p> Scanner<'p> {
    pub(crate) fn new(paths: &'p Paths) -> Self {
        Scanner { paths, expected: (0..paths.nodes()).map(|_| Vec::new()).collect() }
    }

    /// Fills the slots (all [`Field::Null`] before) from a record. Of several members with one name the last counts.
    /// After an error the slots hold anything.
    pub(crate) fn record<'a>(&mut self, text: &'a str, slots: &mut [Field<'a>]) -> Result<(), Broken> {
        let mut cursor = Cursor { text, bytes: text.as_bytes(), at: 0, broken: "" };
        self.whole(&mut cursor, slots).map_err(|Stop| Broken { what: cursor.broken, at: cursor.at })
    }

    fn whole<'a>(&mut self, cursor: &mut Cursor<'a>, slots: &mut [Field<'a>]) -> Scan<()> {
        cursor.space();
        if cursor.peek() != b'{' {
            return cursor.broken("expected a JSON object");
        }
        self.object(cursor, Paths::ROOT, slots)?;
        cursor.space();
        if cursor.at < cursor.bytes.len() { cursor.broken("unexpected text after the object") } else { Ok(()) }
    }

    fn object<'a>(&mut self, cursor: &mut Cursor<'a>, node: NodeId, slots: &mut [Field<'a>]) -> Scan<()> {
        cursor.at += 1;
        cursor.space();
        if cursor.eat(b'}') {
            return Ok(());
        }
        for position in 0.. {
            let target = match self.expected[node].get(position) {
                Some(expected) if expected.begins(cursor.rest()) => {
                    cursor.at += expected.key.len();
                    expected.target
                }
                _ => self.surprise(cursor, node, position)?,
            };
            cursor.colon()?;
            match target {
                Target::Slot(slot) => slots[slot] = cursor.field()?,
                Target::Pass => cursor.pass()?,
                Target::Branch(member) => self.branch(cursor, node, member, slots)?,
            }
            cursor.space();
            match cursor.peek() {
                b',' => cursor.at += 1,
                b'}' => break,
                _ => return cursor.broken("expected `,` or `}`"),
            }
            cursor.space();
        }
        cursor.at += 1;
        Ok(())
    }

    #[cold]
    fn surprise(&mut self, cursor: &mut Cursor, node: NodeId, position: usize) -> Scan<Target> {
        let start = cursor.at;
        let raw = match cursor.key()? {
            (raw, true) => &sonic_rs::from_str::<String>(raw).unwrap_or_default(),
            (raw, false) => &raw[1..raw.len() - 1],
        };
        let target = self.target(node, raw);
        let key = &cursor.bytes[start..cursor.at];
        if key.len() <= REMEMBERED && position < REMEMBERED {
            let seen = &mut self.expected[node];
            let expected = Expected::new(key, target);
            match seen.get_mut(position) {
                Some(last) => *last = expected,
                // Positions are met in order, so this is the next one.
                None => seen.push(expected),
            }
        }
        Ok(target)
    }

    fn target(&self, node: NodeId, key: &str) -> Target {
        let Some(at) = self.paths.find(node, key) else { return Target::Pass };
        match self.paths.get(node, at) {
            Member { node: None, slot: Some(slot), .. } => Target::Slot(*slot),
            _ => Target::Branch(at),
        }
    }

    /// A value through which pointers go on.
    fn branch<'a>(&mut self, cursor: &mut Cursor<'a>, node: NodeId, at: usize, slots: &mut [Field<'a>]) -> Scan<()> {
        let Member { node, slot, below, .. } = self.paths.get(node, at);
        for &slot in below {
            slots[slot] = Field::Null;
        }
        let start = cursor.at;
        let field = match (cursor.peek(), *node) {
            (b'{', Some(next)) => {
                self.object(cursor, next, slots)?;
                Field::Nested(&cursor.text[start..cursor.at])
            }
            (b'[', Some(next)) => {
                self.array(cursor, next, slots)?;
                Field::Nested(&cursor.text[start..cursor.at])
            }
            _ => cursor.field()?,
        };
        if let Some(slot) = *slot {
            slots[slot] = field;
        }
        Ok(())
    }

    fn array<'a>(&mut self, cursor: &mut Cursor<'a>, node: NodeId, slots: &mut [Field<'a>]) -> Scan<()> {
        cursor.at += 1;
        cursor.space();
        if cursor.eat(b']') {
            return Ok(());
        }
        for index in 0usize.. {
            match self.target(node, &index.to_string()) {
                Target::Slot(slot) => slots[slot] = cursor.field()?,
                Target::Pass => cursor.pass()?,
                Target::Branch(member) => self.branch(cursor, node, member, slots)?,
            }
            cursor.space();
            match cursor.peek() {
                b',' => cursor.at += 1,
                b']' => break,
                _ => return cursor.broken("expected `,` or `]`"),
            }
            cursor.space();
        }
        cursor.at += 1;
        Ok(())
    }
}

/// A place in a text.
struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// What is wrong here, once something is.
    broken: &'static str,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The byte here; 0, which is valid nowhere in JSON, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    #[cold]
    fn broken<T>(&mut self, what: &'static str) -> Scan<T> {
        self.broken = if self.at >= self.bytes.len() { "the record ends too early" } else { what };
        Err(Stop)
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    #[inline]
    fn colon(&mut self) -> Scan<()> {
        if !self.eat(b':') {
            self.space();
            if !self.eat(b':') {
                return self.broken("expected `:`");
            }
        }
        self.space();
        Ok(())
    }

    /// A key with its quotes, and whether it has escapes.
    fn key(&mut self) -> Scan<(&'a str, bool)> {
        if self.peek() != b'"' {
            return self.broken("expected a key in quotes");
        }
        let start = self.at;
        let escaped = self.string()?;
        Ok((&self.text[start..self.at], escaped))
    }

    /// Any value, checked and forgotten.
    fn pass(&mut self) -> Scan<()> {
        self.field().map(drop)
    }

    /// Any value as a field.
    #[inline(always)]
    fn field(&mut self) -> Scan<Field<'a>> {
        let start = self.at;
        Ok(match self.peek() {
            b'"' => {
                if self.string()? {
                    Field::Escaped(&self.text[start..self.at])
                } else {
                    Field::Text(&self.text[start + 1..self.at - 1])
                }
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Field::Number(&self.text[start..self.at])
            }
            b'{' | b'[' => {
                self.nested()?;
                Field::Nested(&self.text[start..self.at])
            }
            b't' => {
                self.word(b"true")?;
                Field::Bool(true)
            }
            b'f' => {
                self.word(b"false")?;
                Field::Bool(false)
            }
            b'n' => {
                self.word(b"null")?;
                Field::Null
            }
            _ => return self.broken("expected a value"),
        })
    }

    fn word(&mut self, word: &[u8]) -> Scan<()> {
        if !self.rest().starts_with(word) {
            return self.broken("expected `true`, `false` or `null`");
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Scan<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { self.broken("expected a digit") } else { Ok(()) }
    }

    #[inline]
    fn number(&mut self) -> Scan<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// A string from its opening quote to behind its closing one; whether it has escapes.
    #[inline]
    fn string(&mut self) -> Scan<bool> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.broken("a string has a control character that is not escaped"),
            }
        }
    }

    fn escape(&mut self) -> Scan<()> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => match self.unit()? {
                0xD800..=0xDBFF => {
                    let low = self.rest().starts_with(b"\\u");
                    self.at += usize::from(low);
                    if low && (0xDC00..=0xDFFF).contains(&self.unit()?) {
                        return Ok(());
                    }
                    self.broken("half a surrogate pair")
                }
                0xDC00..=0xDFFF => self.broken("half a surrogate pair"),
                _ => Ok(()),
            },
            _ => self.broken("an escape that JSON does not know"),
        }
    }

    /// The four hexadecimal digits behind `u`.
    fn unit(&mut self) -> Scan<u32> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return self.broken("expected four hexadecimal digits");
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    /// Passes over an object or array.
    fn nested(&mut self) -> Scan<()> {
        let mut stack = Stack::default();
        loop {
            match self.peek() {
                open @ (b'{' | b'[') => {
                    if !stack.push(open == b'{') {
                        return self.broken("nested deeper than 1024 levels");
                    }
                    self.at += 1;
                    self.space();
                    match (open, self.peek()) {
                        (b'{', b'}') | (b'[', b']') => {}
                        (b'{', _) => {
                            self.key()?;
                            self.colon()?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                _ => self.pass()?,
            }
            // Behind a value: close what ends here, then go to the next value.
            loop {
                let Some(object) = stack.top() else { return Ok(()) };
                self.space();
                match (self.peek(), object) {
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        stack.pop();
                    }
                    (b',', _) => {
                        self.at += 1;
                        self.space();
                        if object {
                            self.key()?;
                            self.colon()?;
                        }
                        break;
                    }
                    (_, true) => return self.broken("expected `,` or `}`"),
                    (_, false) => return self.broken("expected `,` or `]`"),
                }
            }
        }
    }
}

/// The open objects (1) and arrays (0) around a place.
#[derive(Default)]
struct Stack {
    bits: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Stack {
    fn push(&mut self, object: bool) -> bool {
        let Some(word) = self.bits.get_mut(self.depth / 64) else { return false };
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        true
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }

    fn top(&self) -> Option<bool> {
        let at = self.depth.checked_sub(1)?;
        Some(self.bits[at / 64] >> (at % 64) & 1 == 1)
    }
}

/// Where the plain text of a string ends: the next quote, backslash, control character, or the end of all.
/// Eight bytes at a time (Mycroft's test for a zero byte; exact for the lowest such byte, which is the one asked for).
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let stop = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
        if stop != 0 {
            return at + (stop.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
