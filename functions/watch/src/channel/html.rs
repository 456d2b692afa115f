//! Renders the HTML part of a mail: tables and inline styles, which Outlook and Gmail keep, no images, and dark colours if the reader
//! prefers them.

use super::words::{BEFORE_NEXT, Tone, before_command, cut, duration_suffix, first_line, origin, sorted, summary};
use crate::message::Message;

const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const CODE: &str = "font-family:Consolas,Menlo,'DejaVu Sans Mono',monospace";
/// How many messages of a digest are shown, in HTML and plain text, and how many of them with their command.
pub(super) const ENTRIES: usize = 50;
pub(super) const COMMANDS: usize = 5;
/// Maximum length in characters of a title in a digest, and of the line below it.
const TITLE: usize = 200;
const LINE: usize = 300;

pub(super) fn whole(message: &Message) -> String {
    let tone = Tone::for_message(message);
    let mut rows = title(&message.title);
    if !message.what.is_empty() {
        rows.push_str(&row("0 24px 16px", &paragraph(&message.what)));
    }
    let facts = message.facts.iter().map(|(name, value)| (name.as_str(), escaped(value)));
    if !message.facts.is_empty() {
        rows.push_str(&row("0 24px 16px", &table(facts, "14px")));
    }
    if !message.next.is_empty() {
        rows.push_str(&row("0 24px 16px", &format!("{}{}", label(BEFORE_NEXT), paragraph(&message.next))));
    }
    if let Some(command) = &message.command {
        rows.push_str(&row("0 24px 20px", &format!("{}{}", label(before_command(message)), code(command))));
    }
    let origin = origin(message);
    let origin = origin.iter().map(|(name, value)| (*name, linked(value)));
    rows.push_str(&format!(
        "<tr><td class=\"line\" style=\"border-top:1px solid #e3e7eb;padding:14px 24px 18px\">{}</td></tr>\n",
        table(origin, "12px")
    ));
    let band = format!(
        "<strong>{}</strong>{}&ensp;·&ensp;{}",
        tone.word().to_uppercase(),
        escaped(&duration_suffix(message)),
        escaped(&message.pipeline)
    );
    page(&message.title, &cut(first_line(&message.what), 120), tone, &band, &rows)
}

pub(super) fn digest(messages: &[Message]) -> String {
    let sorted = sorted(messages);
    let counted = summary(messages);
    // no line break between a number and what it counts
    let kept: Vec<String> = counted.split(", ").map(|part| part.replace(' ', "\u{a0}")).collect();
    let mut rows = title(&kept.join(", "));
    let mut commands = 0;
    for message in sorted.iter().take(ENTRIES) {
        let tone = Tone::for_message(message);
        let mut entry = format!(
            "<div class=\"ink\" style=\"{FONT};font-size:15px;line-height:21px;font-weight:600;color:#1c1f23\"><span style=\"display:inline-block;\
             background-color:{};color:#ffffff;font-size:11px;line-height:18px;font-weight:600;padding:0 7px;border-radius:3px\">{}</span>&ensp;{}</div>",
            tone.colour(),
            escaped(&format!("{}{}", tone.word().to_uppercase(), duration_suffix(message))),
            escaped(&cut(&message.title, TITLE)),
        );
        let what = first_line(&message.what);
        if !what.is_empty() {
            entry.push_str(&format!("<div style=\"padding-top:4px\">{}</div>", paragraph(&cut(what, LINE))));
        }
        if let Some(command) = message.command.as_ref().filter(|_| commands < COMMANDS) {
            commands += 1;
            entry.push_str(&format!("<div style=\"padding-top:8px\">{}</div>", code(command)));
        }
        rows.push_str(&row("0 24px 18px", &entry));
    }
    let more = messages.len().saturating_sub(ENTRIES);
    if more > 0 {
        rows.push_str(&row("0 24px 18px", &paragraph(&format!("and {more} more"))));
    }
    let worst = sorted.first().map_or(Tone::Sample, |message| Tone::for_message(message));
    let preview = sorted.first().map_or("", |message| &message.title);
    page(&counted, &cut(preview, 120), worst, "<strong>TIDEMARK</strong>", &rows)
}

/// The whole page: a card below a coloured band. `band` and `rows` are HTML; `preview` is what mail clients show beside the subject.
fn page(title: &str, preview: &str, tone: Tone, band: &str, rows: &str) -> String {
    format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<meta name=\"supported-color-schemes\" content=\"light dark\">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{
  .page {{ background-color: #14171a !important; }}
  .card {{ background-color: #1f2328 !important; border-color: #343a41 !important; }}
  .ink {{ color: #e6e8ea !important; }}
  .dim {{ color: #a3abb4 !important; }}
  .code {{ background-color: #2b3138 !important; border-color: #3c444d !important; }}
  .line {{ border-color: #343a41 !important; }}
  .link {{ color: #8ab4f8 !important; }}
}}
</style>
</head>
<body class=\"page\" style=\"margin:0;padding:0;background-color:#f2f4f6\">
<div style=\"display:none;max-height:0;overflow:hidden;mso-hide:all\">{preview}</div>
<table role=\"presentation\" class=\"page\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" bgcolor=\"#f2f4f6\" style=\"background-color:#f2f4f6\">
<tr><td align=\"center\" style=\"padding:24px 12px\">
<!--[if mso]><table role=\"presentation\" width=\"620\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr><td><![endif]-->
<table role=\"presentation\" class=\"card\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" bgcolor=\"#ffffff\" style=\"max-width:620px;background-color:#ffffff;border:1px solid #dfe3e8;border-collapse:separate;text-align:left\">
<tr><td bgcolor=\"{colour}\" style=\"padding:12px 24px;background-color:{colour};{FONT};font-size:13px;line-height:18px;color:#ffffff\">{band}</td></tr>
{rows}</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr>
</table>
</body>
</html>
",
        title = escaped(title),
        preview = escaped(preview),
        colour = tone.colour(),
    )
}

fn title(text: &str) -> String {
    row(
        "20px 24px 12px",
        &format!(
            "<h1 class=\"ink\" style=\"margin:0;{FONT};font-size:20px;line-height:27px;font-weight:600;color:#1c1f23;word-break:break-word\">{}</h1>",
            escaped(text)
        ),
    )
}

fn row(padding: &str, content: &str) -> String {
    format!("<tr><td style=\"padding:{padding}\">{content}</td></tr>\n")
}

fn label(text: &str) -> String {
    format!(
        "<div class=\"dim\" style=\"{FONT};font-size:12px;line-height:18px;padding-bottom:3px;color:#5c6670\">{}</div>",
        escaped(text)
    )
}

/// Renders lines, keeping their leading blanks.
fn paragraph(text: &str) -> String {
    let line = |line: &str| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        format!("{}{}", "&nbsp;".repeat(blanks.min(20)), escaped(line.trim_start_matches(' ')))
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    format!(
        "<div class=\"ink\" style=\"{FONT};font-size:15px;line-height:22px;color:#1c1f23;word-break:break-word\">{}</div>",
        lines.join("<br>")
    )
}

fn code(command: &str) -> String {
    format!(
        "<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr><td class=\"code ink\" bgcolor=\"#f2f4f6\" \
         style=\"padding:10px 12px;background-color:#f2f4f6;border:1px solid #dfe3e8;{CODE};font-size:13px;line-height:19px;color:#1c1f23;\
         word-break:break-word\">{}</td></tr></table>",
        escaped(command)
    )
}

/// A table of names and values; the values are HTML.
fn table<'t>(rows: impl Iterator<Item = (&'t str, String)>, size: &str) -> String {
    let cell = |(name, value): (&str, String)| {
        let style = format!("{FONT};font-size:{size};line-height:20px;vertical-align:top");
        format!(
            "<tr><td class=\"dim\" style=\"{style};padding:2px 18px 2px 0;color:#5c6670;white-space:nowrap\">{}</td>\
             <td class=\"ink\" width=\"100%\" style=\"{style};padding:2px 0;color:#1c1f23;word-break:break-word\">{value}</td></tr>",
            escaped(name)
        )
    };
    let rows: String = rows.map(cell).collect();
    format!(
        "<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\">{rows}</table>"
    )
}

/// Renders a value as a link if the whole value is an https URL.
fn linked(value: &str) -> String {
    let text = escaped(value);
    match url::Url::parse(value) {
        Ok(url) if url.scheme() == "https" => {
            format!("<a class=\"link\" href=\"{}\" style=\"color:#1a56b0\">{text}</a>", escaped(url.as_str()))
        }
        _ => text,
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
