//! The grammar of JSON (RFC 8259), value by value. It never recurses: open objects and arrays are recorded in bits, up to [`MAX_DEPTH`].

use super::super::cast::Field;

/// Deeper nesting is a fault. The limit is far above the needs of records and far below what would overflow later parsers.
pub(super) const MAX_DEPTH: usize = 1024;

/// The scan has failed. The reason is in the cursor, so that the result type stays small.
#[derive(Debug)]
pub(super) struct Stop;

pub(super) type Scan<T> = Result<T, Stop>;

/// A position in a text.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// The reason of the failure, once the scan has failed.
    pub(super) broken: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Cursor { text, bytes: text.as_bytes(), at: 0, broken: "" }
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The current byte. Returns 0, which is never valid in JSON, at the end of the text.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    #[cold]
    pub(super) fn broken<T>(&mut self, what: &'static str) -> Scan<T> {
        self.broken = if self.at >= self.bytes.len() { "the record ends too early" } else { what };
        Err(Stop)
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Scan<()> {
        if !self.eat(b':') {
            self.space();
            if !self.eat(b':') {
                return self.broken("expected `:`");
            }
        }
        self.space();
        Ok(())
    }

    /// Reads a key. Returns it with its quotes, and whether it has escapes.
    pub(super) fn key(&mut self) -> Scan<(&'a str, bool)> {
        if self.peek() != b'"' {
            return self.broken("expected a key in quotes");
        }
        let start = self.at;
        let escaped = self.string()?;
        Ok((&self.text[start..self.at], escaped))
    }

    /// Checks any value and skips it.
    pub(super) fn skip(&mut self) -> Scan<()> {
        self.field().map(drop)
    }

    /// Reads any value as a field.
    #[inline(always)]
    pub(super) fn field(&mut self) -> Scan<Field<'a>> {
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

    /// Skips a string, from its opening quote to after its closing quote. Returns whether it has escapes.
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
            _ => self.broken("an escape that JSON does not define"),
        }
    }

    /// Reads the four hexadecimal digits after `u`.
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

    /// Checks an object or array and skips it.
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
                _ => self.skip()?,
            }
            // After a value: close the objects and arrays that end here, then go to the next value.
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

/// The open objects (1) and arrays (0) at a position, one bit each.
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

/// Offset at which the plain text of a string ends: the next quote, backslash or control character, or the end of the input.
/// Eight bytes at a time (Mycroft's test for a zero byte; exact for the lowest such byte, the only one needed here).
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
