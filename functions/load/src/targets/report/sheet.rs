//! One sheet: title, date, table, charts.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use polars::prelude::{Column as PolarsColumn, DataType, Series};
use rust_xlsxwriter::{Format, IgnoreError, Worksheet, XlsxError};
use tidemark_pipeline::{CellFormat, Report, Sheet};

use super::chart;
use super::error::ReportError;
use super::look::{Dress, Look};
use super::workbook::Table;
use crate::targets::cell::{Cell, CellType, EPOCH, is_exact_integer};

/// Rows and columns of a worksheet: <https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3>.
const MAX_ROWS: usize = 1_048_576;
const MAX_COLUMNS: usize = 16_384;
/// UTF-16 units of a cell.
const MAX_TEXT: usize = 32_767;

/// The row of the table's header; above it are the title, the date and some air.
pub(super) const HEADER_ROW: u32 = 3;
/// A table with more rows than this can be filtered.
const LONG: usize = 20;
/// In characters.
const MIN_WIDTH: usize = 9;
const MAX_WIDTH: usize = 50;
/// Rows that are measured for the width of a column.
const MEASURED: usize = 1_000;

/// A column of a table, ready to be read and shown.
pub(super) struct Column<'a> {
    sheet: &'a str,
    pub(super) name: &'a str,
    series: Series,
    pub(super) kind: CellType,
    pub(super) format: CellFormat,
    pub(super) label: Cow<'a, str>,
}

impl<'a> Column<'a> {
    fn of(sheet: &'a Sheet, column: &'a PolarsColumn) -> Result<Column<'a>, ReportError> {
        let name = column.name().as_str();
        let Some(kind) = CellType::of(column.dtype()) else {
            let (sheet, column, dtype) = (sheet.title.clone(), name.into(), column.dtype().clone());
            return Err(ReportError::Type { sheet, column, dtype });
        };
        let given = sheet.formats.iter().find(|(column, _)| column.as_str() == name).map(|&(_, format)| format);
        let label = sheet.labels.iter().find(|(column, _)| column.as_str() == name);
        Ok(Column {
            sheet: &sheet.title,
            name,
            series: column.as_materialized_series().rechunk(),
            kind,
            format: given.unwrap_or(default_format(kind)),
            label: label.map_or_else(|| humanised(name).into(), |(_, label)| label.as_str().into()),
        })
    }

    pub(super) fn cell(&self, row: usize) -> Result<Cell<'_>, ReportError> {
        Cell::of(self.series.get(row)?).ok_or_else(|| ReportError::Date {
            sheet: self.sheet.into(),
            column: self.name.into(),
            row: row + 1,
        })
    }

    pub(super) fn dtype(&self) -> &DataType {
        self.series.dtype()
    }

    /// Of the widest cell, in characters.
    pub(super) fn width(&self) -> Result<usize, ReportError> {
        let mut widest = self.label.chars().count();
        for row in 0..self.series.len().min(MEASURED) {
            widest = widest.max(shown_width(self.cell(row)?, self.format));
        }
        Ok((widest + 3).clamp(MIN_WIDTH, MAX_WIDTH))
    }
}

pub(super) fn columns(table: &Table) -> Result<Vec<Column<'_>>, ReportError> {
    table.rows.columns().iter().map(|column| Column::of(&table.sheet, column)).collect()
}

fn default_format(kind: CellType) -> CellFormat {
    match kind {
        CellType::Integer => CellFormat::Integer,
        CellType::Float | CellType::Decimal => CellFormat::Decimal,
        CellType::Date => CellFormat::Date,
        CellType::Datetime => CellFormat::Datetime,
        CellType::Null | CellType::Bool | CellType::Text | CellType::Time => CellFormat::Text,
    }
}

/// `average_order` → `Average order`.
fn humanised(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.trim().chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What Excel refuses: <https://support.microsoft.com/office/3f1f7148-ee83-404d-8ef0-9ff99fbad1f9>.
pub(super) fn check_title(title: &str) -> Result<(), ReportError> {
    let why = match title {
        "" => "it is empty",
        title if title.encode_utf16().count() > 31 => "it has more than 31 characters",
        title if title.chars().any(|c| "[]:*?/\\".contains(c) || c.is_control()) => {
            "it has one of [ ] : * ? / \\ or a control character"
        }
        title if title.starts_with('\'') || title.ends_with('\'') => "it starts or ends with an apostrophe",
        title if title.eq_ignore_ascii_case("history") => "Excel keeps this one for itself",
        _ => return Ok(()),
    };
    Err(ReportError::SheetTitle { sheet: title.into(), why })
}

/// Writes `table` and its charts, which may draw from any of `tables`.
pub(super) fn write(
    worksheet: &mut Worksheet,
    report: &Report,
    day: Date,
    table: &Table,
    tables: &[Table],
    look: &Look,
) -> Result<(), ReportError> {
    worksheet.set_name(&table.sheet.title)?;
    worksheet.set_screen_gridlines(false).set_landscape().set_paper_size(9).set_print_fit_to_pages(1, 0);
    worksheet.set_footer("&L&A&RPage &P of &N").set_margins(0.5, 0.5, 0.6, 0.7, 0.3, 0.3);
    worksheet.set_row_height(0, 28)?.set_row_height(1, 20)?;
    worksheet.write_string_with_format(0, 0, cut(&report.title), &look.title)?;
    worksheet.write_string_with_format(1, 0, day.strftime("%A, %-d %B %Y").to_string(), &look.date)?;

    let columns = columns(table)?;
    if table.rows.height() == 0 {
        worksheet.write_string_with_format(HEADER_ROW, 0, cut(&table.sheet.when_empty), &look.note)?;
    } else {
        write_table(worksheet, table, &columns)?;
    }
    chart::insert(worksheet, table, tables, &columns)
}

fn write_table(worksheet: &mut Worksheet, table: &Table, columns: &[Column]) -> Result<(), ReportError> {
    let height = table.rows.height();
    let too_large = |what, found, max| ReportError::TooLarge { sheet: table.sheet.title.clone(), what, found, max };
    let room = MAX_ROWS - HEADER_ROW as usize - 1;
    if height > room {
        return Err(too_large("rows", height, room));
    }
    if columns.len() > MAX_COLUMNS {
        return Err(too_large("columns", columns.len(), MAX_COLUMNS));
    }
    let (first, last) = (HEADER_ROW + 1, HEADER_ROW + height as u32);
    worksheet.set_row_height(HEADER_ROW, 21)?;
    for (at, column) in (0_u16..).zip(columns) {
        let dress = Dress::of(column.format, at);
        let whole = (column.format == CellFormat::Number).then(|| Dress::of(CellFormat::Integer, at));
        worksheet.set_column_width(at, column.width()? as f64)?;
        worksheet.write_string_with_format(HEADER_ROW, at, cut(&column.label), &dress.header)?;
        for row in 0..height {
            let cell = column.cell(row)?;
            let dress = match &whole {
                Some(whole) if number(cell).is_some_and(|number| number.fract() == 0.0) => whole,
                _ => &dress,
            };
            let format = if row % 2 == 0 { &dress.plain } else { &dress.tinted };
            write_cell(worksheet, first + row as u32, at, cell, column.format, format)?;
        }
        if column.format == CellFormat::Text {
            worksheet.ignore_error_range(first, at, last, at, IgnoreError::NumberStoredAsText)?;
        }
    }
    worksheet.set_freeze_panes(first, 0)?.set_repeat_rows(HEADER_ROW, HEADER_ROW)?;
    if height > LONG {
        worksheet.autofilter(HEADER_ROW, 0, last, columns.len() as u16 - 1)?;
    }
    Ok(())
}

/// Numbers stay numbers while Excel, which counts in doubles, keeps them whole; what it cannot keep is written as text.
fn write_cell(
    sheet: &mut Worksheet,
    row: u32,
    at: u16,
    cell: Cell,
    shown: CellFormat,
    format: &Format,
) -> Result<(), XlsxError> {
    match cell {
        Cell::Null => sheet.write_blank(row, at, format)?,
        Cell::Text(text) => sheet.write_string_with_format(row, at, cut(text), format)?,
        Cell::Bool(value) => sheet.write_boolean_with_format(row, at, value, format)?,
        cell => match number(cell) {
            Some(number) if shown != CellFormat::Text => sheet.write_number_with_format(row, at, number, format)?,
            _ => sheet.write_string_with_format(row, at, text(cell), format)?,
        },
    };
    Ok(())
}

/// The number Excel holds for a cell.
fn number(cell: Cell) -> Option<f64> {
    match cell {
        Cell::Integer(value) => is_exact_integer(value).then_some(value as f64),
        Cell::Float(value) => value.is_finite().then_some(value),
        Cell::Decimal(value) => Some(value.to_f64()).filter(|value| value.abs() < 1e15),
        Cell::Date(date) => serial(date.into()),
        Cell::Datetime(moment) => serial(moment.at),
        Cell::Null | Cell::Bool(_) | Cell::Text(_) | Cell::Time(_) => None,
    }
}

fn text(cell: Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Bool(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Float(value) => value.to_string(),
        Cell::Decimal(value) => value.to_string(),
        Cell::Text(value) => value.to_owned(),
        Cell::Date(value) => value.to_string(),
        Cell::Time(value) => value.to_string(),
        Cell::Datetime(value) => value.to_string(),
    }
}

/// Days since the last one of 1899, as Excel counts them. `None` before March 1900: Excel has no year before, and a
/// 29 February in this one.
fn serial(at: DateTime) -> Option<f64> {
    let since = at.duration_since(EPOCH.into());
    let days = since.as_millis() as f64 / 86_400_000.0 + 25_569.0;
    (days >= 61.0).then_some(days)
}

/// A text as long as a cell takes.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT || text.encode_utf16().count() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units < MAX_TEXT
    };
    Cow::Owned(text.chars().take_while(fits).chain(['…']).collect())
}

/// Characters of a cell as it is shown.
fn shown_width(cell: Cell, shown: CellFormat) -> usize {
    let decimals = match shown {
        CellFormat::Decimal | CellFormat::Number | CellFormat::Money => 3,
        _ => 0,
    };
    match (cell, number(cell)) {
        (Cell::Null, _) => 0,
        (Cell::Text(text), _) => text.lines().map(|line| line.chars().count()).max().unwrap_or(0),
        (Cell::Bool(_), _) => 5,
        (_, Some(_)) if shown == CellFormat::Date => 10,
        (_, Some(_)) if shown == CellFormat::Datetime => 16,
        (_, Some(number)) if shown == CellFormat::Percent => format!("{:.1}%", number * 100.0).len(),
        (_, Some(number)) if shown != CellFormat::Text => {
            let digits = format!("{number:.0}").len();
            digits + (digits - 1) / 3 + decimals
        }
        (cell, _) => text(cell).chars().count(),
    }
}
