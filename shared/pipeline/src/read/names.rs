//! Checks of names that several tables of a file have in common.

use super::fields::{Fields, TextValue};
use crate::diagnostic::quoted;
use crate::name::{ColumnName, DatasetName};

/// Whether a name is not in `before`. A duplicate is reported.
pub(super) fn is_new<'n>(
    fields: &Fields<'_, '_>,
    at: usize,
    what: &str,
    name: &str,
    mut before: impl Iterator<Item = &'n str>,
) -> bool {
    let new = !before.any(|other| other == name);
    if !new {
        fields.reader.report(at, format!("a second {what} {}", quoted(name)), "a unique name");
    }
    new
}

/// A dataset's name without `.raw` or `.quarantine`.
pub(super) fn base_name(fields: &Fields<'_, '_>, text: &TextValue) -> Option<DatasetName> {
    let name: DatasetName = fields.reader.name(text)?;
    if name.is_raw() || name.is_quarantine() {
        let expected = "a name without `.`; `.raw` and `.quarantine` are added automatically";
        fields.reader.report(text.at, format!("{} for a dataset's name", quoted(&text.text)), expected);
        return None;
    }
    Some(name)
}

/// Parses a key: at least one column of `known`, each once.
pub(super) fn keys(fields: &Fields<'_, '_>, texts: &[TextValue], known: &[ColumnName]) -> Vec<ColumnName> {
    let mut key: Vec<ColumnName> = Vec::new();
    for text in texts {
        if let Some(name) = fields.reader.column(text, known, &fields.label)
            && is_new(fields, text.at, "key column", name.as_str(), key.iter().map(ColumnName::as_str))
        {
            key.push(name);
        }
    }
    if texts.is_empty() {
        fields.reader.report(fields.at("key"), "an empty `key`", "at least one column, or no `key` at all");
    }
    key
}

/// A target's name, which is used in run records and file names.
pub(super) fn target_name(fields: &Fields<'_, '_>, default: impl FnOnce() -> String) -> Option<String> {
    let Some(text) = fields.text("name") else {
        return Some(default());
    };
    let good = text.text.len() <= 100
        && text.text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !good {
        let expected = "1 to 100 letters, digits, `-` and `_`, starting with a letter";
        fields.reader.report(text.at, format!("{} for a target's name", quoted(&text.text)), expected);
    }
    good.then_some(text.text)
}
