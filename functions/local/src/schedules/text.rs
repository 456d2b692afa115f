//! Texts of the definitions as YAML scalars, within the limits of AWS.

use std::fmt::Write as _;

/// Maximum length of a description in UTF-16 code units, as AWS counts.
const LONGEST: usize = 512;

/// A double-quoted scalar that every parser of YAML 1.1 and 1.2 reads as this text.
pub(super) fn quoted(text: &str) -> String {
    let mut scalar = String::from("\"");
    for c in text.chars() {
        let is_plain = match c {
            '"' | '\\' => false,
            // line breaks in YAML 1.1, the byte order mark, and noncharacters
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
            c => c == ' ' || !(c.is_control() || c.is_whitespace()),
        };
        // writing to a string cannot fail
        let _ = match c {
            c if is_plain => scalar.write_char(c),
            '"' | '\\' => write!(scalar, "\\{c}"),
            '\n' => scalar.write_str("\\n"),
            '\t' => scalar.write_str("\\t"),
            c => write!(scalar, "\\u{:04X}", u32::from(c)),
        };
    }
    scalar.push('"');
    scalar
}

/// A description without control characters, truncated to the limit of AWS. None if nothing is left.
pub(super) fn description(text: &str) -> Option<String> {
    let is_harmless = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
    let text: String = text.chars().map(|c| if is_harmless(c) { c } else { ' ' }).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| cut(text))
}

/// The same on one line, as Glue requires.
pub(super) fn line(text: &str) -> Option<String> {
    description(&text.replace(['\n', '\t'], " "))
}

fn cut(text: &str) -> String {
    if text.encode_utf16().count() <= LONGEST {
        return text.to_owned();
    }
    let mut left = LONGEST - 1;
    let fits = |c: &char| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_quoted_correctly() {
        assert_eq!(quoted("Ümsätze: ${Name} # 'x' 東京 🎁"), "\"Ümsätze: ${Name} # 'x' 東京 🎁\"");
        assert_eq!(quoted("a\"b\\c\nd\te"), r#""a\"b\\c\nd\te""#);
        assert_eq!(quoted("\0\u{7f}\u{85}\u{a0}\u{2028}\u{feff}"), r#""\u0000\u007F\u0085\u00A0\u2028\uFEFF""#);
    }

    #[test]
    fn a_description_fits_the_limits_of_aws() {
        assert_eq!(description(" a\nb\0c\u{1b} "), Some("a\nb c".into()));
        assert_eq!(line("a\nb\tc"), Some("a b c".into()));
        assert_eq!((description(" \n "), line("")), (None, None));
        let just = "x".repeat(512);
        assert_eq!(description(&just), Some(just.clone()));
        assert_eq!(description(&format!("{just}x")), Some(format!("{}…", "x".repeat(511))));
        let wide = description(&"🎁".repeat(300)).unwrap();
        assert_eq!((wide.chars().count(), wide.encode_utf16().count()), (256, 511));
    }
}
