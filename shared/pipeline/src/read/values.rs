//! Parsers of values that several tables have: numbers, durations, budgets, JSON pointers, secrets.

use toml::de::DeValue;

use super::fields::{Fields, Value, described};
use crate::definition::budget::Budget;
use crate::definition::contract::Every;
use crate::diagnostic::quoted;
use crate::name::SecretName;

/// Lengths of partitions by name.
pub(super) const EVERY: [(&str, Every); 2] = [("day", Every::Day), ("month", Every::Month)];

/// A whole number from `min` to `max`.
pub(super) fn count(fields: &Fields<'_, '_>, key: &str, min: u64, max: u64) -> Option<u64> {
    let value = fields.value(key)?;
    let number = match value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse::<u64>().ok(),
        _ => None,
    };
    let number = number.filter(|number| (min..=max).contains(number));
    if number.is_none() {
        let found = format!("{} for `{key}` in {}", described(value.get_ref()), fields.label);
        fields.reader.report(value.span().start, found, format!("a whole number from {min} to {max}"));
    }
    number
}

/// A duration in seconds: `"90s"`, `"15m"`, `"2h"`, `"1d"`, `"1w"`.
pub(super) fn duration(fields: &Fields<'_, '_>, key: &str) -> Option<u64> {
    let text = fields.text(key)?;
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number = text.text.strip_suffix(unit).filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?;
        number.parse::<u64>().ok()?.checked_mul(seconds)
    });
    let seconds = seconds.filter(|seconds| (1..=3_660 * 86_400).contains(seconds));
    if seconds.is_none() {
        let found = format!("{} for `{key}` in {}", quoted(&text.text), fields.label);
        fields.reader.report(text.at, found, "a duration, as in `\"90s\"`, `\"15m\"`, `\"2h\"` or `\"1d\"`");
    }
    seconds
}

/// `"1%"` or `100`.
pub(super) fn budget(fields: &Fields<'_, '_>, key: &str) -> Option<Budget> {
    let value = fields.value(key)?;
    let budget = match value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok().map(Budget::Count),
        DeValue::String(_) => share(&fields.text(key)?.text).map(Budget::Share),
        _ => None,
    };
    if budget.is_none() {
        let found = format!("{} for `{key}` in {}", described(value.get_ref()), fields.label);
        let expected = "a share from `\"0%\"` to `\"100%\"` or a number of rows";
        fields.reader.report(value.span().start, found, expected);
    }
    budget
}

fn share(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim();
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let percent: f64 = plain.then(|| number.parse().ok()).flatten()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// A JSON pointer (RFC 6901): empty, or starting with `/`.
pub(super) fn pointer(fields: &Fields<'_, '_>, key: &str) -> Option<String> {
    let text = fields.text(key)?;
    if !text.text.is_empty() && !text.text.starts_with('/') {
        let found = format!("{} for `{key}` in {}", quoted(&text.text), fields.label);
        let hint = format!("write `{key} = \"/{}\"`", text.text.replace('.', "/"));
        fields.reader.report_with_hint(text.at, found, "a JSON pointer, which starts with `/`", Some(hint));
        return None;
    }
    Some(text.text)
}

/// A required JSON pointer.
pub(super) fn needed_pointer(fields: &Fields<'_, '_>, key: &str, example: &str) -> Option<String> {
    fields.needed(key, &format!("a JSON pointer, as in `{example}`"))?;
    pointer(fields, key)
}

/// `{ secret = "name" }`
pub(super) fn secret(fields: &Fields<'_, '_>, key: &str, label: &str) -> Option<SecretName> {
    if is_plain_secret(fields, key) {
        return None;
    }
    if fields.value(key).is_none() {
        fields.missing(key, &format!("`{key} = {{ secret = \"name\" }}`"));
        return None;
    }
    named_secret(&fields.open(key, label, &["secret"])?)
}

/// Whether a field has a string in place of `{ secret = "name" }`. This is reported without the string, which may be the secret itself.
pub(super) fn is_plain_secret(fields: &Fields<'_, '_>, key: &str) -> bool {
    let plain = fields.value(key).filter(|value| value.get_ref().is_str());
    plain.into_iter().for_each(|value| no_plain_secret(fields, key, value));
    plain.is_some()
}

/// Reports a string in place of `{ secret = "name" }`, without the string.
pub(super) fn no_plain_secret(fields: &Fields<'_, '_>, key: &str, value: Value<'_>) {
    let hint = format!(
        "write `{key} = {{ secret = \"name\" }}`; store the value in environment variable TIDEMARK_SECRET_NAME, or in AWS Secrets Manager"
    );
    let found = format!("a string for `{key}` in {}", fields.label);
    fields.reader.report_with_hint(value.span().start, found, "the name of a secret", Some(hint));
}

/// Field `secret` of a table: the name of a secret.
pub(super) fn named_secret(fields: &Fields<'_, '_>) -> Option<SecretName> {
    let name = fields.needed("secret", "the name of a secret")?;
    if name.text.contains("://") {
        // the URL of a webhook or database is itself secret, so it is not repeated
        let hint =
            "give it a name; store the value in environment variable TIDEMARK_SECRET_NAME, or in AWS Secrets Manager"
                .to_owned();
        let found = format!("a URL for `secret` in {}", fields.label);
        fields.reader.report_with_hint(name.at, found, "the name of a secret", Some(hint));
        return None;
    }
    let secret = fields.reader.name(&name)?;
    fields.reader.add_secret(&secret);
    Some(secret)
}
