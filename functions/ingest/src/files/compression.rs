//! Decompression of stored objects. The codec is recognised by its first bytes, never by the object's name. Decompression runs in a thread
//! of its own, in parallel with the splitting into rows.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::error::{Corrupt, Fault};

const BLOCK: usize = 256 << 10;
/// Maximum number of decompressed blocks queued for the reader.
const BLOCKS_AHEAD: usize = 4;
/// 128 MiB, the default limit of zstd. A frame may ask for up to 2 GiB.
const MAX_WINDOW_LOG: u32 = 27;
/// A stream is refused as a decompression bomb if it yields more than `BOMB_BYTES` and more than `BOMB_RATIO` times its stored bytes.
const BOMB_BYTES: u64 = 1 << 30;
const BOMB_RATIO: u64 = 5_000;

const CORRUPT: &str = "the file is damaged or truncated; copy it again from its origin";

/// Shared counter of the bytes read from the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored(Arc<AtomicU64>);

impl Stored {
    pub(super) fn for_size(bytes: u64) -> Self {
        Stored(Arc::new(AtomicU64::new(bytes)))
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    input: R,
    stored: Stored,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(out) {
                Ok(read) => {
                    self.stored.0.fetch_add(read as u64, Ordering::Relaxed);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // wrapped, so that it can be distinguished from an error of the decoder itself
                Err(error) => return Err(io::Error::new(error.kind(), FromInput(error))),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct FromInput(io::Error);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Gzip,
    Zstd,
}

impl Codec {
    fn from_head(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Codec::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Codec::Zstd),
            // A skippable frame: parallel compressors start with one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Codec::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }
}

/// The bytes of an object, decompressed.
pub(super) struct Unpacked {
    pub(super) bytes: Box<dyn Read>,
    /// How many of its stored bytes have been read.
    pub(super) stored: Stored,
    /// Whether the object is compressed.
    pub(super) is_packed: bool,
}

/// The rest of an uncompressed object whose first `before` bytes have been skipped.
pub(super) fn rest(input: impl Read + 'static, before: u64) -> Unpacked {
    let stored = Stored::for_size(before);
    let bytes = Unmarked(Counted { input, stored: stored.clone() });
    Unpacked { bytes: Box::new(bytes), stored, is_packed: false }
}

pub(super) fn open(input: Box<dyn Read + Send>) -> Result<Unpacked, Fault> {
    let stored = Stored::default();
    let mut input = Counted { input, stored: stored.clone() };
    let head = head(&mut input, 4)?;
    let codec = Codec::from_head(&head);
    let input = Cursor::new(head).chain(input);
    let bytes: Box<dyn Read> = match codec {
        None => Box::new(Unmarked(input)),
        Some(codec) => Box::new(Unmarked(decompress(codec, input, stored.clone())?)),
    };
    Ok(Unpacked { bytes, stored, is_packed: codec.is_some() })
}

/// The first `length` bytes of a reader, or fewer if it ends before.
pub(super) fn head(input: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(length);
    input.take(length as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Unwraps [`FromInput`], so that errors of the input keep their own kind and text.
struct Unmarked<R>(R);

impl<R: Read> Read for Unmarked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(|error| match error.downcast::<FromInput>() {
            Ok(FromInput(error)) => error,
            Err(error) => error,
        })
    }
}

/// Decompresses in a thread that ends with the stream, or when the receiver is dropped.
fn decompress(codec: Codec, input: impl Read + Send + 'static, stored: Stored) -> Result<Blocks, Fault> {
    let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
    thread::Builder::new().name(format!("decompress-{}", codec.name())).spawn(move || {
        let input = BufReader::with_capacity(BLOCK, input);
        let decoder: io::Result<Box<dyn Read>> = match codec {
            Codec::Gzip => Ok(Box::new(Gzip::new(input))),
            Codec::Zstd => zstd_decoder(input).map(|decoder| Box::new(decoder) as Box<dyn Read>),
        };
        match decoder {
            Ok(decoder) => send_blocks(&mut Checked { decoder, codec, stored, produced: 0 }, &sender),
            // the receiver may be gone: then there is nothing left to do
            Err(error) => drop(sender.send(Err(error))),
        }
    })?;
    Ok(Blocks { blocks, block: Vec::new(), at: 0, ended: false })
}

fn zstd_decoder<R: BufRead>(input: R) -> io::Result<ZstdDecoder<'static, R>> {
    let mut decoder = ZstdDecoder::with_buffer(input)?;
    decoder.window_log_max(MAX_WINDOW_LOG)?;
    Ok(decoder)
}

fn send_blocks(bytes: &mut impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        let read = bytes.take(BLOCK as u64).read_to_end(&mut block);
        let last = block.is_empty() || read.is_err();
        let whole = read.is_ok() || !block.is_empty();
        if whole && sender.send(Ok(block)).is_err() {
            return;
        }
        if let Err(error) = read {
            let _ = sender.send(Err(error));
        }
        if last {
            return;
        }
    }
}

/// The receiving end of the thread. An empty block marks the end of the stream; a channel that closes without one means that the thread
/// died.
struct Blocks {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Blocks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() && !self.ended {
            self.block = self.blocks.recv().map_err(|_| io::Error::other("the decompressor stopped"))??;
            self.at = 0;
            self.ended = self.block.is_empty();
        }
        let length = out.len().min(self.block.len() - self.at);
        out[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Turns errors of the decoder into [`Corrupt`] with their position, passes on errors of the input, and refuses decompression bombs.
struct Checked<R> {
    decoder: R,
    codec: Codec,
    stored: Stored,
    produced: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let codec = self.codec.name();
        let read = self.decoder.read(out).map_err(|error| {
            let from_input = error.get_ref().is_some_and(|inner| inner.is::<FromInput>());
            if from_input { error } else { corrupt(self.complaint(&error)) }
        })?;
        self.produced += read as u64;
        let taken = self.stored.total().max(1);
        if self.produced > BOMB_BYTES && self.produced / taken > BOMB_RATIO {
            return Err(corrupt(format!("the {codec} stream grows more than {BOMB_RATIO}-fold: {taken} bytes")));
        }
        Ok(read)
    }
}

impl<R> Checked<R> {
    fn complaint(&self, error: &io::Error) -> String {
        let (codec, at) = (self.codec.name(), self.stored.total());
        match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("the {codec} stream ends in the middle, at byte {at}"),
            _ => format!("the {codec} stream is corrupt before byte {at}: {error}"),
        }
    }
}

fn corrupt(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Corrupt { message, hint: CORRUPT })
}

/// Concatenated gzip members, as from `cat a.gz b.gz`. Zero bytes after the last one are padding.
struct Gzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    fn new(input: R) -> Self {
        Gzip { member: Some(GzDecoder::new(input)) }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            if let Some(mut rest) = self.member.take().map(GzDecoder::into_inner)
                && another_member(&mut rest)?
            {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Skips zero bytes and returns whether another member follows.
fn another_member(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffered = input.fill_buf()?;
        if buffered.is_empty() {
            return Ok(false);
        }
        let zeros = buffered.iter().take_while(|byte| **byte == 0).count();
        let next = buffered.get(zeros).copied();
        input.consume(zeros);
        match next {
            Some(0x1f) => return Ok(true),
            Some(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "what follows it is not gzip"));
            }
            None => {}
        }
    }
}

/// Whether an object with these first bytes is compressed.
pub(super) fn is_packed(head: &[u8]) -> bool {
    Codec::from_head(head).is_some()
}
