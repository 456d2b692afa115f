//! Renders messages as mail: the subject and the plain text part. The HTML part is in `html`.

use tidemark_flow::Mail;
use tidemark_pipeline::Severity;

use super::html::{self, COMMANDS, ENTRIES};
use super::words::{
    BEFORE_NEXT, Tone, before_command, cut, first_line, origin, sanitized, sorted, summary, uppercase_title,
};
use crate::message::{Message, State};

const SUBJECT: usize = 78;
const COLUMNS: usize = 78;
const WHAT: usize = 2_500;
const NEXT: usize = 1_000;
const FACTS: usize = 20;
const FACT: usize = 400;
const LINE: usize = 300;

/// Renders one message in full, or several as a digest. There is at least one.
pub(super) fn mail(to: &str, messages: &[Message]) -> Mail {
    let messages: Vec<Message> = messages.iter().map(|message| shortened(sanitized(message))).collect();
    let (subject, text, html) = match messages.as_slice() {
        [one] => (subject(one), whole(one), html::whole(one)),
        _ => (digest_subject(&messages), digest(&messages), html::digest(&messages)),
    };
    let mut pipelines: Vec<String> = messages.iter().map(|message| message.pipeline.clone()).collect();
    pipelines.sort();
    pipelines.dedup();
    let (message_id, in_reply_to) = identity(&messages);
    Mail {
        to: vec![to.to_owned()],
        subject,
        text,
        html,
        message_id,
        in_reply_to,
        pipelines,
        severity: messages.iter().map(|message| message.severity).max().unwrap_or(Severity::Warning),
    }
}

/// Truncates all texts of a message to lengths that fit a mail.
fn shortened(mut message: Message) -> Message {
    message.what = cut(&message.what, WHAT);
    message.next = cut(&message.next, NEXT);
    let more = message.facts.len().saturating_sub(FACTS);
    message.facts.truncate(FACTS);
    for (name, value) in &mut message.facts {
        (*name, *value) = (cut(name, 30), cut(value, FACT));
    }
    if more > 0 {
        message.facts.push(("…".to_owned(), format!("and {more} more")));
    }
    message
}

fn subject(message: &Message) -> String {
    cut(&format!("[{}] {}", Tone::for_message(message).word(), message.title), SUBJECT)
}

fn digest_subject(messages: &[Message]) -> String {
    let mut pipelines: Vec<&str> = sorted(messages).iter().map(|message| message.pipeline.as_str()).collect();
    let mut known = std::collections::BTreeSet::new();
    pipelines.retain(|pipeline| known.insert(*pipeline));
    cut(&format!("[tidemark] {} ({})", summary(messages), pipelines.join(", ")), SUBJECT)
}

fn whole(message: &Message) -> String {
    let mut text = Text::default();
    text.heading(&uppercase_title(message));
    text.paragraph(&message.what, "");
    text.table(message.facts.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if !message.next.is_empty() {
        text.label(BEFORE_NEXT);
        text.paragraph(&message.next, "  ");
    }
    if let Some(command) = &message.command {
        text.label(before_command(message));
        text.command(command);
    }
    let origin = origin(message);
    text.table(origin.iter().map(|(name, value)| (*name, value.as_str())));
    text.0
}

fn digest(messages: &[Message]) -> String {
    let mut text = Text::default();
    text.heading(&summary(messages));
    let mut commands = 0;
    for message in sorted(messages).into_iter().take(ENTRIES) {
        text.paragraph(&uppercase_title(message), "");
        // remove the blank line, so that the text follows its title directly
        text.0.pop();
        text.paragraph(&cut(first_line(&message.what), LINE), "  ");
        if let Some(command) = message.command.as_ref().filter(|_| commands < COMMANDS) {
            commands += 1;
            text.command(command);
        }
    }
    let more = messages.len().saturating_sub(ENTRIES);
    if more > 0 {
        text.paragraph(&format!("and {more} more"), "");
    }
    text.0
}

/// Builds plain text wrapped at [`COLUMNS`] columns.
#[derive(Default)]
struct Text(String);

impl Text {
    fn heading(&mut self, text: &str) {
        let wrapped = wrapped(text, "", "");
        let width = wrapped.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        self.0.push_str(&format!("{wrapped}{}\n\n", "=".repeat(width)));
    }

    fn label(&mut self, text: &str) {
        self.0.push_str(&format!("{text}:\n"));
    }

    fn paragraph(&mut self, text: &str, indent: &str) {
        if text.is_empty() {
            return;
        }
        for line in text.lines() {
            let own = &line[..line.len() - line.trim_start().len()];
            let indent = format!("{indent}{}", cut(own, COLUMNS / 2));
            self.0.push_str(&wrapped(line, &indent, &indent));
        }
        self.0.push('\n');
    }

    /// Adds a command on a line of its own. It is never wrapped, so that it can be copied.
    fn command(&mut self, command: &str) {
        self.0.push_str(&format!("  {command}\n\n"));
    }

    fn table<'t>(&mut self, rows: impl Iterator<Item = (&'t str, &'t str)> + Clone) {
        let width = rows.clone().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 2;
        for (name, value) in rows.clone() {
            self.0.push_str(&wrapped(value, &format!("{name:width$}"), &" ".repeat(width)));
        }
        if rows.clone().next().is_some() {
            self.0.push('\n');
        }
    }
}

/// Wraps words in lines of at most [`COLUMNS`] characters. A longer word is not broken, since it may be a path.
fn wrapped(text: &str, first: &str, rest: &str) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(line.trim_end());
            out.push('\n');
            rest.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

/// The `Message-ID` and, for a later state, the `In-Reply-To`. The id is the same for the same state of the same incident, so that
/// duplicates can be recognized and follow-ups are shown in one thread. It includes the time, since a rebuilt lake numbers its incidents
/// from 1 again.
fn identity(messages: &[Message]) -> (String, Option<String>) {
    let of = |message: &Message, state: State| {
        let state = match state {
            State::Opened => "opened",
            State::Flapping => "flapping",
            State::Resolved => "over",
            State::Sample => "sample",
        };
        let hash = hash(message.incident.as_bytes());
        format!("tidemark.{hash:016x}.{}.{state}", message.opened_at.as_millisecond())
    };
    match messages {
        [one] => {
            let is_later = matches!(one.state, State::Flapping | State::Resolved);
            (of(one, one.state), is_later.then(|| of(one, State::Opened)))
        }
        _ => {
            let all: Vec<String> = messages.iter().map(|message| of(message, message.state)).collect();
            let latest = messages.iter().map(|message| message.resolved_at.unwrap_or(message.opened_at)).max();
            let latest = latest.map_or(0, |at| at.as_millisecond());
            (format!("tidemark.{:016x}.{latest}.digest", hash(all.join(" ").as_bytes())), None)
        }
    }
}

/// 64-bit FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
