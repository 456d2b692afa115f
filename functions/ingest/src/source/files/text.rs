//! From bytes to UTF-8: the byte order mark goes, Windows-1252 is turned, and what is plainly no text is refused. Bytes
//! that are not UTF-8 pass: they are the fault of one row, not of the file.

use std::io::{self, Cursor, Read};

use encoding_rs::WINDOWS_1252;
use tidemark_pipeline::Encoding;

use super::compression;
use super::error::Fault;

const HEAD: usize = 10;
const BLOCK: usize = 64 << 10;

/// The text of an object. A UTF-8 byte order mark says what the bytes are, whatever the definition says.
pub(super) fn open(mut bytes: Box<dyn Read>, encoding: Encoding) -> Result<Box<dyn Read>, Fault> {
    let mut head = compression::head(&mut bytes, HEAD)?;
    if let Some((what, hint)) = foreign(&head) {
        return Err(Fault::file(format!("{what}, not text"), hint));
    }
    let marked = head.starts_with(b"\xef\xbb\xbf");
    if marked {
        head.drain(..3);
    }
    let bytes = Cursor::new(head).chain(bytes);
    Ok(match encoding {
        Encoding::Windows1252 if !marked => {
            Box::new(Windows1252 { bytes, raw: vec![0; BLOCK], turned: Vec::new(), at: 0 })
        }
        Encoding::Utf8 | Encoding::Windows1252 => Box::new(bytes),
    })
}

/// What bytes are that are no text of ours, and what to do.
fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it, or pack it with gzip or zstd";
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Some(("this is UTF-16", "save it as UTF-8, for example with `iconv -f utf-16 -t utf-8`"))
        }
        [b'P', b'A', b'R', b'1', ..] => Some(("this is a Parquet file", "say `format = \"parquet\"`")),
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

/// Every byte of Windows-1252 is one character, so blocks are turned one by one.
struct Windows1252<R> {
    bytes: R,
    raw: Vec<u8>,
    turned: Vec<u8>,
    at: usize,
}

impl<R: Read> Read for Windows1252<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.turned.len() {
            let length = self.bytes.read(&mut self.raw)?;
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(&self.raw[..length]);
            self.turned.clear();
            self.turned.extend_from_slice(text.as_bytes());
            self.at = 0;
        }
        let length = out.len().min(self.turned.len() - self.at);
        out[..length].copy_from_slice(&self.turned[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
