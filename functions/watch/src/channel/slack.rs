//! What a message looks like in Slack: Block Kit, within its limits (<https://docs.slack.dev/reference/block-kit/blocks>). Everything that
//! was not written here is escaped, and stands in text objects that are `plain_text` or `verbatim`, so that nothing in it is a mention, a
//! channel or a link.

use serde_json::{Value, json};
use url::Url;

use super::words::{BEFORE_NEXT, Tone, before_command, counted, cut_by, first_line, headline, plain, sorted, times};
use crate::message::Message;

const HEADER: usize = 150;
/// What Slack shows of a message where it has no room for blocks, as in a notification.
const FALLBACK: usize = 300;
/// Half of what a section holds: Slack folds long attachments, and what happens next should be seen.
const WHAT: usize = 1_500;
const NEXT: usize = 800;
/// A command that is cut is another one, so a longer one is left out.
const COMMAND: usize = 1_500;
const FIELDS: usize = 10;
const FIELD_NAME: usize = 60;
const FIELD_VALUE: usize = 240;
const CONTEXT: usize = 900;
/// Of a digest. All blocks together may have some 13,000 characters (`msg_blocks_too_long`, which is not documented).
const DIGEST: usize = 11_000;
const DIGEST_LINES: usize = 20;
const DIGEST_COMMANDS: usize = 3;
const TITLE: usize = 160;
const LINE: usize = 240;

/// The body of the request, as JSON.
pub(super) fn body(messages: &[Message]) -> Value {
    let messages: Vec<Message> = messages.iter().map(plain).collect();
    match messages.as_slice() {
        [one] => whole(one),
        _ => digest(&messages),
    }
}

/// The same in a text alone, for the day on which Slack does not take the form.
pub(super) fn bare(messages: &[Message]) -> Value {
    let messages: Vec<Message> = messages.iter().map(plain).collect();
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
        blocks.push(section(marked(format!("*{BEFORE_NEXT}*\n{}", escaped(&message.next, NEXT)))));
    }
    if let Some(code) = message.command.as_deref().and_then(code) {
        blocks.push(section(marked(format!("*{}*\n{code}", before_command(message)))));
    }
    blocks.push(json!({"type": "context", "elements": [marked(origin(message))]}));
    post(&headline(message), vec![json!({"color": tone.colour(), "blocks": blocks})])
}

fn fields(message: &Message) -> Vec<Value> {
    let field = |(name, value): &(String, String)| {
        marked(format!("*{}*\n{}", escaped(name, FIELD_NAME), escaped(value, FIELD_VALUE)))
    };
    let shown = if message.facts.len() > FIELDS { FIELDS - 1 } else { FIELDS };
    let mut fields: Vec<Value> = message.facts.iter().take(shown).map(field).collect();
    let more = message.facts.len().saturating_sub(shown);
    if more > 0 {
        fields.push(text(&format!("and {more} more")));
    }
    fields
}

/// Which incident, since when, and where more is known.
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

/// One line each, the worst first: a bar of its colour, title, what it is, and of the first few the command.
fn digest(messages: &[Message]) -> Value {
    let (mut attachments, mut length, mut commands) = (Vec::new(), 0, 0);
    let sorted = sorted(messages);
    for message in sorted.iter().take(DIGEST_LINES) {
        let tone = Tone::for_message(message);
        let mut said = format!("*{}*", escaped(&headline(message), TITLE));
        let what = first_line(&message.what);
        if !what.is_empty() {
            said.push_str(&format!("\n{}", escaped(what, LINE)));
        }
        if commands < DIGEST_COMMANDS
            && let Some(code) = message.command.as_deref().and_then(code)
        {
            commands += 1;
            said.push_str(&format!("\n{code}"));
        }
        let attachment = json!({"color": tone.colour(), "blocks": [section(marked(said))]});
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
    post(&format!("{} {}", worst.mark(), counted(messages)), attachments)
}

/// Header above, the rest along a coloured bar, which only attachments have.
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

fn marked(text: String) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// A block of code; `None` if the command is too long for one.
fn code(command: &str) -> Option<String> {
    let whole = escaped(command, usize::MAX);
    // three of them would end the block
    let whole = whole.replace("```", "`\u{200b}`\u{200b}`");
    (units(&whole) <= COMMAND).then(|| format!("```{whole}```"))
}

/// A link that ends where it should.
fn link(record: &str) -> Option<String> {
    let url = Url::parse(record).ok().filter(|url| url.scheme() == "https")?;
    let url = url.as_str().replace('&', "&amp;").replace('<', "%3C").replace('>', "%3E").replace('|', "%7C");
    (units(&url) <= CONTEXT).then_some(url)
}

/// So much of a text that it has at most so many characters once `&`, `<` and `>` are escaped
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>).
fn escaped(text: &str, most: usize) -> String {
    let weight = |c: char| match c {
        '&' => 5,
        '<' | '>' => 4,
        // Slack does not say what it counts: this is the most it may be
        _ => c.len_utf16(),
    };
    cut_by(text, most, weight).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
