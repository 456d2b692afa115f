//! Renders messages for Slack as Block Kit, within its limits (<https://docs.slack.dev/reference/block-kit/blocks>). All external text is
//! escaped, and put into text objects that are `plain_text` or `verbatim`, so that nothing in it becomes a mention, a channel or a link.

use serde_json::{Value, json};
use url::Url;

use super::words::{
    BEFORE_NEXT, Tone, before_command, cut_by, first_line, headline, sanitized, sorted, summary, times,
};
use crate::message::Message;

const HEADER: usize = 150;
/// Length of the text that Slack shows if there is no room for blocks, as in a notification.
const FALLBACK: usize = 300;
/// Half of the limit of a section: Slack collapses long attachments, and the text on what happens next should stay visible.
const WHAT: usize = 1_500;
const NEXT: usize = 800;
/// A truncated command would be a different one, so a longer one is left out.
const COMMAND: usize = 1_500;
const FIELDS: usize = 10;
const FIELD_NAME: usize = 60;
const FIELD_VALUE: usize = 240;
const CONTEXT: usize = 900;
/// Limit of a digest. All blocks together may have about 13,000 characters (`msg_blocks_too_long`, which is not documented).
const DIGEST: usize = 11_000;
const DIGEST_LINES: usize = 20;
const DIGEST_COMMANDS: usize = 3;
const TITLE: usize = 160;
const LINE: usize = 240;

/// The body of the request, as JSON.
pub(super) fn body(messages: &[Message]) -> Value {
    let messages: Vec<Message> = messages.iter().map(sanitized).collect();
    match messages.as_slice() {
        [one] => whole(one),
        _ => digest(&messages),
    }
}

/// The same as plain text, in case Slack rejects the blocks.
pub(super) fn plain_text(messages: &[Message]) -> Value {
    let messages: Vec<Message> = messages.iter().map(sanitized).collect();
    let line = |message: &&Message| {
        let command = message.command.as_deref().and_then(code).map(|code| format!("\n{code}")).unwrap_or_default();
        format!("{}{command}", escaped(&headline(message), TITLE))
    };
    let lines: Vec<String> = sorted(&messages).iter().take(DIGEST_LINES).map(line).collect();
    let more = messages.len().saturating_sub(DIGEST_LINES);
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    json!({"text": format!("{}{more}", lines.join("\n")), "parse": "none", "unfurl_links": false, "unfurl_media": false})
}

fn whole(message: &Message) -> Value {
    let tone = Tone::for_message(message);
    let mut blocks = Vec::new();
    if !message.what.is_empty() {
        blocks.push(section(text(&escaped(&message.what, WHAT))));
    }
    if !message.facts.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields(message)}));
    }
    if !message.next.is_empty() {
        blocks.push(section(mrkdwn(format!("*{BEFORE_NEXT}*\n{}", escaped(&message.next, NEXT)))));
    }
    if let Some(code) = message.command.as_deref().and_then(code) {
        blocks.push(section(mrkdwn(format!("*{}*\n{code}", before_command(message)))));
    }
    blocks.push(json!({"type": "context", "elements": [mrkdwn(origin(message))]}));
    post(&headline(message), vec![json!({"color": tone.colour(), "blocks": blocks})])
}

fn fields(message: &Message) -> Vec<Value> {
    let field = |(name, value): &(String, String)| {
        mrkdwn(format!("*{}*\n{}", escaped(name, FIELD_NAME), escaped(value, FIELD_VALUE)))
    };
    let shown = if message.facts.len() > FIELDS { FIELDS - 1 } else { FIELDS };
    let mut fields: Vec<Value> = message.facts.iter().take(shown).map(field).collect();
    let more = message.facts.len().saturating_sub(shown);
    if more > 0 {
        fields.push(text(&format!("and {more} more")));
    }
    fields
}

/// A line with the severity, the incident, its times, and a link to the run record.
fn origin(message: &Message) -> String {
    let mut parts = vec![Tone::for_message(message).word().to_owned(), escaped(&message.incident, CONTEXT / 3)];
    parts.extend(times(message).iter().map(|(name, value)| format!("{} {value}", name.to_lowercase())));
    if let Some(record) = &message.record {
        parts.push(match link(record) {
            Some(link) => format!("<{link}|run record>"),
            None => format!("run record {}", escaped(record, CONTEXT / 3)),
        });
    }
    parts.join("  ·  ")
}

/// A digest, the worst first: for each message a coloured bar, its title and first line, and for the first few the command.
fn digest(messages: &[Message]) -> Value {
    let (mut attachments, mut length, mut commands) = (Vec::new(), 0, 0);
    let sorted = sorted(messages);
    for message in sorted.iter().take(DIGEST_LINES) {
        let tone = Tone::for_message(message);
        let mut entry = format!("*{}*", escaped(&headline(message), TITLE));
        let what = first_line(&message.what);
        if !what.is_empty() {
            entry.push_str(&format!("\n{}", escaped(what, LINE)));
        }
        if commands < DIGEST_COMMANDS
            && let Some(code) = message.command.as_deref().and_then(code)
        {
            commands += 1;
            entry.push_str(&format!("\n{code}"));
        }
        let attachment = json!({"color": tone.colour(), "blocks": [section(mrkdwn(entry))]});
        length += units(&attachment.to_string());
        if length > DIGEST {
            break;
        }
        attachments.push(attachment);
    }
    let more = messages.len() - attachments.len();
    if more > 0 {
        let more = json!({"type": "context", "elements": [text(&format!("and {more} more"))]});
        attachments.push(json!({"blocks": [more]}));
    }
    let worst = sorted.first().map_or(Tone::Sample, |message| Tone::for_message(message));
    post(&format!("{} {}", worst.emoji(), summary(messages)), attachments)
}

/// A message with a header, and attachments below, since only attachments have a coloured bar.
fn post(header: &str, attachments: Vec<Value>) -> Value {
    json!({
        "text": escaped(header, FALLBACK),
        "blocks": [{"type": "header", "text": text(&escaped(header, HEADER))}],
        "attachments": attachments,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn section(text: Value) -> Value {
    json!({"type": "section", "text": text})
}

fn text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

fn mrkdwn(text: String) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// A code block. Returns `None` if the command is too long.
fn code(command: &str) -> Option<String> {
    let whole = escaped(command, usize::MAX);
    // three backticks would end the block
    let whole = whole.replace("```", "`\u{200b}`\u{200b}`");
    (units(&whole) <= COMMAND).then(|| format!("```{whole}```"))
}

/// An https URL, escaped for Slack's link syntax.
fn link(record: &str) -> Option<String> {
    let url = Url::parse(record).ok().filter(|url| url.scheme() == "https")?;
    let url = url.as_str().replace('&', "&amp;").replace('<', "%3C").replace('>', "%3E").replace('|', "%7C");
    (units(&url) <= CONTEXT).then_some(url)
}

/// Escapes `&`, `<` and `>` (<https://docs.slack.dev/messaging/formatting-message-text#escaping>), and truncates the text so that the
/// result has at most `max` characters.
fn escaped(text: &str, max: usize) -> String {
    let weight = |c: char| match c {
        '&' => 5,
        '<' | '>' => 4,
        // Slack does not document what it counts; UTF-16 units are an upper bound
        _ => c.len_utf16(),
    };
    cut_by(text, max, weight).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
