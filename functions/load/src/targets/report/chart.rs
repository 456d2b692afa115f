//! Charts: placed beside a narrow or long table, and below a wide and short one, so that they never cover it.

use rust_xlsxwriter::{
    Chart as ExcelChart, ChartAxis, ChartAxisCrossing, ChartAxisLabelPosition, ChartFont, ChartFormat,
    ChartLegendPosition, ChartLine, ChartSolidFill, ChartType, Worksheet,
};
use tidemark_pipeline::{CellFormat, Chart, ChartKind};

use super::error::ReportError;
use super::formats::{ACCENT, HEADER_ROW, LINE, MUTED, SERIES, axis_format};
use super::table::{Column, Table, columns};
use crate::targets::cell::CellType;

/// Width of a chart, in pixels.
const WIDTH: u32 = 620;
const HEIGHT: u32 = 320;
/// Maximum height of a chart, in pixels, so that it fits on a printed page.
const MAX_HEIGHT: u32 = 580;
const GAP: u32 = 20;
/// Height of a bar with its label, in pixels.
const BAR_HEIGHT: u32 = 26;
/// Width of one character of a column, in pixels.
const CHARACTER_WIDTH: f64 = 7.0;
/// Width in pixels above which a table leaves no space for a chart beside it.
const MAX_TABLE_WIDTH: f64 = 700.0;
/// Maximum number of rows of a table below which charts are placed: below a longer one they would be out of sight.
const SHORT_TABLE_ROWS: usize = 25;

/// Places the sheet's charts beside or below its table. A sheet with an empty table gets no charts, and a chart of an empty table is
/// left out.
pub(super) fn insert(
    worksheet: &mut Worksheet,
    table: &Table,
    tables: &[Table],
    shown: &[Column],
) -> Result<(), ReportError> {
    let mut charts = Vec::new();
    for chart in &table.sheet.charts {
        let chart = draw(&table.sheet.title, chart, tables)?;
        charts.extend(chart.filter(|_| table.rows.height() > 0));
    }
    let height = table.rows.height();
    let mut width = 0.0;
    for column in shown {
        width += column.width()? as f64 * CHARACTER_WIDTH;
    }
    if width > MAX_TABLE_WIDTH && height <= SHORT_TABLE_ROWS {
        let row = HEADER_ROW + height as u32 + 2;
        let mut across = 0;
        for (chart, _) in &charts {
            worksheet.insert_chart_with_offset(row, 0, chart, across, 0)?;
            across += WIDTH + GAP;
        }
    } else {
        let beside = shown.len() as u16;
        let mut down = 0;
        for (chart, height) in &charts {
            worksheet.insert_chart_with_offset(HEADER_ROW, beside, chart, GAP * 2, down)?;
            down += height + GAP;
        }
    }
    Ok(())
}

/// The chart and its height in pixels; `None` if its table is empty.
fn draw(sheet: &str, chart: &Chart, tables: &[Table]) -> Result<Option<(ExcelChart, u32)>, ReportError> {
    let Some(table) = tables.iter().find(|table| table.sheet.title == chart.sheet) else {
        return Err(ReportError::ChartSheet { sheet: sheet.into(), source_sheet: chart.sheet.clone() });
    };
    let columns = columns(table)?;
    let find = |name: &str| {
        let found = (0_u16..).zip(&columns).find(|(_, column)| column.name == name);
        found.ok_or_else(|| ReportError::ChartColumn {
            sheet: sheet.into(),
            source_sheet: chart.sheet.clone(),
            column: name.into(),
        })
    };
    let (category_at, category) = find(chart.category.as_str())?;
    let values = chart.values.iter().map(|name| find(name.as_str())).collect::<Result<Vec<_>, _>>()?;
    if let Some((_, column)) = values.iter().find(|(_, column)| !column.kind.is_number()) {
        let (sheet, column, dtype) = (sheet.into(), column.name.into(), column.dtype().clone());
        return Err(ReportError::ChartValues { sheet, column, dtype });
    }
    let rows = table.rows.height() as u32;
    if rows == 0 {
        return Ok(None);
    }

    let mut drawn = ExcelChart::new(match chart.kind {
        ChartKind::Column => ChartType::Column,
        ChartKind::Bar => ChartType::Bar,
        ChartKind::Line => ChartType::Line,
    });
    let range = |at| (chart.sheet.as_str(), HEADER_ROW + 1, at, HEADER_ROW + rows, at);
    for (&(at, column), color) in values.iter().zip(SERIES.iter().cycle()) {
        let mut format = ChartFormat::new();
        match chart.kind {
            ChartKind::Line => format.set_line(ChartLine::new().set_color(*color).set_width(2.25)),
            ChartKind::Column | ChartKind::Bar => format.set_solid_fill(ChartSolidFill::new().set_color(*color)),
        };
        let series = drawn.add_series();
        series.set_categories(range(category_at)).set_values(range(at)).set_name(column.label.as_ref());
        series.set_format(&mut format).set_gap(60);
    }
    let height = match chart.kind {
        ChartKind::Bar => (rows.saturating_mul(BAR_HEIGHT) + 100).clamp(HEIGHT, MAX_HEIGHT),
        ChartKind::Column | ChartKind::Line => HEIGHT,
    };
    let shown = values.first().map_or(CellFormat::Integer, |(_, column)| column.format);
    style(&mut drawn, chart, category, shown);
    drawn.set_width(WIDTH).set_height(height);
    Ok(Some((drawn, height)))
}

fn style(drawn: &mut ExcelChart, chart: &Chart, category: &Column, values: CellFormat) {
    let mut font = ChartFont::new();
    font.set_size(9).set_color(MUTED);
    drawn.title().set_name(&chart.title).set_font(ChartFont::new().set_size(12).set_bold().set_color(ACCENT));
    drawn.chart_area().set_format(ChartFormat::new().set_border(ChartLine::new().set_color(LINE)));
    match chart.values.len() {
        1 => drawn.legend().set_hidden(),
        _ => drawn.legend().set_position(ChartLegendPosition::Bottom).set_font(&font),
    };
    let quiet = |axis: &mut ChartAxis| {
        axis.set_font(&font).set_format(ChartFormat::new().set_line(ChartLine::new().set_color(LINE)));
    };
    let categories = if chart.kind == ChartKind::Bar { drawn.y_axis() } else { drawn.x_axis() };
    quiet(categories);
    match category.kind {
        CellType::Date => {
            categories.set_date_axis(true).set_num_format(axis_format(category.format));
        }
        CellType::Datetime => {
            categories.set_num_format(axis_format(category.format));
        }
        _ => {}
    }
    // Labels are below negative values, not across them.
    categories.set_label_position(ChartAxisLabelPosition::Low).set_major_gridlines(false);
    if chart.kind == ChartKind::Bar {
        // Excel draws bars from the bottom up. Reversing makes the first row of the table the top bar. The value axis, which follows
        // the first bar, is moved back to the bottom.
        categories.set_reverse().set_crossing(ChartAxisCrossing::Max);
    }
    let numbers = if chart.kind == ChartKind::Bar { drawn.x_axis() } else { drawn.y_axis() };
    quiet(numbers);
    numbers.set_num_format(axis_format(values)).set_major_gridlines(true);
    numbers.set_major_gridlines_line(ChartLine::new().set_color(LINE));
}
