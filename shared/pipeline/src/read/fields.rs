//! Reads typed fields from the tables of a parsed TOML file. Errors are collected with their positions while reading continues, so all
//! errors of a file are reported together.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, did_you_mean, one_of, quoted};
use crate::file::SourceFile;
use crate::name::{ColumnName, NameError, SecretName};
use crate::params::{TextPart, text_parts};
use crate::raw;

pub(super) type Value<'r> = &'r Spanned<DeValue<'r>>;

/// The inputs for reading a file, and the errors and secrets found so far.
pub(super) struct Reader<'r> {
    pub file: &'r SourceFile<'r>,
    pub parameter: &'r dyn Fn(&str) -> Option<String>,
    pub sql_file: &'r dyn Fn(&str) -> Result<String, String>,
    diagnostics: RefCell<Vec<Diagnostic>>,
    secrets: RefCell<BTreeSet<SecretName>>,
}

/// A string of the file with the values of its parameters.
#[derive(Debug, Clone)]
pub(super) struct TextValue {
    pub text: String,
    /// Byte of the file at which the value starts.
    pub at: usize,
    /// Byte of the file at which `text` starts, if the file contains it unchanged.
    pub verbatim: Option<usize>,
}

impl TextValue {
    /// The byte of the file that byte `offset` of the text comes from, or the start of the value if it is not known exactly.
    pub fn offset(&self, offset: usize) -> usize {
        self.verbatim.map_or(self.at, |start| start + offset)
    }
}

impl<'r> Reader<'r> {
    pub fn new(
        file: &'r SourceFile<'r>,
        parameter: &'r dyn Fn(&str) -> Option<String>,
        sql_file: &'r dyn Fn(&str) -> Result<String, String>,
    ) -> Self {
        Reader { file, parameter, sql_file, diagnostics: RefCell::default(), secrets: RefCell::default() }
    }

    pub fn note(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    pub fn add_secret(&self, secret: &SecretName) {
        self.secrets.borrow_mut().insert(secret.clone());
    }

    /// Returns and clears the secrets found so far.
    pub fn take_secrets(&self) -> BTreeSet<SecretName> {
        self.secrets.take()
    }

    pub fn report(&self, at: usize, found: impl Into<String>, expected: impl Into<String>) {
        self.note(self.file.place(at).diagnostic(found.into(), expected.into(), None));
    }

    pub fn report_with_hint(
        &self,
        at: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: Option<String>,
    ) {
        self.note(self.file.place(at).diagnostic(found.into(), expected.into(), hint));
    }

    /// Whether there are no errors so far.
    pub fn is_clean(&self) -> bool {
        self.diagnostics.borrow().is_empty()
    }

    /// Number of errors so far, for [`Reader::retract`].
    pub fn diagnostic_count(&self) -> usize {
        self.diagnostics.borrow().len()
    }

    /// Removes the errors after the first `since` that lie within these byte ranges of the file.
    pub fn retract(&self, since: usize, spans: &[Range<usize>]) {
        let place = |at: usize| self.file.line_and_column(at);
        let is_within = |mistake: &Diagnostic, span: &Range<usize>| {
            let at = (mistake.line, mistake.column);
            mistake.file == self.file.path() && (place(span.start)..place(span.end)).contains(&at)
        };
        let mut diagnostics = self.diagnostics.borrow_mut();
        let since = since.min(diagnostics.len());
        let recent = diagnostics.split_off(since);
        diagnostics.extend(recent.into_iter().filter(|one| !spans.iter().any(|span| is_within(one, span))));
    }

    /// All errors, sorted by place, without duplicates.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics.into_inner();
        diagnostics.sort();
        diagnostics.dedup();
        diagnostics
    }

    pub fn text(&self, value: Value<'r>, field: &str) -> Option<TextValue> {
        match value.get_ref() {
            DeValue::String(raw) => self.fill_in(raw, value.span()),
            other => {
                self.report(value.span().start, format!("{} for {field}", described(other)), "a string");
                None
            }
        }
    }

    /// Replaces the parameters of a string. The values are not expanded again.
    fn fill_in(&self, raw: &str, span: Range<usize>) -> Option<TextValue> {
        let verbatim = self.verbatim(raw, &span);
        let place = |at: usize| verbatim.map_or(span.start, |start| start + at);
        let mut text = String::with_capacity(raw.len());
        let mut whole = true;
        let parts = text_parts(raw);
        let plain = matches!(parts.as_slice(), [TextPart::Text(_)]);
        for part in parts {
            match part {
                TextPart::Text(piece) => text.push_str(piece),
                TextPart::Parameter { name, at } => match (self.parameter)(name) {
                    Some(value) => text.push_str(&value),
                    None => {
                        whole = false;
                        let hint = format!("give it with `--set {name}=value` or the environment variable `{name}`");
                        let found = format!("parameter `{name}` without a value");
                        self.report_with_hint(place(at), found, "a value for it", Some(hint));
                    }
                },
                TextPart::Fault { at } => {
                    whole = false;
                    let hint = Some("a literal `${` is written `$${`".to_owned());
                    self.report_with_hint(place(at), "`${` without the name of a parameter", "`${NAME}`", hint);
                }
            }
        }
        whole.then_some(TextValue { text, at: span.start, verbatim: verbatim.filter(|_| plain) })
    }

    /// Byte offset of a string literal's content, if it has no escapes (CRLF is read as LF).
    fn verbatim(&self, text: &str, span: &Range<usize>) -> Option<usize> {
        let literal = self.file.text().get(span.clone())?;
        let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| literal.starts_with(quotes))?;
        let inside = literal.strip_prefix(quotes)?.strip_suffix(quotes)?;
        let content = match quotes.len() {
            3 => inside.strip_prefix("\r\n").or_else(|| inside.strip_prefix('\n')).unwrap_or(inside),
            _ => inside,
        };
        let start = span.start + quotes.len() + (inside.len() - content.len());
        (content == text || content.replace("\r\n", "\n") == text).then_some(start)
    }

    /// Opens a table, and reports all unknown fields.
    pub fn open(&self, value: Value<'r>, label: String, known: &[&str]) -> Option<Fields<'_, 'r>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(self.fields(table, value.span().start, label, known)),
            other => {
                self.report(value.span().start, format!("{} for {label}", described(other)), "a table");
                None
            }
        }
    }

    /// Opens a table without checking for unknown fields.
    pub fn probe(&self, value: Value<'r>, label: &str) -> Option<Fields<'_, 'r>> {
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Fields { reader: self, table, at: value.span().start, label: label.to_owned() })
            }
            other => {
                self.report(value.span().start, format!("{} for {label}", described(other)), "a table");
                None
            }
        }
    }

    pub fn fields(&self, table: &'r DeTable<'r>, at: usize, label: String, known: &[&str]) -> Fields<'_, 'r> {
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let found = format!("unknown field {} in {label}", quoted(key.get_ref()));
                let hint = did_you_mean(key.get_ref(), known.iter().copied());
                self.report_with_hint(key.span().start, found, one_of(known.iter().copied()), hint);
            }
        }
        Fields { reader: self, table, at, label }
    }

    /// Parses a name, or reports its allowed form.
    pub fn name<N: FromStr<Err = NameError>>(&self, text: &TextValue) -> Option<N> {
        let parsed = text.text.parse::<N>();
        parsed
            .map_err(|error| {
                self.report(text.at, format!("{} for {}", quoted(&text.text), error.what()), error.rule());
            })
            .ok()
    }

    /// A column name that is not reserved for Tidemark.
    pub fn column_name(&self, text: &TextValue) -> Option<ColumnName> {
        if raw::is_reserved(&text.text) {
            let expected = "a name that does not start with `_`, which is reserved for Tidemark";
            self.report(text.at, format!("{} for a column's name", quoted(&text.text)), expected);
            return None;
        }
        self.name(text)
    }

    /// A column that is one of `known`. `of` names the table in the message.
    pub fn column(&self, text: &TextValue, known: &[ColumnName], of: &str) -> Option<ColumnName> {
        let found = known.iter().find(|name| name.as_str() == text.text).cloned();
        if found.is_none() {
            let names = || known.iter().map(ColumnName::as_str);
            let hint = did_you_mean(&text.text, names());
            self.report_with_hint(
                text.at,
                format!("unknown column {} in {of}", quoted(&text.text)),
                one_of(names()),
                hint,
            );
        }
        found
    }

    pub fn timezone(&self, text: TextValue) -> Option<String> {
        if jiff::tz::TimeZone::get(&text.text).is_ok() {
            return Some(text.text);
        }
        let expected = "an IANA name such as `UTC` or `Europe/London`";
        self.report(text.at, format!("unknown time zone {}", quoted(&text.text)), expected);
        None
    }
}

/// The fields of a table. `label` names it in messages: `[contract]`.
pub(super) struct Fields<'a, 'r> {
    pub reader: &'a Reader<'r>,
    pub table: &'r DeTable<'r>,
    pub at: usize,
    pub label: String,
}

impl<'a, 'r> Fields<'a, 'r> {
    pub fn value(&self, key: &str) -> Option<Value<'r>> {
        self.table.get(key)
    }

    /// Byte offset of a value, or of the table if there is none.
    pub fn at(&self, key: &str) -> usize {
        self.value(key).map_or(self.at, |value| value.span().start)
    }

    pub fn missing(&self, key: &str, expected: &str) {
        self.reader.report(self.at, format!("{} has no `{key}`", self.label), expected);
    }

    /// Reports a field that is not allowed here.
    pub fn refuse(&self, key: &str, expected: &str) {
        if self.value(key).is_some() {
            self.reader.report(self.at(key), format!("`{key}` in {}", self.label), expected);
        }
    }

    fn named(&self, key: &str) -> String {
        format!("`{key}` in {}", self.label)
    }

    pub fn text(&self, key: &str) -> Option<TextValue> {
        self.reader.text(self.value(key)?, &self.named(key))
    }

    /// A required, non-empty string.
    pub fn needed(&self, key: &str, expected: &str) -> Option<TextValue> {
        if self.value(key).is_none() {
            self.missing(key, expected);
            return None;
        }
        self.filled(key, expected)
    }

    /// An optional, non-empty string.
    pub fn filled(&self, key: &str, expected: &str) -> Option<TextValue> {
        let text = self.text(key)?;
        if text.text.trim().is_empty() {
            self.reader.report(text.at, format!("an empty value for {}", self.named(key)), expected);
            return None;
        }
        Some(text)
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        let found = format!("{} for {}", described(value.get_ref()), self.named(key));
        self.reader.report(value.span().start, found, "`true` or `false`");
        None
    }

    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text.text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let names = || choices.iter().map(|(name, _)| *name);
            let found = format!("{} for {}", quoted(&text.text), self.named(key));
            self.reader.report_with_hint(text.at, found, one_of(names()), did_you_mean(&text.text, names()));
        }
        chosen
    }

    /// The values of an array. A single value that `lone` accepts is an array of one.
    pub fn items(&self, key: &str, lone: fn(&DeValue<'_>) -> bool, expected: &str) -> Option<Vec<Value<'r>>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Array(items) => Some(items.iter().collect()),
            single if lone(single) => Some(vec![value]),
            other => {
                let found = format!("{} for {}", described(other), self.named(key));
                self.reader.report(value.span().start, found, expected);
                None
            }
        }
    }

    pub fn texts(&self, key: &str) -> Option<Vec<TextValue>> {
        let items = self.items(key, |_| false, "an array of strings")?;
        Some(items.into_iter().filter_map(|item| self.reader.text(item, &self.named(key))).collect())
    }

    pub fn one_or_more(&self, key: &str) -> Option<Vec<TextValue>> {
        let items = self.items(key, |value| value.is_str(), "a string or an array of strings")?;
        Some(items.into_iter().filter_map(|item| self.reader.text(item, &self.named(key))).collect())
    }

    pub fn open(&self, key: &str, label: &str, known: &[&str]) -> Option<Fields<'a, 'r>> {
        self.reader.open(self.value(key)?, label.to_owned(), known)
    }

    /// The tables of an array, all with the same label.
    pub fn open_each(&self, key: &str, label: &str, known: &[&str]) -> Vec<Fields<'a, 'r>> {
        let items = self.items(key, |_| false, &format!("an array of tables, each written under {label}"));
        items
            .unwrap_or_default()
            .into_iter()
            .filter_map(|item| self.reader.open(item, label.to_owned(), known))
            .collect()
    }
}

/// Description of a value for messages: "the number 5", "a table".
pub(super) fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(number) => format!("the number {}", quoted(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", quoted(&number.to_string())),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(time) => format!("the date or time `{time}`"),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
