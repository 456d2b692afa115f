//! Formatting shared by all channels: the state as a word and a colour, times, truncation, and removal of control and bidirectional
//! characters.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidemark_pipeline::Severity;

use crate::message::{Message, State};

/// The urgency of a message, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Critical,
    Warning,
    Flapping,
    Over,
    Sample,
}

impl Tone {
    pub const ALL: [Tone; 5] = [Tone::Critical, Tone::Warning, Tone::Flapping, Tone::Over, Tone::Sample];

    pub fn for_message(message: &Message) -> Tone {
        match (message.state, message.severity) {
            (State::Opened, Severity::Critical) => Tone::Critical,
            (State::Opened, Severity::Warning) => Tone::Warning,
            (State::Flapping, _) => Tone::Flapping,
            (State::Resolved, _) => Tone::Over,
            (State::Sample, _) => Tone::Sample,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Tone::Critical => "critical",
            Tone::Warning => "warning",
            Tone::Flapping => "flapping",
            Tone::Over => "over",
            Tone::Sample => "sample",
        }
    }

    /// An emoji, for places where colour needs a character.
    pub fn emoji(self) -> &'static str {
        match self {
            Tone::Critical => "🔴",
            Tone::Warning | Tone::Flapping => "🟠",
            Tone::Over => "✅",
            Tone::Sample => "🔵",
        }
    }

    /// A background colour on which white text is readable (WCAG AA), in light and dark mode.
    pub fn colour(self) -> &'static str {
        match self {
            Tone::Critical => "#c5221f",
            Tone::Warning | Tone::Flapping => "#b45309",
            Tone::Over => "#1e7b34",
            Tone::Sample => "#2a5d9f",
        }
    }
}

/// The title with its state, for places where an emoji shows the urgency: `Over after 2 h 10 min: orders: clean failed`.
pub(super) fn headline(message: &Message) -> String {
    let became = match message.state {
        State::Opened => String::new(),
        State::Flapping => "Flapping: ".to_owned(),
        State::Resolved => format!("Over{}: ", duration_suffix(message)),
        State::Sample => "Sample: ".to_owned(),
    };
    format!("{} {became}{}", Tone::for_message(message).emoji(), message.title)
}

/// The same for places without colour: `CRITICAL: orders: clean failed`.
pub(super) fn uppercase_title(message: &Message) -> String {
    format!("{}{}: {}", Tone::for_message(message).word().to_uppercase(), duration_suffix(message), message.title)
}

/// How long a resolved incident lasted: ` after 2 h 10 min`. Empty in other states.
pub(super) fn duration_suffix(message: &Message) -> String {
    let over = message.resolved_at.filter(|_| message.state == State::Resolved);
    over.map(|over| format!(" after {}", lasted(message.opened_at, over))).unwrap_or_default()
}

/// Summary of several messages: `5 incidents: 2 critical, 3 over`.
pub(super) fn summary(messages: &[Message]) -> String {
    let times = |tone: Tone| messages.iter().filter(|message| Tone::for_message(message) == tone).count();
    let each = Tone::ALL.map(|tone| (times(tone), tone.word()));
    let each: Vec<_> = each.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    format!("{} incidents: {}", messages.len(), each.join(", "))
}

/// Sorts messages, the worst first; otherwise their order is kept.
pub(super) fn sorted(messages: &[Message]) -> Vec<&Message> {
    let mut sorted: Vec<&Message> = messages.iter().collect();
    sorted.sort_by_key(|message| Tone::for_message(message));
    sorted
}

/// Formats a time: `2026-11-26 08:03 UTC`.
pub(super) fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Formats a duration in at most two units: `45 s`, `12 min`, `2 h 10 min`, `3 d 4 h`.
pub(super) fn lasted(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    let two = |(great, unit): (i64, &str), (small, part): (i64, &str)| match small {
        0 => format!("{great} {unit}"),
        _ => format!("{great} {unit} {small} {part}"),
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => two((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => two((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    }
}

/// When the incident was opened, and when it was resolved.
pub(super) fn times(message: &Message) -> Vec<(&'static str, String)> {
    match (message.state, message.resolved_at) {
        (State::Sample, _) => vec![("Sent", time(message.opened_at))],
        (State::Resolved, Some(over)) => vec![("Opened", time(message.opened_at)), ("Over", time(over))],
        _ => vec![("Opened", time(message.opened_at))],
    }
}

/// The incident, its times, and its run record.
pub(super) fn origin(message: &Message) -> Vec<(&'static str, String)> {
    let mut origin = vec![("Incident", message.incident.clone())];
    origin.extend(times(message));
    origin.extend(message.record.iter().map(|record| ("Run record", record.clone())));
    origin
}

/// The label above the command.
pub(super) fn before_command(message: &Message) -> &'static str {
    if message.next.is_empty() { "To be run" } else { "If that is not enough, run" }
}

pub(super) const BEFORE_NEXT: &str = "What happens next";

/// Removes everything from a message that could do more than be displayed: control characters, characters that change the text direction,
/// and line breaks in single-line fields. The error of a pipeline may quote external data.
pub(super) fn sanitized(message: &Message) -> Message {
    let facts = message.facts.iter().map(|(name, value)| (line(name), line(value)));
    let facts = facts.filter(|(name, value)| !name.is_empty() && !value.is_empty()).collect();
    let incident = line(&message.incident);
    let title = line(&message.title);
    Message {
        title: if title.is_empty() { incident.clone() } else { title },
        incident,
        pipeline: line(&message.pipeline),
        what: lines(&message.what),
        facts,
        next: lines(&message.next),
        command: message.command.as_deref().map(verbatim).filter(|text| !text.is_empty()),
        record: message.record.as_deref().map(line).filter(|text| !text.is_empty()),
        ..message.clone()
    }
}

/// Converts a text to one line, with single blanks between words.
pub(super) fn line(text: &str) -> String {
    let text: String =
        text.chars().filter(|&c| !is_bidi_control(c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps lines, but removes trailing blanks, and empty lines at the beginning and the end.
fn lines(text: &str) -> String {
    let line = |line: &str| {
        let kept = line.chars().filter(|&c| !is_bidi_control(c));
        let kept: String = kept.map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
        kept.trim_end().to_owned()
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Keeps the text, but removes characters that cannot be typed.
fn verbatim(text: &str) -> String {
    let kept = text.chars().filter(|&c| !is_bidi_control(c)).map(|c| if c.is_control() { ' ' } else { c });
    kept.collect::<String>().trim().to_owned()
}

/// Whether this is a mark, embedding, override or isolate of the bidirectional algorithm (UAX #9), or a Unicode line separator.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Truncates to at most `max` characters; a truncated text ends with `…`.
pub(super) fn cut(text: &str, max: usize) -> String {
    cut_by(text, max, |_| 1)
}

/// The same with a custom weight for each character.
pub(super) fn cut_by(text: &str, max: usize, weight: impl Fn(char) -> usize) -> String {
    let (mut sum, mut kept) = (0, 0);
    for (at, c) in text.char_indices() {
        sum += weight(c);
        if sum < max {
            kept = at + c.len_utf8();
        }
    }
    if sum <= max {
        return text.to_owned();
    }
    // a joiner at the end has nothing to join
    let whole = text[..kept].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200d}' | '\u{fe0f}'));
    format!("{whole}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_text_ends_with_an_ellipsis() {
        for (text, max, kept) in [
            ("twelve", 6, "twelve"),
            ("twelve", 5, "twel…"),
            ("two words", 5, "two…"),
            ("ééé", 2, "é…"),
            ("", 0, ""),
            ("a👩\u{200d}🚀 b", 5, "a👩\u{200d}🚀…"),
            ("a👩\u{200d}🚀 b", 4, "a👩…"),
        ] {
            assert_eq!(cut(text, max), kept, "{text} {max}");
        }
        assert_eq!(cut_by("a&b", 6, |c| if c == '&' { 5 } else { 1 }), "a…");
        assert_eq!(cut_by("a&b", 7, |c| if c == '&' { 5 } else { 1 }), "a&b");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let from = at("2026-11-26T08:00:00Z");
        for (to, text) in [
            ("2026-11-26T07:00:00Z", "0 s"),
            ("2026-11-26T08:00:59Z", "59 s"),
            ("2026-11-26T08:59:59Z", "59 min"),
            ("2026-11-26T09:00:00Z", "1 h"),
            ("2026-11-26T10:10:00Z", "2 h 10 min"),
            ("2026-11-27T08:59:00Z", "1 d"),
            ("2026-11-29T12:30:00Z", "3 d 4 h"),
        ] {
            assert_eq!(lasted(from, at(to)), text);
        }
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(line("a\r\nBcc: b@c.d\t\u{202e}e\u{2028}f \u{0}"), "a Bcc: b@c.d ef");
        assert_eq!(lines("\n\n  a\u{7}\u{200f}b \r\n\tc\n\n"), "  a b\n c");
        assert_eq!(verbatim(" run 'a  b'\n"), "run 'a  b'");
    }
}
