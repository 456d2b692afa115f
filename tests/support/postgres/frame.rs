//! Where a message of the protocol begins and ends, either way.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::proxy::Direction;

/// The type that stands for those without one.
pub const UNTYPED: u8 = 0;

const CHUNK: usize = 1 << 16;
const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
const GSS_REQUEST: [u8; 4] = 80_877_104_u32.to_be_bytes();

/// How far a connection has begun: its first messages have no type, and a request for TLS is answered by a byte alone.
#[derive(Default)]
pub struct Framing {
    is_started: AtomicBool,
    awaits_byte: AtomicBool,
}

/// The head of a message, as it came, and how many bytes follow.
pub struct Frame {
    pub kind: u8,
    head: Vec<u8>,
    rest: usize,
}

impl Framing {
    /// The next head; `None` at the end.
    pub fn next(&self, from: &mut impl Read, direction: Direction) -> io::Result<Option<Frame>> {
        let mut first = [0];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        if direction == Direction::ToServer && !self.is_started.load(Ordering::SeqCst) {
            return self.untyped(first[0], from).map(Some);
        }
        if direction == Direction::ToClient && self.awaits_byte.swap(false, Ordering::SeqCst) {
            // N: no TLS
            let is_plain = first == *b"N";
            let frame = Frame { kind: first[0], head: first.into(), rest: 0 };
            return if is_plain { Ok(Some(frame)) } else { Err(invalid("messages in TLS cannot be seen")) };
        }
        let mut head = [first[0], 0, 0, 0, 0];
        from.read_exact(&mut head[1..])?;
        let rest = behind([head[1], head[2], head[3], head[4]], 4)?;
        Ok(Some(Frame { kind: head[0], head: head.into(), rest }))
    }

    fn untyped(&self, first: u8, from: &mut impl Read) -> io::Result<Frame> {
        let mut length = [first, 0, 0, 0];
        from.read_exact(&mut length[1..])?;
        let mut code = [0; 4];
        from.read_exact(&mut code)?;
        let is_request = code == SSL_REQUEST || code == GSS_REQUEST;
        // before it is forwarded, so before it can be answered
        self.awaits_byte.store(is_request, Ordering::SeqCst);
        self.is_started.store(!is_request, Ordering::SeqCst);
        Ok(Frame { kind: UNTYPED, head: [length, code].concat(), rest: behind(length, 8)? })
    }
}

/// A length counts itself and, of what follows it, what is read already.
fn behind(length: [u8; 4], read: u32) -> io::Result<usize> {
    let rest = u32::from_be_bytes(length).checked_sub(read).ok_or_else(|| invalid("too short"))?;
    Ok(usize::try_from(rest).unwrap())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Frame {
    pub fn send(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        carry(&self.head, self.rest, from, to)
    }

    pub fn send_half(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let half = (self.head.len() + self.rest) / 2;
        let of_head = half.min(self.head.len());
        carry(&self.head[..of_head], half - of_head, from, to)
    }
}

fn carry(head: &[u8], mut rest: usize, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = head.to_vec();
    loop {
        let begun = chunk.len();
        let more = rest.min(CHUNK);
        chunk.resize(begun + more, 0);
        from.read_exact(&mut chunk[begun..])?;
        to.write_all(&chunk)?;
        rest -= more;
        chunk.clear();
        if rest == 0 {
            return Ok(());
        }
    }
}
