//! The part of a text that is in memory. It moves forward as records are consumed, and grows only while a record does not fit.

use std::io::{self, Read};

use super::frame::lossless;

pub(super) struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    chunk: usize,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R, chunk: usize) -> Self {
        Window { input, buffer: Vec::new(), start: 0, end: 0, chunk, ended: false }
    }

    /// The bytes that have been read but not consumed.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the text ends with [`Self::data`].
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn consume(&mut self, length: usize) {
        self.start = self.end.min(self.start + length);
    }

    /// Reads more, or finds the end. It at least doubles the data, so that a record which is scanned again from its start after each call
    /// costs at most a constant times its length.
    pub(super) fn grow(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let wanted = self.end + self.chunk.max(self.end);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted {
            match self.input.read(&mut self.buffer[self.end..wanted]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(length) => self.end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Consumes a line that is longer than the limit, including its line end. Returns its first `excerpt` bytes as text, and its length.
    pub(super) fn skip_line(&mut self, terminator: u8, excerpt: usize) -> io::Result<(String, usize)> {
        let kept = lossless(&self.data()[..excerpt.min(self.data().len())]);
        let mut length = 0;
        loop {
            if let Some(end) = memchr::memchr(terminator, self.data()) {
                self.consume(end + 1);
                return Ok((kept, length + end + 1));
            }
            length += self.data().len();
            self.start = self.end;
            if self.ended {
                return Ok((kept, length));
            }
            self.grow()?;
        }
    }
}
