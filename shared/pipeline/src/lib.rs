//! What a pipeline is: definitions, names, schedule, dependency graph. Pure: no I/O, no clock, no AWS, no polars.

pub mod definition;
pub mod name;

pub use definition::*;
pub use name::{ColumnName, DatasetName, NameError, PipelineName};
