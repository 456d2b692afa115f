//! One sheet: title, date, table, charts.

use jiff::civil::Date;
use rust_xlsxwriter::{Format, IgnoreError, Worksheet, XlsxError};
use tidemark_pipeline::{CellFormat, Report};

use super::chart;
use super::error::ReportError;
use super::excel::{cut, number, text};
use super::formats::{ColumnFormats, HEADER_ROW, SheetFormats};
use super::table::{Column, Table, columns};
use crate::targets::cell::Cell;

/// Maximum number of rows of a worksheet: <https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3>.
const MAX_ROWS: usize = 1_048_576;
const MAX_COLUMNS: usize = 16_384;
/// Number of rows above which a table gets a filter.
const FILTER_ABOVE: usize = 20;

/// Refuses a sheet title that Excel does not allow: <https://support.microsoft.com/office/3f1f7148-ee83-404d-8ef0-9ff99fbad1f9>.
pub(super) fn check_title(title: &str) -> Result<(), ReportError> {
    let why = match title {
        "" => "it is empty",
        title if title.encode_utf16().count() > 31 => "it has more than 31 characters",
        title if title.chars().any(|c| "[]:*?/\\".contains(c) || c.is_control()) => {
            "it has one of [ ] : * ? / \\ or a control character"
        }
        title if title.starts_with('\'') || title.ends_with('\'') => "it starts or ends with an apostrophe",
        title if title.eq_ignore_ascii_case("history") => "Excel reserves this title",
        _ => return Ok(()),
    };
    Err(ReportError::SheetTitle { sheet: title.into(), why })
}

/// Writes `table` and its charts, whose data may come from any of `tables`.
pub(super) fn write(
    worksheet: &mut Worksheet,
    report: &Report,
    day: Date,
    table: &Table,
    tables: &[Table],
    formats: &SheetFormats,
) -> Result<(), ReportError> {
    worksheet.set_name(&table.sheet.title)?;
    worksheet.set_screen_gridlines(false).set_landscape().set_paper_size(9).set_print_fit_to_pages(1, 0);
    worksheet.set_footer("&L&A&RPage &P of &N").set_margins(0.5, 0.5, 0.6, 0.7, 0.3, 0.3);
    worksheet.set_row_height(0, 28)?.set_row_height(1, 20)?;
    worksheet.write_string_with_format(0, 0, cut(&report.title), &formats.title)?;
    worksheet.write_string_with_format(1, 0, day.strftime("%A, %-d %B %Y").to_string(), &formats.date)?;

    let columns = columns(table)?;
    if table.rows.height() == 0 {
        worksheet.write_string_with_format(HEADER_ROW, 0, cut(&table.sheet.when_empty), &formats.note)?;
    } else {
        write_table(worksheet, table, &columns)?;
    }
    chart::insert(worksheet, table, tables, &columns)
}

fn write_table(worksheet: &mut Worksheet, table: &Table, columns: &[Column]) -> Result<(), ReportError> {
    let height = table.rows.height();
    let too_large = |what, found, max| ReportError::TooLarge { sheet: table.sheet.title.clone(), what, found, max };
    let max_rows = MAX_ROWS - HEADER_ROW as usize - 1;
    if height > max_rows {
        return Err(too_large("rows", height, max_rows));
    }
    if columns.len() > MAX_COLUMNS {
        return Err(too_large("columns", columns.len(), MAX_COLUMNS));
    }
    let (first, last) = (HEADER_ROW + 1, HEADER_ROW + height as u32);
    worksheet.set_row_height(HEADER_ROW, 21)?;
    for (at, column) in (0_u16..).zip(columns) {
        let dress = ColumnFormats::new(column.format, at);
        let whole = (column.format == CellFormat::Number).then(|| ColumnFormats::new(CellFormat::Integer, at));
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
    if height > FILTER_ABOVE {
        worksheet.autofilter(HEADER_ROW, 0, last, columns.len() as u16 - 1)?;
    }
    Ok(())
}

/// Writes a number as a number if Excel, which stores doubles, keeps all its digits; otherwise as text.
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
