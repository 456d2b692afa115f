//! Reasons why a report cannot be built. None is transient.

use polars::prelude::{DataType, PolarsError};
use rust_xlsxwriter::XlsxError;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("a report's `file` must be the stem of a file name, without folders: {found:?}")]
    FileName { found: String },
    #[error("sheet {sheet:?} cannot have this title in Excel: {why}")]
    SheetTitle { sheet: String, why: &'static str },
    #[error("two sheets have the title {sheet:?}; titles must differ not only in case")]
    SheetTwice { sheet: String },
    #[error("a chart on sheet {sheet:?} draws from sheet {source_sheet:?}, which the report does not have")]
    ChartSheet { sheet: String, source_sheet: String },
    #[error("a chart on sheet {sheet:?} draws column {column:?}, which sheet {source_sheet:?} does not have")]
    ChartColumn { sheet: String, source_sheet: String, column: String },
    #[error("a chart on sheet {sheet:?} draws column {column:?}, which holds no numbers ({dtype})")]
    ChartValues { sheet: String, column: String, dtype: DataType },
    #[error(
        "column {column:?} of sheet {sheet:?} is of a type a report cannot show ({dtype}); leave it out or cast it in the sheet's SQL"
    )]
    Type { sheet: String, column: String, dtype: DataType },
    #[error(
        "row {row} of sheet {sheet:?} has a date beyond the years -9999 to 9999 in column {column:?}; set a `min` and `max` in the contract"
    )]
    Date { sheet: String, column: String, row: usize },
    #[error("sheet {sheet:?} has {found} {what}, but Excel allows {max}; return fewer in the sheet's SQL")]
    TooLarge { sheet: String, what: &'static str, found: usize, max: usize },
    #[error("the rows of a sheet cannot be read")]
    Frame(#[from] PolarsError),
    #[error("the workbook cannot be written")]
    Workbook(#[from] XlsxError),
    #[error("the CSV cannot be written")]
    Csv(#[from] csv::Error),
}
