//! Target `report`: writes tables into a dated workbook and one CSV per sheet. The same tables give the same bytes: nothing here reads a
//! clock, and the workbook's creation date is the report's day.

mod chart;
mod csv;
pub mod error;
mod excel;
mod formats;
mod sheet;
pub mod table;
#[cfg(test)]
mod tests;
pub mod workbook;
