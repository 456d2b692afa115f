//! A JSON scanner that finds the fields of a contract in one pass and checks the grammar (RFC 8259) of everything it reads.
//!
//! Records of one source mostly have the same keys in the same order, so the scanner expects at each position the key that
//! was there in the previous record and compares bytes. Only a different key costs a look-up. It recurses only along the
//! contract's pointers.

use std::fmt;

use super::super::cast::Field;
use super::super::fields::FieldKind;
use super::cursor::{Cursor, Scan, Stop};
use super::paths::{Member, NodeId, Paths};
use super::tally::Tally;

/// Keys that are longer than this, or come later in their object, are looked up each time. This keeps the memory of keys small.
const REMEMBERED: usize = 256;

/// Why a text is not a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    what: &'static str,
    /// Byte offset in the text.
    at: usize,
}

impl Broken {
    pub(super) fn at(cursor: &Cursor<'_>) -> Broken {
        Broken { what: cursor.broken, at: cursor.at }
    }
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
    /// No column reads it; it is counted under this number.
    Unknown(usize),
    /// Store it in a slot.
    Slot(usize),
    /// Descend into it: it is the n-th member of the node.
    Branch(usize),
}

/// A key with its quotes, as last seen at one position of an object.
#[derive(Debug)]
struct Expected {
    key: Box<[u8]>,
    /// The first bytes of the key as one word, and the mask of the bits in use. A key of up to 16 bytes is compared at once.
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
    /// The keys last seen, by node and position in the object.
    expected: Vec<Vec<Expected>>,
    tally: Tally,
}

impl<'p> Scanner<'p> {
    pub(crate) fn new(paths: &'p Paths) -> Self {
        let expected = (0..paths.nodes()).map(|_| Vec::new()).collect();
        Scanner { paths, expected, tally: Tally::new(paths) }
    }

    /// Fills the slots from a record. All slots must be [`Field::Null`] before. If a name occurs several times, the last member counts.
    /// After an error the contents of the slots are unspecified.
    pub(crate) fn record<'a>(&mut self, text: &'a str, slots: &mut [Field<'a>]) -> Result<(), Broken> {
        self.tally.begin();
        let mut cursor = Cursor::new(text);
        self.whole(&mut cursor, slots).map_err(|Stop| {
            self.tally.forget();
            Broken::at(&cursor)
        })
    }

    /// The counts of fields in the records scanned so far.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
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

    /// Scans any value, such as an element of an array: fills the slots and returns the value as a field.
    pub(super) fn value<'a>(&mut self, cursor: &mut Cursor<'a>, slots: &mut [Field<'a>]) -> Scan<Field<'a>> {
        let start = cursor.at;
        let field = match cursor.peek() {
            b'{' if self.paths.has_members() => {
                self.object(cursor, Paths::ROOT, slots)?;
                Field::Nested(&cursor.text[start..cursor.at])
            }
            b'[' if self.paths.has_members() => {
                self.array(cursor, Paths::ROOT, slots)?;
                Field::Nested(&cursor.text[start..cursor.at])
            }
            _ => cursor.field()?,
        };
        if let Some(slot) = self.paths.whole() {
            slots[slot] = field;
        }
        Ok(field)
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
                _ => self.resolve_key(cursor, node, position)?,
            };
            cursor.colon()?;
            match target {
                Target::Slot(slot) => {
                    self.tally.count(slot);
                    slots[slot] = cursor.field()?;
                }
                Target::Unknown(nth) => {
                    self.tally.count_unknown(nth, FieldKind::from_byte(cursor.peek()));
                    cursor.skip()?;
                }
                Target::Pass => cursor.skip()?,
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
    fn resolve_key(&mut self, cursor: &mut Cursor, node: NodeId, position: usize) -> Scan<Target> {
        let start = cursor.at;
        let raw = match cursor.key()? {
            (raw, true) => &sonic_rs::from_str::<String>(raw).unwrap_or_default(),
            (raw, false) => &raw[1..raw.len() - 1],
        };
        let target = match self.target(node, raw) {
            Some(target) => target,
            None if self.paths.is_kept(node) => Target::Pass,
            None => self.tally.unknown(node, raw).map_or(Target::Pass, Target::Unknown),
        };
        let key = &cursor.bytes[start..cursor.at];
        if key.len() <= REMEMBERED && position < REMEMBERED {
            let seen = &mut self.expected[node];
            let expected = Expected::new(key, target);
            match seen.get_mut(position) {
                Some(last) => *last = expected,
                // Usually the next position; it may be off after a key that was too long to remember. A wrong guess only costs time.
                None => seen.push(expected),
            }
        }
        Ok(target)
    }

    /// None if no pointer leads there.
    fn target(&self, node: NodeId, key: &str) -> Option<Target> {
        let at = self.paths.find(node, key)?;
        Some(match self.paths.get(node, at) {
            Member { node: None, slot: Some(slot), .. } => Target::Slot(*slot),
            _ => Target::Branch(at),
        })
    }

    /// Scans a value that has members with pointers to them.
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
            self.tally.count(slot);
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
                Some(Target::Slot(slot)) => {
                    self.tally.count(slot);
                    slots[slot] = cursor.field()?;
                }
                Some(Target::Branch(member)) => self.branch(cursor, node, member, slots)?,
                // an element has no name, so it is not counted as an unknown field
                Some(Target::Pass | Target::Unknown(_)) | None => cursor.skip()?,
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

#[cfg(test)]
mod tests;
