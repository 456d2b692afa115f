//! The table of a sheet, and its columns with their formats.

use std::borrow::Cow;

use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, Series};
use tidemark_pipeline::{CellFormat, Sheet};

use super::error::ReportError;
use super::excel::shown_width;
use crate::targets::cell::{Cell, CellType};

/// Minimum width of a column, in characters.
const MIN_WIDTH: usize = 9;
const MAX_WIDTH: usize = 50;
/// Number of rows that are measured to find the width of a column.
const MEASURED: usize = 1_000;

/// The table of one sheet, computed and sorted.
#[derive(Debug, Clone)]
pub struct Table {
    pub sheet: Sheet,
    pub rows: DataFrame,
}

/// A column of a table, with its label and format.
pub(super) struct Column<'a> {
    sheet: &'a str,
    pub(super) name: &'a str,
    series: Series,
    pub(super) kind: CellType,
    pub(super) format: CellFormat,
    pub(super) label: Cow<'a, str>,
}

impl<'a> Column<'a> {
    fn new(sheet: &'a Sheet, column: &'a PolarsColumn) -> Result<Column<'a>, ReportError> {
        let name = column.name().as_str();
        let Some(kind) = CellType::from_dtype(column.dtype()) else {
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
        Cell::from_value(self.series.get(row)?).ok_or_else(|| ReportError::Date {
            sheet: self.sheet.into(),
            column: self.name.into(),
            row: row + 1,
        })
    }

    pub(super) fn dtype(&self) -> &DataType {
        self.series.dtype()
    }

    /// Width of the widest cell, in characters.
    pub(super) fn width(&self) -> Result<usize, ReportError> {
        let mut widest = self.label.chars().count();
        for row in 0..self.series.len().min(MEASURED) {
            widest = widest.max(shown_width(self.cell(row)?, self.format));
        }
        Ok((widest + 3).clamp(MIN_WIDTH, MAX_WIDTH))
    }
}

pub(super) fn columns(table: &Table) -> Result<Vec<Column<'_>>, ReportError> {
    table.rows.columns().iter().map(|column| Column::new(&table.sheet, column)).collect()
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
