//! The appearance of a report: one accent colour, light lines, numbers aligned to the right.

use rust_xlsxwriter::{Color, Format, FormatAlign, FormatBorder};
use tidemark_pipeline::CellFormat;

pub(super) const ACCENT: Color = Color::RGB(0x1F4E79);
/// Colours of the series of a chart, in order.
pub(super) const SERIES: [Color; 4] = [ACCENT, Color::RGB(0x9DB8D2), Color::RGB(0x7F8C99), Color::RGB(0xC9D6E3)];
/// Colour of explanatory text: dates, notes, axes.
pub(super) const MUTED: Color = Color::RGB(0x5F6B76);
pub(super) const LINE: Color = Color::RGB(0xD9DFE5);
const HEADER: Color = Color::RGB(0xDCE6F0);
const TINT: Color = Color::RGB(0xF5F8FB);

/// Index of the header row of the table, from 0. The title, the date and an empty row are above it.
pub(super) const HEADER_ROW: u32 = 3;

/// The formats that every sheet shares.
pub(super) struct SheetFormats {
    pub(super) title: Format,
    pub(super) date: Format,
    pub(super) note: Format,
}

impl SheetFormats {
    pub(super) fn new() -> SheetFormats {
        SheetFormats {
            title: Format::new()
                .set_bold()
                .set_font_size(18)
                .set_font_color(ACCENT)
                .set_align(FormatAlign::VerticalCenter),
            date: Format::new().set_font_size(11).set_font_color(MUTED).set_align(FormatAlign::Top),
            note: Format::new().set_italic().set_font_color(MUTED),
        }
    }
}

/// The formats of one column.
pub(super) struct ColumnFormats {
    pub(super) header: Format,
    pub(super) plain: Format,
    /// Format for every other row.
    pub(super) tinted: Format,
}

impl ColumnFormats {
    /// The formats of the column at index `at`, counted from 0.
    pub(super) fn new(format: CellFormat, at: u16) -> ColumnFormats {
        let aligned = match (is_right_aligned(format), at) {
            (true, _) => Format::new().set_align(FormatAlign::Right),
            (false, 0) => Format::new().set_align(FormatAlign::Left),
            // Keeps a distance from a number in the column before.
            (false, _) => Format::new().set_align(FormatAlign::Left).set_indent(1),
        };
        let header = aligned
            .clone()
            .set_bold()
            .set_font_color(ACCENT)
            .set_background_color(HEADER)
            .set_border_bottom(FormatBorder::Medium)
            .set_border_bottom_color(ACCENT)
            .set_align(FormatAlign::VerticalCenter);
        let plain = aligned
            .set_num_format(num_format(format))
            .set_border_bottom(FormatBorder::Hair)
            .set_border_bottom_color(LINE);
        ColumnFormats { header, tinted: plain.clone().set_background_color(TINT), plain }
    }
}

/// Whether a column is aligned to the right: numbers are, texts and dates are not.
fn is_right_aligned(format: CellFormat) -> bool {
    match format {
        CellFormat::Integer | CellFormat::Decimal | CellFormat::Number | CellFormat::Money | CellFormat::Percent => {
            true
        }
        CellFormat::Text | CellFormat::Date | CellFormat::Datetime => false,
    }
}

fn num_format(format: CellFormat) -> &'static str {
    match format {
        // The text format of Excel, so that editing a cell does not turn it into a formula.
        CellFormat::Text => "@",
        CellFormat::Integer => "#,##0",
        CellFormat::Decimal | CellFormat::Number => "#,##0.00",
        CellFormat::Money => "#,##0.00;[Red]-#,##0.00",
        CellFormat::Percent => "0.0%;[Red]-0.0%",
        CellFormat::Date => "yyyy-mm-dd",
        CellFormat::Datetime => "yyyy-mm-dd hh:mm",
    }
}

/// The number format of a chart's axis, without needless decimals.
pub(super) fn axis_format(format: CellFormat) -> &'static str {
    match format {
        CellFormat::Percent => "0%",
        CellFormat::Date => "d mmm",
        CellFormat::Datetime => "d mmm hh:mm",
        CellFormat::Text => "General",
        CellFormat::Integer | CellFormat::Decimal | CellFormat::Number | CellFormat::Money => "#,##0",
    }
}
