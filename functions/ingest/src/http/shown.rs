//! Texts from outside, shortened for messages.

/// The start of a text, at most 120 characters on one line.
pub(crate) fn start(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
    match text.trim().chars().nth(120) {
        Some(_) => format!("{line}…"),
        None if line.is_empty() => "an empty body".to_owned(),
        None => line,
    }
}
