//! `${NAME}` in the strings of a pipeline file. A value is put in as it is: what looks like a parameter inside a value
//! stays text, so that no value can reach for another. `$${` writes a literal `${`.

use serde::Serialize;

/// A parameter a file uses or declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    pub name: String,
    /// Default value from `[parameters]`, used when no value is given.
    pub default: Option<String>,
    /// Description from `[parameters]`.
    pub about: Option<String>,
    /// Without a value the file cannot be read; not so one that only says whether a target is there.
    pub needed: bool,
    /// Where the file uses it first, else where it declares it; from 1.
    pub line: usize,
    pub column: usize,
}

/// A piece of a string of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TextPart<'t> {
    Text(&'t str),
    Parameter {
        name: &'t str,
        at: usize,
    },
    /// A `${` that does not begin a parameter.
    Fault {
        at: usize,
    },
}

/// Cuts a string into text and parameters; `at` are bytes of `text`.
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

/// As the shell has it: letters, digits and `_`, no digit first.
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
