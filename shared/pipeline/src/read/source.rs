//! `[source]`.

use super::fields::{Fields, TextValue};
use super::http;
use super::names::is_new;
use crate::definition::source::{Csv, Encoding, Files, Format, Header, Source};
use crate::diagnostic::quoted;
use crate::name::ColumnName;

const CSV_FIELDS: [&str; 5] = ["delimiter", "quote", "header", "columns", "encoding"];

const FILES: [&str; 4] = ["kind", "path", "format", "csv"];

pub(super) fn source(top: &Fields<'_, '_>) -> Option<Source> {
    // the kind determines the known fields
    let any = top.reader.probe(top.value("source")?, "[source]")?;
    let expected = "`kind = \"files\"` or `kind = \"http\"`";
    if any.value("kind").is_none() {
        any.missing("kind", expected);
    }
    match any.choice("kind", &[("files", false), ("http", true)]) {
        Some(true) => {
            let fields = top.open("source", "[source]", &http::FIELDS)?;
            http::http(&fields).map(|http| Source::Http(Box::new(http)))
        }
        Some(false) => files(&top.open("source", "[source]", &FILES)?).map(Source::Files),
        None => {
            let all: Vec<&str> = FILES.iter().chain(&http::FIELDS).copied().collect();
            top.open("source", "[source]", &all).and(None)
        }
    }
}

fn files(fields: &Fields<'_, '_>) -> Option<Files> {
    let path = fields.needed("path", "a file, a glob or a folder");
    let formats = [("csv", Format::Csv), ("ndjson", Format::Ndjson), ("parquet", Format::Parquet)];
    let format = fields.choice("format", &formats);
    if matches!(format, Some(Format::Ndjson | Format::Parquet)) {
        fields.refuse("csv", "this field only with `format = \"csv\"`");
    }
    let csv = fields.open("csv", "[source.csv]", &CSV_FIELDS).map_or_else(Csv::default, |fields| csv(&fields));
    path.map(|path| Files { path: path.text, format, csv })
}

/// Invalid values are reported and replaced by their defaults.
fn csv(fields: &Fields<'_, '_>) -> Csv {
    let standard = Csv::default();
    let one = "one ASCII character, as in `\",\"`, `\";\"` or `\"\\t\"`";
    let delimiter = fields.text("delimiter").and_then(|text| byte(fields, &text, "delimiter", one));
    let delimiter = delimiter.unwrap_or(standard.delimiter);
    let quote = match fields.text("quote") {
        Some(text) if text.text.is_empty() => None,
        Some(text) => byte(fields, &text, "quote", "one ASCII character, or `\"\"` for none"),
        None => standard.quote,
    };
    if quote == Some(delimiter) {
        fields.reader.report(fields.at("quote"), "the delimiter for `quote` in [source.csv]", "another character");
    }
    let encodings = [("utf-8", Encoding::Utf8), ("windows-1252", Encoding::Windows1252)];
    let encoding = fields.choice("encoding", &encodings).unwrap_or(standard.encoding);
    let header = match (fields.flag("header").unwrap_or(true), fields.texts("columns")) {
        (true, None) => Header::First,
        (false, Some(columns)) => Header::Given(given(fields, &columns)),
        (true, Some(_)) => {
            let expected = "`header = false` as well, because the first line is read as a header otherwise";
            fields.refuse("columns", expected);
            Header::First
        }
        (false, None) => {
            fields.missing("columns", "`columns = [\"…\"]`, since `header = false`");
            Header::First
        }
    };
    Csv { delimiter, quote, header, encoding }
}

fn byte(fields: &Fields<'_, '_>, text: &TextValue, key: &str, expected: &str) -> Option<u8> {
    match text.text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, 0 | b'\n' | b'\r') => Some(*byte),
        _ => {
            let found = format!("{} for `{key}` in [source.csv]", quoted(&text.text));
            fields.reader.report(text.at, found, expected);
            None
        }
    }
}

fn given(fields: &Fields<'_, '_>, columns: &[TextValue]) -> Vec<ColumnName> {
    let mut given: Vec<ColumnName> = Vec::new();
    for text in columns {
        if let Some(name) = fields.reader.column_name(text)
            && is_new(fields, text.at, "column", name.as_str(), given.iter().map(ColumnName::as_str))
        {
            given.push(name);
        }
    }
    if columns.is_empty() {
        fields.reader.report(fields.at("columns"), "no columns in [source.csv]", "their names in order");
    }
    given
}
