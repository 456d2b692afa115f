//! The file format of a landed page: a skippable Zstandard frame (RFC 8878, 3.1.2) with the metadata as JSON, then the compressed body. So one
//! write stores both, and any zstd tool that decompresses the file gives the body.

use std::io::Read as _;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_pipeline::http::Pagination;

use super::request::Next;
use crate::incremental::window::Range;

const MAGIC: [u8; 4] = 0x184D_2A50u32.to_le_bytes();
/// A second skippable frame with the id of the run. Versions of this program that do not know it skip it as a part of the body.
const RUN_MAGIC: [u8; 4] = 0x184D_2A51u32.to_le_bytes();

/// Metadata of a landed page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageMetadata {
    /// Fingerprint of the definition by which it was requested.
    pub definition: String,
    pub range: Range,
    /// Which page was requested.
    pub asked: Next,
    /// The next page. None if this is the last.
    pub next: Option<Next>,
    /// How many records of the window the pages up to this one have.
    pub received: u64,
    /// The pagination of the API, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paging: Option<Pagination>,
    pub fetched_at: Timestamp,
    /// The run that requested it. It has a frame of its own; one version wrote it here.
    #[serde(default, skip_serializing)]
    pub run_id: Option<String>,
}

pub(crate) fn packed(note: &PageMetadata, body: &str) -> std::io::Result<Bytes> {
    let metadata = serde_json::to_vec(note)?;
    let mut bytes = Vec::with_capacity(metadata.len() + 64 + body.len() / 4);
    let mut skippable = |magic: [u8; 4], content: &[u8]| -> std::io::Result<()> {
        let length = u32::try_from(content.len()).map_err(std::io::Error::other)?;
        bytes.extend_from_slice(&magic);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(content);
        Ok(())
    };
    skippable(MAGIC, &metadata)?;
    if let Some(run_id) = &note.run_id {
        skippable(RUN_MAGIC, run_id.as_bytes())?;
    }
    zstd::stream::copy_encode(body.as_bytes(), &mut bytes, 1)?;
    Ok(bytes.into())
}

/// Returns None if the bytes are not a valid landed page; the page is then fetched again.
pub(crate) fn unpacked(bytes: &[u8]) -> Option<(PageMetadata, String)> {
    let (metadata, mut body) = skippable(bytes, MAGIC)?;
    let mut note: PageMetadata = serde_json::from_slice(metadata).ok()?;
    if let Some((run_id, rest)) = skippable(body, RUN_MAGIC) {
        note.run_id = Some(String::from_utf8(run_id.to_vec()).ok()?);
        body = rest;
    }
    let mut text = String::new();
    zstd::stream::read::Decoder::new(body).ok()?.read_to_string(&mut text).ok()?;
    Some((note, text))
}

/// Content of the skippable frame that bytes begin with, and the bytes after it.
fn skippable(bytes: &[u8], magic: [u8; 4]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&magic)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a page as earlier versions do: strictly, and without the id of a run.
    #[test]
    fn earlier_versions_can_read_a_page() {
        let note = PageMetadata {
            definition: "d".into(),
            range: Range::default(),
            asked: Next::First,
            next: None,
            received: 1,
            paging: None,
            fetched_at: "2026-03-01T08:00:00Z".parse().unwrap(),
            run_id: Some("r".into()),
        };
        let bytes = packed(&note, "[1]").unwrap();
        let (metadata, body) = skippable(&bytes, MAGIC).unwrap();
        assert!(!String::from_utf8_lossy(metadata).contains("run_id"));
        assert_eq!(zstd::decode_all(body).unwrap(), b"[1]");
    }

    #[test]
    fn a_page_can_be_read_back_and_its_body_by_any_zstd() {
        let note = PageMetadata {
            definition: "d".into(),
            range: Range { since: Some("2026-03-01T00:00:00Z".parse().unwrap()), until: None },
            asked: Next::First,
            next: Some(Next::Text("abc".into())),
            received: 2,
            paging: Some(Pagination::LinkHeader),
            fetched_at: "2026-03-01T08:00:00Z".parse().unwrap(),
            run_id: Some("r".into()),
        };
        let body = "{\"data\": [1, 2]}\n";
        let bytes = packed(&note, body).unwrap();
        assert_eq!(unpacked(&bytes), Some((note, body.to_owned())));
        assert_eq!(zstd::decode_all(bytes.as_ref()).unwrap(), body.as_bytes());
        for end in 0..bytes.len() {
            assert_eq!(unpacked(&bytes[..end]), None, "{end}");
        }
    }
}
