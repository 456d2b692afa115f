//! The elements of a JSON array, one by one.

use super::super::cast::Field;
use super::cursor::{Cursor, Scan, Stop};
use super::scan::{Broken, Scanner};

/// A text that is an array, or an object, which counts as an array of one.
pub(crate) struct Elements<'a> {
    cursor: Cursor<'a>,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    First,
    /// Behind an element of an array.
    Further,
    /// Behind all of it.
    End,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(text: &'a str) -> Elements<'a> {
        Elements { cursor: Cursor::new(text), next: Next::First }
    }

    /// The next element, its fields in the slots (all [`Field::Null`] before); `None` behind the last one.
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
