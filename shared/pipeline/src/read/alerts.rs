//! `[alerts]`.

use std::collections::BTreeMap;

use jiff::civil::Time;
use toml::de::DeTable;

use super::fields::{Fields, Reader, TextValue, Value, described};
use super::schedule;
use super::values::{budget, duration, is_plain_secret, named_secret, no_plain_secret};
use crate::definition::alerts::{Alerts, Email, IncidentKind, Quiet, Severity, Slack};
use crate::diagnostic::quoted;
use crate::file::SourceFile;
use crate::schedule::Schedule;

const FIELDS: [&str; 7] =
    ["slack", "email", "start_within", "caught_up_within", "max_quarantined", "severity", "quiet"];
const SEVERITIES: [(&str, Severity); 2] = [("warning", Severity::Warning), ("critical", Severity::Critical)];
const WHO: &str = "an address, `{ to = \"a@example.com\", severity = \"critical\" }` or an array of these";

/// `[alerts]` of a file with errors elsewhere, to notify its recipients of them. `None` if the table is missing or has errors itself.
/// `parameter` is as for [`super::read`].
pub fn alerts_of(file: &SourceFile<'_>, parameter: &dyn Fn(&str) -> Option<String>) -> Option<Alerts> {
    let (document, errors) = DeTable::parse_recoverable(file.text());
    let document = document.get_ref();
    let (key, table) = document.get_key_value("alerts")?;
    // after a syntax error the table may be incomplete
    let end = table.get_ref().as_table()?.iter().map(|(_, value)| value.span().end).max()?;
    let inside = key.span().start..end;
    if errors.iter().any(|error| error.span().is_none_or(|span| inside.contains(&span.start))) {
        return None;
    }
    let defaults = super::parameters::defaults(document);
    let parameter = |name: &str| parameter(name).or_else(|| defaults.get(name).cloned());
    let no_files = |_: &str| Err(String::new());
    // a separate reader, because errors in the schedule do not invalidate the table
    let (reader, others) = (Reader::new(file, &parameter, &no_files), Reader::new(file, &parameter, &no_files));
    let schedule = schedule::schedule(&Fields { reader: &others, table: document, at: 0, label: String::new() });
    let alerts = alerts(&Fields { reader: &reader, table: document, at: 0, label: String::new() }, schedule.as_ref());
    reader.is_clean().then_some(alerts)
}

/// Invalid values are reported and replaced by their defaults.
pub(super) fn alerts(top: &Fields<'_, '_>, schedule: Option<&Schedule>) -> Alerts {
    let standard = Alerts::default();
    let Some(fields) = top.open("alerts", "[alerts]", &FIELDS) else { return standard };
    // an invalid schedule must not cause a second error
    if top.value("schedule").is_none() {
        fields.refuse("start_within", "this field only with a `schedule`, which says when the pipeline should start");
    }
    Alerts {
        slack: slack(&fields),
        email: email(&fields),
        start_within_s: duration(&fields, "start_within").unwrap_or(standard.start_within_s),
        caught_up_within_s: duration(&fields, "caught_up_within").unwrap_or(standard.caught_up_within_s),
        max_quarantined: budget(&fields, "max_quarantined"),
        severity: severities(&fields),
        quiet: quiet(&fields, schedule),
    }
}

/// The lowest severity that is sent to a recipient.
fn min_severity(fields: &Fields<'_, '_>) -> Severity {
    fields.choice("severity", &SEVERITIES).unwrap_or(Severity::Warning)
}

/// The values of a field that must not be empty if it is present.
fn non_empty_values<'r>(fields: &Fields<'_, 'r>, key: &str, expected: &str) -> Vec<Value<'r>> {
    let items = fields.items(key, |value| value.is_str() || value.is_table(), expected).unwrap_or_default();
    if fields.value(key).is_some_and(|value| value.get_ref().as_array().is_some_and(|items| items.is_empty())) {
        fields.reader.report(fields.at(key), format!("an empty `{key}` in {}", fields.label), expected);
    }
    items
}

fn slack(fields: &Fields<'_, '_>) -> Vec<Slack> {
    let mut channels: Vec<Slack> = Vec::new();
    // a string here may be the webhook's URL, so it is not repeated
    if is_plain_secret(fields, "slack") {
        return channels;
    }
    for item in non_empty_values(fields, "slack", "`{ secret = \"slack-webhook\" }` or an array of these") {
        if item.get_ref().is_str() {
            no_plain_secret(fields, "slack", item);
            continue;
        }
        let Some(inner) = fields.reader.open(item, "[alerts.slack]".to_owned(), &["secret", "severity"]) else {
            continue;
        };
        let severity = min_severity(&inner);
        let Some(secret) = named_secret(&inner) else { continue };
        if channels.iter().any(|channel| channel.secret == secret) {
            let found = format!("secret {} for a second time in [alerts.slack]", quoted(secret.as_str()));
            fields.reader.report(inner.at("secret"), found, "each channel once");
            continue;
        }
        channels.push(Slack { secret, severity });
    }
    channels
}

fn email(fields: &Fields<'_, '_>) -> Vec<Email> {
    let mut people: Vec<Email> = Vec::new();
    for item in non_empty_values(fields, "email", WHO) {
        match item.get_ref() {
            value if value.is_table() => {
                let Some(inner) = fields.reader.open(item, "[alerts.email]".to_owned(), &["to", "severity"]) else {
                    continue;
                };
                let severity = min_severity(&inner);
                if inner.value("to").is_none() {
                    inner.missing("to", "an address or an array of them");
                }
                for value in non_empty_values(&inner, "to", "an address or an array of them") {
                    let text = fields.reader.text(value, "`to` in [alerts.email]");
                    text.into_iter().for_each(|text| add(fields, &mut people, text, severity));
                }
            }
            value if value.is_str() => {
                let text = fields.reader.text(item, "`email` in [alerts]");
                text.into_iter().for_each(|text| add(fields, &mut people, text, Severity::Warning));
            }
            other => {
                fields.reader.report(item.span().start, format!("{} for `email` in [alerts]", described(other)), WHO);
            }
        }
    }
    people
}

fn add(fields: &Fields<'_, '_>, people: &mut Vec<Email>, address: TextValue, severity: Severity) {
    let TextValue { text, at, .. } = address;
    if !is_address(&text) {
        let expected = "an address as `data@example.com`, without a name: ASCII, at most 254 bytes, no spaces";
        fields.reader.report(at, format!("{} for an e-mail address", quoted(&text)), expected);
    } else if people.iter().any(|other| other.to.eq_ignore_ascii_case(&text)) {
        let found = format!("{} for a second time in `email` of [alerts]", quoted(&text));
        fields.reader.report(at, found, "each address once");
    } else {
        people.push(Email { to: text, severity });
    }
}

/// Whether a text can go into a mail header unchanged as an address, or contains a parameter that may become one.
fn is_address(text: &str) -> bool {
    let plain = text.len() <= 254 && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;\"".contains(&b));
    let two =
        text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    // the value of a parameter may complete the address
    plain && (two || text.contains("${"))
}

fn severities(top: &Fields<'_, '_>) -> BTreeMap<IncidentKind, Severity> {
    let known = IncidentKind::ALL.map(IncidentKind::name);
    let Some(fields) = top.open("severity", "[alerts.severity]", &known) else { return BTreeMap::new() };
    IncidentKind::ALL.into_iter().filter_map(|wrong| Some((wrong, fields.choice(wrong.name(), &SEVERITIES)?))).collect()
}

fn quiet(top: &Fields<'_, '_>, schedule: Option<&Schedule>) -> Option<Quiet> {
    let fields = top.open("quiet", "[alerts.quiet]", &["from", "to", "timezone", "except"])?;
    let (from, to) = (time(&fields, "from"), time(&fields, "to"));
    let timezone = match fields.text("timezone") {
        Some(text) => top.reader.timezone(text),
        None => Some(schedule.map_or_else(|| "UTC".to_owned(), |schedule| schedule.timezone.clone())),
    };
    // except = "warning" would exempt all notifications
    let except = fields.choice("except", &[("critical", Severity::Critical)]);
    let (from, to) = (from?, to?);
    if from == to {
        let found = format!("{} for both ends of [alerts.quiet]", quoted(&from.strftime("%H:%M").to_string()));
        top.reader.report(fields.at("to"), found, "two times that differ");
        return None;
    }
    Some(Quiet { from, to, timezone: timezone?, except })
}

/// `HH:MM`
fn time(fields: &Fields<'_, '_>, key: &str) -> Option<Time> {
    let text = fields.needed(key, "a time, as in `22:00`")?;
    let two = |digits: &str| -> Option<i8> {
        let is_two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        is_two.then(|| digits.parse().ok()).flatten()
    };
    let parts = text.text.split_once(':').and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)));
    let time = parts.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
    if time.is_none() {
        let found = format!("{} for `{key}` in {}", quoted(&text.text), fields.label);
        fields.reader.report(text.at, found, "a time from `00:00` to `23:59`");
    }
    time
}
