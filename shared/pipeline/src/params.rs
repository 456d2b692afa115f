//! Parameters `${NAME}` in the strings of a pipeline file. Values are not expanded again, so a value cannot refer to another parameter.
//! `$${` is a literal `${`.

use serde::Serialize;

/// A parameter that a file uses or declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    pub name: String,
    /// Default value from `[parameters]`, used when no value is given.
    pub default: Option<String>,
    /// Description from `[parameters]`.
    pub about: Option<String>,
    /// Whether the file cannot be read without a value. False for a parameter that only enables or disables targets.
    pub needed: bool,
    /// Line of its first use, or of its declaration if it is unused; from 1.
    pub line: usize,
    /// Column of the same place, in characters, from 1.
    pub column: usize,
}

/// A part of a string. `at` is the byte offset of `${`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TextPart<'t> {
    Text(&'t str),
    Parameter {
        name: &'t str,
        at: usize,
    },
    /// `${` without a valid name and `}`.
    Fault {
        at: usize,
    },
}

/// Splits a string into text and parameters.
pub(crate) fn text_parts(text: &str) -> Vec<TextPart<'_>> {
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("${") {
        let at = from + found;
        if text[from..at].ends_with('$') {
            parts.push(TextPart::Text(&text[from..at]));
            parts.push(TextPart::Text("{"));
            from = at + 2;
            continue;
        }
        parts.push(TextPart::Text(&text[from..at]));
        let rest = &text[at + 2..];
        match rest.find('}').map(|end| &rest[..end]).filter(|name| is_name(name)) {
            Some(name) => {
                parts.push(TextPart::Parameter { name, at });
                from = at + 3 + name.len();
            }
            None => {
                parts.push(TextPart::Fault { at });
                from = at + 2;
            }
        }
    }
    parts.push(TextPart::Text(&text[from..]));
    parts
}

/// Whether a name is valid as in a shell: letters, digits and `_`, not starting with a digit.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_parameters() {
        use TextPart::{Fault, Parameter, Text};
        assert_eq!(text_parts("plain $5 {x}"), [Text("plain $5 {x}")]);
        assert_eq!(
            text_parts("a/${DIR}/b${_X9}"),
            [Text("a/"), Parameter { name: "DIR", at: 2 }, Text("/b"), Parameter { name: "_X9", at: 10 }, Text("")]
        );
        assert_eq!(text_parts("$${DIR}"), [Text("$"), Text("{"), Text("DIR}")]);
        assert_eq!(text_parts("${}"), [Text(""), Fault { at: 0 }, Text("}")]);
        assert_eq!(text_parts("ä${oh no"), [Text("ä"), Fault { at: 2 }, Text("oh no")]);
        assert_eq!(text_parts("${9}"), [Text(""), Fault { at: 0 }, Text("9}")]);
    }
}
