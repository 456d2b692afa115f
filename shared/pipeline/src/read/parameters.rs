//! `[parameters]`, and the parameters `${NAME}` that a file uses.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::parse;
use super::fields::Fields;
use crate::diagnostic::{Diagnostic, quoted};
use crate::file::SourceFile;
use crate::params::{Parameter, TextPart, is_name, text_parts};

/// All parameters that a pipeline file uses or declares, sorted by name.
///
/// # Errors
/// TOML syntax errors only; [`super::read`] finds the others.
pub fn parameters(file: &SourceFile<'_>) -> Result<Vec<Parameter>, Vec<Diagnostic>> {
    let document = parse(file)?;
    let mut found = BTreeMap::new();
    let mut conditions = BTreeSet::new();
    for (key, value) in document.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("parameters", _) => {}
            ("target", DeValue::Array(targets)) => {
                for target in targets {
                    let condition = |key: &str| target.get_ref().get(key)?.get_ref().as_str().map(str::to_owned);
                    let only_with = condition("only_with");
                    collect(file, target, only_with.as_deref(), &mut found);
                    conditions.extend(only_with.into_iter().chain(condition("only_without")));
                }
            }
            _ => collect(file, value, None, &mut found),
        }
    }
    let used: BTreeSet<String> = found.keys().cloned().collect();
    for (key, value) in declared(document.get_ref()) {
        let name = key.get_ref().to_string();
        let parameter = found.entry(name).or_insert_with_key(|name| new(file, name, key.span().start));
        let field =
            |field: &str| value.get_ref().get(field).and_then(|value| value.get_ref().as_str()).map(str::to_owned);
        parameter.default = field("default");
        parameter.about = field("about");
        // a target that depends on it is disabled without it
        parameter.needed = used.contains(&parameter.name) || !conditions.contains(&parameter.name);
    }
    Ok(found.into_values().collect())
}

fn new(file: &SourceFile<'_>, name: &str, at: usize) -> Parameter {
    let (line, column) = file.line_and_column(at);
    Parameter { name: name.to_owned(), default: None, about: None, needed: true, line, column }
}

/// Adds the parameters used in `value`, except `but`.
fn collect(
    file: &SourceFile<'_>,
    value: &Spanned<DeValue<'_>>,
    but: Option<&str>,
    found: &mut BTreeMap<String, Parameter>,
) {
    match value.get_ref() {
        DeValue::String(text) => {
            for piece in text_parts(text) {
                if let TextPart::Parameter { name, .. } = piece
                    && Some(name) != but
                {
                    found.entry(name.to_owned()).or_insert_with(|| new(file, name, value.span().start));
                }
            }
        }
        DeValue::Array(items) => items.iter().for_each(|item| collect(file, item, but, found)),
        DeValue::Table(table) => table.iter().for_each(|(_, value)| collect(file, value, but, found)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

/// The declared parameters, as key and table.
pub(super) fn declared_in<'r>(
    top: &Fields<'_, 'r>,
) -> impl Iterator<Item = (&'r Spanned<toml::de::DeString<'r>>, &'r Spanned<DeValue<'r>>)> + use<'r> {
    declared(top.table)
}

fn declared<'d, 't>(
    document: &'d DeTable<'t>,
) -> impl Iterator<Item = (&'d Spanned<toml::de::DeString<'t>>, &'d Spanned<DeValue<'t>>)> {
    document.get("parameters").and_then(|value| value.get_ref().as_table()).into_iter().flatten()
}

/// The declared defaults by name, not expanded.
pub(super) fn defaults(document: &DeTable<'_>) -> BTreeMap<String, String> {
    let default = |value: &Spanned<DeValue<'_>>| value.get_ref().get("default")?.get_ref().as_str().map(str::to_owned);
    declared(document).filter_map(|(key, value)| Some((key.get_ref().to_string(), default(value)?))).collect()
}

/// Reports the errors in `[parameters]`.
pub(super) fn check(top: &Fields<'_, '_>) {
    let Some(value) = top.value("parameters") else {
        return;
    };
    let DeValue::Table(table) = value.get_ref() else {
        top.reader.report(value.span().start, "a value for [parameters] that is not a table", "a table of parameters");
        return;
    };
    for (key, value) in table {
        if !is_name(key.get_ref()) {
            let found = format!("{} for a parameter's name", quoted(key.get_ref()));
            top.reader.report(key.span().start, found, "letters, digits and `_`, no digit first");
        }
        let label = format!("[parameters.{}]", key.get_ref());
        if let Some(fields) = top.reader.open(value, label, &["default", "about"]) {
            for field in ["default", "about"] {
                if let Some(value) = fields.value(field)
                    && !value.get_ref().is_str()
                {
                    top.reader.report(
                        value.span().start,
                        format!("no string for `{field}` in {}", fields.label),
                        "a string",
                    );
                }
            }
        }
    }
}
