//! From bytes to UTF-8: removes the byte order mark, transcodes Windows-1252, and refuses files that are clearly not text. Bytes that are
//! not UTF-8 are passed on: they make one row broken, not the file.

use std::io::{self, Cursor, Read, Seek as _, SeekFrom};

use encoding_rs::WINDOWS_1252;
use tidemark_pipeline::Encoding;

use super::compression::{self, Stored, Unpacked};
use super::error::Fault;
use super::input::Input;
use super::position::Position;

const HEAD: usize = 10;
const BLOCK: usize = 64 << 10;

/// The text of an object, or the rest of it.
pub(super) struct Text {
    pub(super) bytes: Box<dyn Read>,
    pub(super) stored: Stored,
    /// The byte of the object at which its text starts. None if the stored bytes are not the text (compressed or transcoded).
    pub(super) text_start: Option<u64>,
}

/// Opens the text of an object, from a position on if one is given.
pub(super) fn open(input: Input, encoding: Encoding, from: Option<&Position>) -> Result<Text, Fault> {
    if let Some(position) = from
        && let Some(at) = position.stored()
    {
        let text_start = position.text.as_ref().and_then(|text| text.text_start);
        let Unpacked { bytes, stored, .. } = match input {
            Input::Stream(stream) => compression::rest(stream, at),
            Input::File(mut file) => {
                file.seek(SeekFrom::Start(at))?;
                compression::rest(file, at)
            }
        };
        return Ok(Text { bytes, stored, text_start });
    }
    let unpacked = match input {
        Input::Stream(stream) => compression::open(stream)?,
        Input::File(mut file) => {
            // A pipe cannot seek and is at its start anyway.
            let _ = file.seek(SeekFrom::Start(0));
            compression::open(Box::new(file))?
        }
    };
    let mut text = transcoded(unpacked, encoding)?;
    if let Some(before) = from.and_then(|position| position.text.as_ref()) {
        let passed = io::copy(&mut text.bytes.by_ref().take(before.offset), &mut io::sink())?;
        if passed < before.offset {
            let message = format!("the text ended after {passed} bytes, where {} had been read", before.offset);
            return Err(Fault::Input(io::Error::new(io::ErrorKind::UnexpectedEof, message)));
        }
    }
    Ok(text)
}

/// Decodes the text. A UTF-8 byte order mark takes precedence over the encoding in the definition.
fn transcoded(unpacked: Unpacked, encoding: Encoding) -> Result<Text, Fault> {
    let Unpacked { mut bytes, stored, is_packed } = unpacked;
    let mut head = compression::head(&mut bytes, HEAD)?;
    if let Some((what, hint)) = not_text(&head) {
        return Err(Fault::file(format!("{what}, not text"), hint));
    }
    let marked = head.starts_with(b"\xef\xbb\xbf");
    if marked {
        head.drain(..3);
    }
    let bytes = Cursor::new(head).chain(bytes);
    if encoding == Encoding::Windows1252 && !marked {
        let bytes = Windows1252 { bytes, raw: vec![0; BLOCK], transcoded: Vec::new(), at: 0 };
        return Ok(Text { bytes: Box::new(bytes), stored, text_start: None });
    }
    let text_start = (!is_packed).then_some(if marked { 3 } else { 0 });
    Ok(Text { bytes: Box::new(bytes), stored, text_start })
}

/// Recognises files that are not plain text by their first bytes: what they are, and what to do.
fn not_text(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it, or pack it with gzip or zstd";
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Some(("this is UTF-16", "save it as UTF-8, for example with `iconv -f utf-16 -t utf-8`"))
        }
        [b'P', b'A', b'R', b'1', ..] => Some(("this is a Parquet file", "set `format = \"parquet\"`")),
        [b'P', b'K', 3, 4, ..] => {
            Some(("this is a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"))
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some(("this is an old Excel workbook", "save the sheet as CSV")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("this is packed with xz", UNPACK)),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y'] => {
            Some(("this is packed with bzip2", UNPACK))
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(("this is packed with lz4", UNPACK)),
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(("this is packed twice", "unpack it once")),
        _ => None,
    }
}

/// Transcodes blocks one by one, which is correct because every byte of Windows-1252 is one character.
struct Windows1252<R> {
    bytes: R,
    raw: Vec<u8>,
    transcoded: Vec<u8>,
    at: usize,
}

impl<R: Read> Read for Windows1252<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.transcoded.len() {
            let length = self.bytes.read(&mut self.raw)?;
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(&self.raw[..length]);
            self.transcoded.clear();
            self.transcoded.extend_from_slice(text.as_bytes());
            self.at = 0;
        }
        let length = out.len().min(self.transcoded.len() - self.at);
        out[..length].copy_from_slice(&self.transcoded[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
