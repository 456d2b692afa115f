//! Step `load`: a dataset into a database, datasets into a report. The target keeps, with the rows, which version it has; so a
//! duplicate load finds its version there and does nothing.

mod report;
mod sqlite;
pub mod target;

pub use report::LoadReport;
pub use sqlite::LoadSqlite;
