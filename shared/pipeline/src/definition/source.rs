//! `[source]`: the source of raw rows.

use serde::{Deserialize, Serialize};

use crate::http::Http;
use crate::name::ColumnName;

/// `[source]`, by its `kind`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    Files(Files),
    Http(Box<Http>),
}

/// Source `files`: a file, a glob, or a folder (all files below it except hidden ones).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Files {
    pub path: String,
    /// By default from the file name (`.csv`, `.csv.gz`, `.ndjson.zst`, …).
    pub format: Option<Format>,
    pub csv: Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
}

/// `csv = { delimiter = ";", quote = "'", header = true, columns = ["a"], encoding = "utf-8" }` in `[source]`. One record is one raw row;
/// every field is stored as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Csv {
    /// One ASCII byte, `,` by default.
    pub delimiter: u8,
    /// One ASCII byte, `"` by default; `None` (written `""`) for no quoting.
    pub quote: Option<u8>,
    /// `header = true` (default), or `header = false` with `columns = ["…"]`.
    pub header: Header,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// The first record has the column names.
    First,
    /// There is no header; these are the column names.
    Given(Vec<ColumnName>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// With or without byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl Default for Csv {
    fn default() -> Self {
        Csv { delimiter: b',', quote: Some(b'"'), header: Header::First, encoding: Encoding::Utf8 }
    }
}
