//! Parses a pipeline file as TOML.

use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, quoted};
use crate::file::SourceFile;

/// Parses the TOML, or returns all syntax errors.
pub(super) fn parse<'t>(file: &SourceFile<'t>) -> Result<toml::Spanned<DeTable<'t>>, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(file.text());
    if errors.is_empty() {
        return Ok(document);
    }
    let mut diagnostics: Vec<Diagnostic> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or_default();
            let (found, expected) = match error.message().split_once(", expected ") {
                Some((found, "nothing")) => (found, "nothing here"),
                Some((found, expected)) => (found, expected),
                None if error.message() == "duplicate key" => ("duplicate key", "each key once"),
                None => (error.message(), "TOML"),
            };
            let text = file.text().get(span.clone()).filter(|text| !text.is_empty());
            let text = text.map(|text| format!(" at {}", quoted(text))).unwrap_or_default();
            file.place(span.start).diagnostic(format!("not TOML{text}: {found}"), expected.to_owned(), None)
        })
        .collect();
    diagnostics.sort();
    diagnostics.dedup();
    Err(diagnostics)
}
