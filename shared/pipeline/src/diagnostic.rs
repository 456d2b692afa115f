//! Errors in pipeline files. Each is one line, with a location that editors recognize.

use std::fmt;

use serde::Serialize;

/// An error in a file of the user. `Display` gives `file:line:column: found; expected …; hint`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub struct Diagnostic {
    /// The file, as named by the caller: `infra/pipelines/daily-sales.toml`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// ``unknown field `kye` in [contract]``
    pub found: String,
    /// ``one of `dataset`, `key`, …``; follows "expected " in the message.
    pub expected: String,
    /// ``did you mean `key`?``
    pub hint: Option<String>,
}

/// First words of the message about a dataset that no pipeline produces.
pub(crate) const UNKNOWN_DATASET: &str = "unknown dataset";

impl Diagnostic {
    /// Whether it reports a dataset that no pipeline produces. The producer may be a pipeline whose file is invalid.
    pub fn is_unknown_dataset(&self) -> bool {
        self.found.starts_with(UNKNOWN_DATASET)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; expected {}", self.file, self.line, self.column, self.found, self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// A location in a file, for diagnostics that need all files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    pub fn diagnostic(&self, found: String, expected: String, hint: Option<String>) -> Diagnostic {
        Diagnostic { file: self.file.clone(), line: self.line, column: self.column, found, expected, hint }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Longer names are not compared, because the cost is quadratic.
const LONGEST_TYPO: usize = 100;

/// "did you mean `key`?", if one of the known names is similar.
pub(crate) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(name, known).map(|known| format!("did you mean `{known}`?"))
}

fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > LONGEST_TYPO {
        return None;
    }
    let wanted = name.to_lowercase();
    let farthest = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|known| known.len() <= LONGEST_TYPO)
        .map(|known| (strsim::damerau_levenshtein(&wanted, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= farthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// "one of `a`, `b`, `c`", limited to 16 names.
pub(crate) fn one_of<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    const SHOWN: usize = 16;
    let known: Vec<&str> = known.into_iter().collect();
    let list = known.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => "nothing here".to_owned(),
        1 => list,
        n if n > SHOWN => format!("one of {list} and {} more", n - SHOWN),
        _ => format!("one of {list}"),
    }
}

/// The user's text in backticks: at most 60 characters, with control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(|c| c.escape_debug().collect::<Vec<_>>()).collect();
    // escape_debug also escapes quotes, which is not needed within backticks
    shown = shown.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_in_any_case_and_only_when_near() {
        let known = ["key", "dataset", "latest_by"];
        assert_eq!(nearest("kye", known), Some("key"));
        assert_eq!(nearest("Dataset", known), Some("dataset"));
        assert_eq!(nearest("latestby", known), Some("latest_by"));
        assert_eq!(nearest("partition", known), None);
        assert_eq!(nearest(&"k".repeat(100_000), known), None);
    }

    #[test]
    fn what_the_user_wrote_stays_on_one_line() {
        assert_eq!(quoted("a\nb\0"), "`a\\nb\\0`");
        assert_eq!(quoted("it's \"so\""), "`it's \"so\"`");
        assert_eq!(quoted(&"x".repeat(70)), format!("`{}…`", "x".repeat(60)));
    }
}
