//! Texts from outside as a message shows them.

/// The beginning of a text, on one line.
pub(crate) fn start(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
    match text.trim().chars().nth(120) {
        Some(_) => format!("{line}…"),
        None if line.is_empty() => "an empty body".to_owned(),
        None => line,
    }
}
