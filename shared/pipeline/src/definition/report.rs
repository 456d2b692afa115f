//! `[[target]]` with `kind = "report"`: sheets, cell formats and charts.

use serde::Serialize;

use super::sql::Sql;
use crate::name::{ColumnName, DatasetName};

/// A workbook `<folder>/<file>-<day>.xlsx`, and a CSV file `<folder>/<file>-<day>-<sheet>.csv` per sheet. The day is the one before the
/// scheduled time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub name: String,
    pub folder: String,
    /// Stem of the file names; by default the pipeline's name.
    pub file: String,
    pub title: String,
    /// IANA time zone of the report's day; by default that of the schedule.
    pub timezone: String,
    pub sheets: Vec<Sheet>,
    /// The datasets that its SQL reads, in order of first use.
    pub inputs: Vec<DatasetName>,
}

/// A sheet with the result of a query. `:day` in the query is the report's day as a date.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sheet {
    pub title: String,
    pub sql: Sql,
    /// Cell formats. By default text is unformatted, integers `#,##0`, decimals and floats `#,##0.00`, dates `yyyy-mm-dd`.
    pub formats: Vec<(ColumnName, CellFormat)>,
    /// Column headers. By default derived from the name: `average_order` → `Average order`.
    pub labels: Vec<(ColumnName, String)>,
    pub charts: Vec<Chart>,
    /// Text in place of an empty table.
    pub when_empty: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CellFormat {
    Text,
    Integer,
    Decimal,
    /// Two decimals, none for whole numbers.
    Number,
    /// Two decimals, negative in red.
    Money,
    /// 0.125 as 12.5 %.
    Percent,
    Date,
    Datetime,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    pub kind: ChartKind,
    pub title: String,
    /// The sheet with the data; by default the sheet of the chart.
    pub sheet: String,
    pub category: ColumnName,
    pub values: Vec<ColumnName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartKind {
    Column,
    Bar,
    Line,
}
