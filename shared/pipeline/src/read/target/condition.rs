//! `only_with` and `only_without`: targets that are enabled or disabled by the value of a parameter.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::super::fields::Fields;
use super::super::parameters::declared_in;
use crate::diagnostic::{did_you_mean, one_of, quoted};
use crate::params::{TextPart, text_parts};

pub(super) const FIELDS: [&str; 2] = ["only_with", "only_without"];

/// The condition under which a target is enabled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    /// If the parameter has a non-empty value.
    With(String),
    /// If the parameter has no value or an empty one.
    Without(String),
}

impl Condition {
    /// An invalid condition is reported and replaced by [`Condition::Always`].
    pub fn new(top: &Fields<'_, '_>, target: &Fields<'_, '_>) -> Condition {
        if target.value("only_with").is_some() {
            target.refuse("only_without", "only one of `only_with` and `only_without`");
            return parameter(top, target, "only_with").map_or(Condition::Always, Condition::With);
        }
        parameter(top, target, "only_without").map_or(Condition::Always, Condition::Without)
    }

    /// Whether the target is enabled.
    pub fn holds(&self, top: &Fields<'_, '_>) -> bool {
        match self {
            Condition::Always => true,
            Condition::With(name) => has_value(top, name),
            Condition::Without(name) => !has_value(top, name),
        }
    }

    /// Whether two targets are never enabled together.
    pub fn excludes(&self, other: &Condition) -> bool {
        match (self, other) {
            (Condition::With(one), Condition::Without(other)) | (Condition::Without(one), Condition::With(other)) => {
                one == other
            }
            _ => false,
        }
    }

    /// Byte ranges of the strings that use the parameter of [`Condition::With`]. Without a value, errors there are expected.
    pub fn missing_value_spans(&self, item: &Spanned<DeValue<'_>>) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        if let Condition::With(name) = self {
            uses(item, name, &mut spans);
        }
        spans
    }
}

/// A declared parameter's name, without expansion of `${…}`.
fn parameter(top: &Fields<'_, '_>, target: &Fields<'_, '_>, key: &str) -> Option<String> {
    let value = target.value(key)?;
    let Some(name) = value.get_ref().as_str() else {
        // reports the type of the value
        target.text(key);
        return None;
    };
    let names = || declared_in(top).map(|(name, _)| name.get_ref().as_ref());
    if names().any(|declared| declared == name) {
        return Some(name.to_owned());
    }
    let found = format!("unknown parameter {} for `{key}` in {}", quoted(name), target.label);
    let expected = match names().next() {
        Some(_) => one_of(names()),
        None => "a parameter that is declared in [parameters]".to_owned(),
    };
    top.reader.report_with_hint(value.span().start, found, expected, did_you_mean(name, names()));
    None
}

fn has_value(top: &Fields<'_, '_>, name: &str) -> bool {
    // `${NAME}` as its own value means that there is no value
    let given = (top.reader.parameter)(name).filter(|value| *value != format!("${{{name}}}"));
    let default = || {
        declared_in(top)
            .find(|(declared, _)| declared.get_ref() == name)?
            .1
            .get_ref()
            .get("default")?
            .get_ref()
            .as_str()
    };
    given.as_deref().or_else(default).is_some_and(|value| !value.trim().is_empty())
}

/// Collects the byte ranges of the strings that contain `${name}`.
fn uses(value: &Spanned<DeValue<'_>>, name: &str, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(text) => {
            let is_it = |piece: &TextPart<'_>| matches!(piece, TextPart::Parameter { name: used, .. } if *used == name);
            if text_parts(text).iter().any(is_it) {
                spans.push(value.span());
            }
        }
        DeValue::Array(items) => items.iter().for_each(|item| uses(item, name, spans)),
        DeValue::Table(table) => table.iter().for_each(|(_, value)| uses(value, name, spans)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}
