//! `[[target]]` with `kind = "report"`: sheets, their formats and charts.

use serde::Serialize;

use super::sql::Sql;
use crate::name::{ColumnName, DatasetName};

/// A dated workbook and one CSV per sheet for the day before the scheduled time: `<folder>/<file>-<day>.xlsx`,
/// `<folder>/<file>-<day>-<sheet>.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub name: String,
    pub folder: String,
    /// Stem of the file names; the pipeline's name by default.
    pub file: String,
    pub title: String,
    /// Time zone whose day is meant; the schedule's by default.
    pub timezone: String,
    pub sheets: Vec<Sheet>,
    /// Datasets all its SQL names, in order of first use.
    pub inputs: Vec<DatasetName>,
}

/// One sheet: a table made by SQL, in which `:day` stands for the report's day as a date.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sheet {
    pub title: String,
    pub sql: Sql,
    /// How columns are shown; text as it is, integers `#,##0`, decimals and floats `#,##0.00`, dates `yyyy-mm-dd` by default.
    pub formats: Vec<(ColumnName, CellFormat)>,
    /// Headers to show instead of the column names (default: `average_order` → `Average order`).
    pub labels: Vec<(ColumnName, String)>,
    pub charts: Vec<Chart>,
    /// Shown in place of the table when it has no rows.
    pub when_empty: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CellFormat {
    Text,
    Integer,
    Decimal,
    /// Whole numbers without decimals, others with two.
    Number,
    /// Two decimals, negative in red.
    Money,
    /// 0.125 is shown as 12.5 %.
    Percent,
    Date,
    Datetime,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    pub kind: ChartKind,
    pub title: String,
    /// The sheet whose table is drawn; the chart's own by default.
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
