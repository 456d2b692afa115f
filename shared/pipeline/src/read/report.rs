//! `[[target]]` with `kind = "report"`: sheets, cell formats and charts.

use toml::de::DeValue;

use super::fields::{Fields, TextValue, described};
use super::mention::Mentions;
use super::names::target_name;
use super::query::query;
use crate::definition::report::{CellFormat, Chart, ChartKind, Report, Sheet};
use crate::diagnostic::{did_you_mean, one_of, quoted};
use crate::name::{ColumnName, DatasetName, PipelineName};
use crate::schedule::Schedule;

pub(super) const FIELDS: [&str; 7] = ["kind", "name", "folder", "file", "title", "timezone", "sheet"];
const SHEET_FIELDS: [&str; 7] = ["title", "sql", "sql_file", "when_empty", "formats", "labels", "charts"];
const CHART_FIELDS: [&str; 5] = ["kind", "title", "sheet", "category", "values"];
const FORMATS: [(&str, CellFormat); 8] = [
    ("text", CellFormat::Text),
    ("integer", CellFormat::Integer),
    ("decimal", CellFormat::Decimal),
    ("number", CellFormat::Number),
    ("money", CellFormat::Money),
    ("percent", CellFormat::Percent),
    ("date", CellFormat::Date),
    ("datetime", CellFormat::Datetime),
];

pub(super) fn report(
    fields: &Fields<'_, '_>,
    pipeline: Option<&PipelineName>,
    schedule: Option<&Schedule>,
    mentions: &mut Mentions,
) -> Option<Report> {
    let name = target_name(fields, || "report".to_owned());
    let folder = fields.needed("folder", "the folder to write to");
    let title = fields.needed("title", "the title on the first sheet");
    let file = match fields.value("file") {
        Some(_) => fields.needed("file", "the stem of the file names").and_then(|text| file_stem(fields, text)),
        None => pipeline.map(ToString::to_string),
    };
    let timezone = match fields.value("timezone") {
        Some(_) => fields.text("timezone").and_then(|text| fields.reader.timezone(text)),
        None => Some(schedule.map_or_else(|| "UTC".to_owned(), |schedule| schedule.timezone.clone())),
    };
    let tables = fields.open_each("sheet", "[[target.sheet]]", &SHEET_FIELDS);
    if fields.value("sheet").is_none() {
        fields.missing("sheet", "at least one [[target.sheet]] below it");
    }
    // collected first, because charts may name sheets that are invalid or that follow
    let titles: Vec<String> =
        tables.iter().filter_map(|table| table.value("title")?.get_ref().as_str()).map(str::to_owned).collect();
    let mut inputs: Vec<DatasetName> = Vec::new();
    let mut sheets: Vec<Sheet> = Vec::new();
    for table in &tables {
        let Some((sheet, datasets)) = sheet(table, &titles, &sheets, mentions) else {
            continue;
        };
        sheets.push(sheet);
        for dataset in datasets {
            if !inputs.contains(&dataset) {
                inputs.push(dataset);
            }
        }
    }
    Some(Report {
        name: name?,
        folder: folder?.text,
        file: file?,
        title: title?.text,
        timezone: timezone?,
        sheets,
        inputs,
    })
}

fn file_stem(fields: &Fields<'_, '_>, text: TextValue) -> Option<String> {
    let bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    if text.text.contains(bad) || text.text.starts_with('.') || text.text.len() > 100 {
        let expected = "the stem of a file name: no folder, none of \\ : * ? \" < > |, at most 100 bytes";
        fields.reader.report(text.at, format!("{} for `file` in {}", quoted(&text.text), fields.label), expected);
        return None;
    }
    Some(text.text)
}

fn sheet(
    fields: &Fields<'_, '_>,
    titles: &[String],
    before: &[Sheet],
    mentions: &mut Mentions,
) -> Option<(Sheet, Vec<DatasetName>)> {
    let title = fields.needed("title", "the name of the sheet").and_then(|text| sheet_title(fields, text, before));
    let query = query(fields, true, mentions);
    let when_empty = fields.text("when_empty").map_or_else(|| "No rows.".to_owned(), |text| text.text);
    let formats = by_column(fields, "formats", |formats, column| formats.choice(column, &FORMATS));
    let labels = by_column(fields, "labels", |labels, column| labels.text(column).map(|text| text.text));
    let charts = fields.open_each("charts", "`charts` of [[target.sheet]]", &CHART_FIELDS);
    let charts = charts.iter().filter_map(|table| chart(table, title.as_deref(), titles)).collect();
    let query = query?;
    Some((Sheet { title: title?, sql: query.sql, formats, labels, charts, when_empty }, query.inputs))
}

/// A title that Excel accepts, and whose form in file names differs from those of the other titles.
fn sheet_title(fields: &Fields<'_, '_>, text: TextValue, before: &[Sheet]) -> Option<String> {
    let title = &text.text;
    let bad = |c: char| c.is_control() || "[]:*?/\\".contains(c);
    let quote = title.starts_with('\'') || title.ends_with('\'');
    if title.chars().count() > 31 || title.contains(bad) || quote || title.eq_ignore_ascii_case("history") {
        let expected = "a title that Excel accepts: at most 31 characters, none of [ ] : * ? / \\, no ' at the ends, not `History`";
        fields.reader.report(text.at, format!("{} for a sheet's title", quoted(title)), expected);
        return None;
    }
    if let Some(other) = before.iter().find(|sheet| slug(&sheet.title) == slug(title)) {
        let found = format!("sheet {} beside {}", quoted(title), quoted(&other.title));
        fields.reader.report(text.at, found, "titles that differ in their letters and digits");
        return None;
    }
    Some(text.text)
}

fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// A table of `column = value`.
fn by_column<T>(
    fields: &Fields<'_, '_>,
    key: &str,
    read: impl Fn(&Fields<'_, '_>, &str) -> Option<T>,
) -> Vec<(ColumnName, T)> {
    let Some(value) = fields.value(key) else {
        return Vec::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        let found = format!("{} for `{key}` in {}", described(value.get_ref()), fields.label);
        fields.reader.report(value.span().start, found, "a table of columns");
        return Vec::new();
    };
    let label = format!("`{key}` of [[target.sheet]]");
    let names: Vec<&str> = table.iter().map(|(name, _)| name.get_ref().as_ref()).collect();
    let columns = fields.reader.fields(table, value.span().start, label, &names);
    let entry = |(name, _): (&toml::Spanned<toml::de::DeString<'_>>, _)| {
        let text = TextValue { text: name.get_ref().to_string(), at: name.span().start, verbatim: None };
        let column = fields.reader.column_name(&text);
        let value = read(&columns, name.get_ref());
        Some((column?, value?))
    };
    table.iter().filter_map(entry).collect()
}

fn chart(fields: &Fields<'_, '_>, own: Option<&str>, titles: &[String]) -> Option<Chart> {
    if fields.value("kind").is_none() {
        fields.missing("kind", "one of `column`, `bar`, `line`");
    }
    let kinds = [("column", ChartKind::Column), ("bar", ChartKind::Bar), ("line", ChartKind::Line)];
    let kind = fields.choice("kind", &kinds);
    let title = fields.needed("title", "the chart's title");
    let sheet = match fields.text("sheet") {
        Some(text) if titles.contains(&text.text) => Some(text.text),
        Some(text) => {
            let names = || titles.iter().map(String::as_str);
            let found = format!("unknown sheet {} in {}", quoted(&text.text), fields.label);
            fields.reader.report_with_hint(text.at, found, one_of(names()), did_you_mean(&text.text, names()));
            None
        }
        None => own.map(str::to_owned),
    };
    let category =
        fields.needed("category", "the column along the axis").and_then(|text| fields.reader.column_name(&text));
    if fields.value("values").is_none_or(|value| value.get_ref().as_array().is_some_and(|items| items.is_empty())) {
        fields.missing("values", "the columns that are drawn");
    }
    let values = fields.one_or_more("values").unwrap_or_default();
    let values = values.iter().filter_map(|text| fields.reader.column_name(text)).collect();
    Some(Chart { kind: kind?, title: title?.text, sheet: sheet?, category: category?, values })
}
