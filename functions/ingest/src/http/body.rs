//! The body of an answer as text: decompressed, within limits, and UTF-8.

use std::io::{self, Read};

/// Maximum ratio of decompressed to received bytes, for bodies larger than `LARGE` bytes.
const RATIO: u64 = 1_000;
const LARGE: u64 = 4 << 20;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    Large { limit: u64 },
    #[error(
        "the body decompresses from {sent} bytes to more than {RATIO} times the size, which may be a decompression bomb"
    )]
    Bomb { sent: u64 },
    #[error("the body has content encoding {0}, which was not requested")]
    Unknown(String),
    /// Retried like a broken connection: the same request may return a valid body.
    #[error("the body cannot be decompressed")]
    Damaged(#[source] io::Error),
    #[error("byte {at} of the body is not UTF-8")]
    NotUtf8 { at: usize },
}

/// Supported encodings, for `Accept-Encoding`.
pub(crate) const ACCEPTED: &str = "gzip, zstd, br";

/// The text of a body that was received with content encoding `encoding`.
pub(crate) fn text(sent: Vec<u8>, encoding: Option<&str>, limit: u64) -> Result<String, BodyError> {
    let bytes = match encoding.map(|encoding| encoding.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => sent,
        Some("gzip" | "x-gzip") => unpacked(flate2::read::MultiGzDecoder::new(sent.as_slice()), &sent, limit)?,
        Some("br") => unpacked(brotli_decompressor::Decompressor::new(sent.as_slice(), 1 << 16), &sent, limit)?,
        Some("zstd") => {
            unpacked(zstd::stream::read::Decoder::new(sent.as_slice()).map_err(BodyError::Damaged)?, &sent, limit)?
        }
        Some(other) => return Err(BodyError::Unknown(other.to_owned())),
    };
    if bytes.len() as u64 > limit {
        return Err(BodyError::Large { limit });
    }
    let text = String::from_utf8(bytes).map_err(|error| BodyError::NotUtf8 { at: error.utf8_error().valid_up_to() })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn unpacked(decoder: impl Read, sent: &[u8], limit: u64) -> Result<Vec<u8>, BodyError> {
    let size = sent.len() as u64;
    let max = limit.min(size.saturating_mul(RATIO).max(LARGE));
    let mut bytes = Vec::new();
    decoder.take(max + 1).read_to_end(&mut bytes).map_err(BodyError::Damaged)?;
    match bytes.len() as u64 > max {
        true if max < limit => Err(BodyError::Bomb { sent: size }),
        true => Err(BodyError::Large { limit }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_decoded() {
        let plain = "{\"a\":\"ä\"}";
        let zstd = zstd::encode_all(plain.as_bytes(), 1).unwrap();
        assert_eq!(text(gzip(plain.as_bytes()), Some("GZIP"), 100).unwrap(), plain);
        assert_eq!(text(zstd, Some("zstd"), 100).unwrap(), plain);
        assert_eq!(text(format!("\u{feff}{plain}").into_bytes(), None, 100).unwrap(), plain);
    }

    #[test]
    fn large_and_invalid_bodies_are_refused() {
        let zeros = vec![b' '; 8 << 20];
        assert!(matches!(text(gzip(&zeros), Some("gzip"), 64 << 20), Err(BodyError::Bomb { .. })));
        assert!(matches!(text(gzip(&zeros), Some("gzip"), 1 << 20), Err(BodyError::Large { limit: 1_048_576 })));
        assert!(matches!(text(zeros, None, 1 << 20), Err(BodyError::Large { .. })));
        assert!(matches!(text(vec![1], Some("compress"), 10), Err(BodyError::Unknown(_))));
        assert!(matches!(text(vec![b'a', 0xff], None, 10), Err(BodyError::NotUtf8 { at: 1 })));
        let packed = gzip(b"{}");
        assert!(matches!(text(packed[..packed.len() - 4].to_vec(), Some("gzip"), 10), Err(BodyError::Damaged(_))));
    }
}
