//! What is wrong in a pipeline file, where, what was expected, and what to do. Made to be read by people, so every
//! message is one line that an editor can jump from.

use std::fmt;

use serde::Serialize;

/// One mistake in a file of the user's. `Display` gives `file:line:column: found; expected …; hint`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub struct Diagnostic {
    /// The file as the caller calls it: `infra/pipelines/daily-sales.toml`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// ``unknown field `kye` in [contract]``
    pub found: String,
    /// ``one of `dataset`, `key`, …``; reads on after "expected ".
    pub expected: String,
    /// ``did you mean `key`?``
    pub hint: Option<String>,
}

/// Start of the message about a dataset that no pipeline produces.
pub(crate) const UNKNOWN_DATASET: &str = "unknown dataset";

impl Diagnostic {
    /// Whether it is about a dataset that no pipeline produces. The pipeline that should produce it may be a broken one.
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

/// A point in a file that a diagnostic can be attached to later, when all files are known.
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

/// Names beyond this length are no typos, and comparing them costs the square of it.
const LONGEST_TYPO: usize = 100;

/// "did you mean `key`?", if one of the known names is near enough to be what was meant.
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

/// "one of `a`, `b`, `c`"; a long list is cut, for the reader has the nearest name beside it.
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

/// The user's text, shortened to fit on one line of a message, without line breaks.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(|c| c.escape_debug().collect::<Vec<_>>()).collect();
    // escape_debug is for Rust literals; quotes need no backslash between backticks
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
