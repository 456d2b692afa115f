//! Values as Excel stores them: as a number if Excel can represent it, else as text.

use std::borrow::Cow;

use jiff::civil::DateTime;
use tidemark_pipeline::CellFormat;

use crate::targets::cell::{Cell, EPOCH, is_exact_integer};

/// Maximum number of UTF-16 code units in a cell.
const MAX_TEXT: usize = 32_767;

/// The number that Excel stores for a cell; `None` if the cell is written as text.
pub(super) fn number(cell: Cell) -> Option<f64> {
    match cell {
        Cell::Integer(value) => is_exact_integer(value).then_some(value as f64),
        Cell::Float(value) => value.is_finite().then_some(value),
        Cell::Decimal(value) => Some(value.to_f64()).filter(|value| value.abs() < 1e15),
        Cell::Date(date) => serial(date.into()),
        Cell::Datetime(moment) => serial(moment.at),
        Cell::Null | Cell::Bool(_) | Cell::Text(_) | Cell::Time(_) => None,
    }
}

/// The text of a cell that is written as text.
pub(super) fn text(cell: Cell) -> String {
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

/// Excel's serial number of a date: days since 1899-12-30. `None` before March 1900: Excel has no earlier years, and wrongly has a
/// 29 February in 1900.
fn serial(at: DateTime) -> Option<f64> {
    let since = at.duration_since(EPOCH.into());
    let days = since.as_millis() as f64 / 86_400_000.0 + 25_569.0;
    (days >= 61.0).then_some(days)
}

/// A text, cut to the length that a cell can hold.
pub(super) fn cut(text: &str) -> Cow<'_, str> {
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

/// Width of a cell as shown, in characters.
pub(super) fn shown_width(cell: Cell, shown: CellFormat) -> usize {
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
