//! The files of one report: its workbook, and a CSV per sheet.

use std::collections::HashSet;

use jiff::civil::Date;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook};
use tidemark_pipeline::Report;

use super::error::ReportError;
use super::formats::SheetFormats;
use super::table::Table;
use super::{csv, sheet};

/// A file to put into the report's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file's name without a folder: `daily-sales-2011-12-08.xlsx`.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Builds the files of a report: the workbook, then one CSV per sheet in the order of the sheets.
///
/// A text that looks like a formula stays text: in the workbook because it is stored as text, in a CSV by a `'` before it
/// (<https://cwe.mitre.org/data/definitions/1236.html>). An empty table becomes a sheet with a message and a CSV with only a header.
pub fn build(report: &Report, day: Date, tables: &[Table]) -> Result<Vec<Built>, ReportError> {
    let stem = &report.file;
    if stem.is_empty() || stem.chars().any(|c| matches!(c, '/' | '\\') || c.is_control()) {
        return Err(ReportError::FileName { found: stem.clone() });
    }
    let mut built = vec![Built { name: format!("{stem}-{day}.xlsx"), bytes: workbook(report, day, tables)? }];
    for (table, slug) in tables.iter().zip(slugs(tables)) {
        built.push(Built { name: format!("{stem}-{day}-{slug}.csv"), bytes: csv::write(table)? });
    }
    Ok(built)
}

fn workbook(report: &Report, day: Date, tables: &[Table]) -> Result<Vec<u8>, ReportError> {
    let mut titles = HashSet::new();
    for Table { sheet, .. } in tables {
        sheet::check_title(&sheet.title)?;
        if !titles.insert(sheet.title.to_lowercase()) {
            return Err(ReportError::SheetTwice { sheet: sheet.title.clone() });
        }
    }
    let mut workbook = Workbook::new();
    // Without an explicit creation date the workbook would have the current time.
    let created = ExcelDateTime::from_ymd(day.year().clamp(1900, 9999) as u16, day.month() as u8, day.day() as u8)?;
    let properties =
        DocProperties::new().set_title(&report.title).set_author("Tidemark").set_creation_datetime(&created);
    workbook.set_properties(&properties);
    let formats = SheetFormats::new();
    for table in tables {
        sheet::write(workbook.add_worksheet(), report, day, table, tables, &formats)?;
    }
    Ok(workbook.save_to_buffer()?)
}

/// The sheets' titles as unique parts of file names: letters and digits in lower case, with `-` for everything else.
fn slugs(tables: &[Table]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut slugs = Vec::with_capacity(tables.len());
    for Table { sheet, .. } in tables {
        let title = sheet.title.to_lowercase();
        let words: Vec<&str> = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let slug = if words.is_empty() { "sheet".to_owned() } else { words.join("-") };
        let numbered = (2..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
        slugs.extend(free);
    }
    slugs
}
