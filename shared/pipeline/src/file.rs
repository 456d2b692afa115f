//! The text of a pipeline file, and the line and column of each byte.

use crate::diagnostic::{Diagnostic, Place};

/// Maximum size of a pipeline file. Larger files are refused before they are parsed.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// A pipeline file as read from disk: UTF-8, at most [`MAX_FILE_BYTES`], not parsed yet.
#[derive(Debug, Clone)]
pub struct SourceFile<'a> {
    path: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> SourceFile<'a> {
    /// `path` names the file in messages. Its stem is the pipeline's name; its folder contains the SQL files.
    ///
    /// # Errors
    /// The file is not UTF-8, or larger than [`MAX_FILE_BYTES`].
    pub fn new(path: &'a str, bytes: &'a [u8]) -> Result<Self, Diagnostic> {
        let refuse = |line, column, found: String, expected: String| Diagnostic {
            file: path.to_owned(),
            line,
            column,
            found,
            expected,
            hint: None,
        };
        if bytes.len() > MAX_FILE_BYTES {
            let found = format!("a file of {} bytes", bytes.len());
            return Err(refuse(1, 1, found, format!("a pipeline file of at most {MAX_FILE_BYTES} bytes")));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::from_text(path, text.strip_prefix('\u{feff}').unwrap_or(text))),
            Err(error) => {
                let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let (line, column) = SourceFile::from_text(path, &good).line_and_column(good.len());
                let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
                Err(refuse(line, column, format!("the byte 0x{byte:02X}, which is not UTF-8"), "UTF-8 text".to_owned()))
            }
        }
    }

    fn from_text<'t>(path: &'t str, text: &'t str) -> SourceFile<'t> {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        SourceFile { path, text, line_starts }
    }

    pub fn path(&self) -> &'a str {
        self.path
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    /// `daily-sales` of `infra/pipelines/daily-sales.toml`.
    pub fn stem(&self) -> &'a str {
        let name = self.path.rsplit(['/', '\\']).next().unwrap_or(self.path);
        name.strip_suffix(".toml").unwrap_or(name)
    }

    /// The path of a file that is given relative to the folder of this one.
    pub(crate) fn sibling(&self, relative: &str) -> String {
        match self.path.rfind(['/', '\\']) {
            Some(end) => format!("{}{relative}", &self.path[..=end]),
            None => relative.to_owned(),
        }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(offset - start, |text| text.chars().count());
        (line, before + 1)
    }

    pub(crate) fn place(&self, offset: usize) -> Place {
        let (line, column) = self.line_and_column(offset);
        Place { file: self.path.to_owned(), line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let file = SourceFile::new("p.toml", "ä = 1\n\n日本 = 2".as_bytes()).unwrap();
        assert_eq!(file.line_and_column(0), (1, 1));
        assert_eq!(file.line_and_column(3), (1, 3));
        assert_eq!(file.line_and_column(7), (2, 1));
        assert_eq!(file.line_and_column(14), (3, 3));
        assert_eq!(file.line_and_column(999), (3, 7));
    }

    #[test]
    fn stem_and_sibling() {
        let file = SourceFile::new("infra/pipelines/daily-sales.toml", b"").unwrap();
        assert_eq!(file.stem(), "daily-sales");
        assert_eq!(file.sibling("daily-sales/x.sql"), "infra/pipelines/daily-sales/x.sql");
        assert_eq!(SourceFile::new("a.toml", b"").unwrap().sibling("x.sql"), "x.sql");
    }

    #[test]
    fn what_is_not_text_is_refused() {
        let error = SourceFile::new("p.toml", b"a = 1\nb = \"\xff\"").unwrap_err();
        assert_eq!(error.to_string(), "p.toml:2:6: the byte 0xFF, which is not UTF-8; expected UTF-8 text");
        let huge = vec![b'#'; MAX_FILE_BYTES + 1];
        let error = SourceFile::new("p.toml", &huge).unwrap_err();
        assert_eq!(
            error.to_string(),
            "p.toml:1:1: a file of 1048577 bytes; expected a pipeline file of at most 1048576 bytes"
        );
    }
}
