//! Iterates over the elements of a JSON array.

use super::super::cast::Field;
use super::cursor::{Cursor, Scan, Stop};
use super::scan::{Broken, Scanner};

/// Elements of a text that is an array. An object counts as an array of one element.
pub(crate) struct Elements<'a> {
    cursor: Cursor<'a>,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    First,
    /// After an element of an array.
    Further,
    /// After the last element.
    End,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(text: &'a str) -> Elements<'a> {
        Elements { cursor: Cursor::new(text), next: Next::First }
    }

    /// Reads the next element and stores its fields in the slots, which must all be [`Field::Null`] before. Returns None after the last
    /// element.
    pub(crate) fn next(
        &mut self,
        scanner: &mut Scanner<'_>,
        slots: &mut [Field<'a>],
    ) -> Result<Option<Field<'a>>, Broken> {
        self.step(scanner, slots).map_err(|Stop| Broken::at(&self.cursor))
    }

    fn step(&mut self, scanner: &mut Scanner<'_>, slots: &mut [Field<'a>]) -> Scan<Option<Field<'a>>> {
        let cursor = &mut self.cursor;
        cursor.space();
        match (self.next, cursor.peek()) {
            (Next::End, _) if cursor.at < cursor.bytes.len() => {
                return cursor.broken("unexpected text after the array");
            }
            (Next::End, _) => return Ok(None),
            (Next::First, b'{') => {
                self.next = Next::End;
                return scanner.value(cursor, slots).map(Some);
            }
            (Next::First, b'[') => {
                cursor.at += 1;
                cursor.space();
                if cursor.eat(b']') {
                    self.next = Next::End;
                    return self.step(scanner, slots);
                }
            }
            (Next::First, _) => return cursor.broken("expected an array or an object"),
            (Next::Further, b',') => {
                cursor.at += 1;
                cursor.space();
            }
            (Next::Further, b']') => {
                cursor.at += 1;
                self.next = Next::End;
                return self.step(scanner, slots);
            }
            (Next::Further, _) => return cursor.broken("expected `,` or `]`"),
        }
        self.next = Next::Further;
        scanner.value(cursor, slots).map(Some)
    }
}
