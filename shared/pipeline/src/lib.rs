//! Pipeline definitions, names, schedules and the dependency graph. Pure: no I/O, no clock, no AWS, no polars.

pub mod definition;
pub mod diagnostic;
mod file;
pub mod fingerprint;
pub mod graph;
pub mod http;
pub mod name;
mod params;
pub mod partitioning;
pub mod postgres;
pub mod raw;
pub mod read;
pub mod schedule;
mod sql;
mod step;

pub use definition::*;
pub use diagnostic::{Diagnostic, Place};
pub use file::{MAX_FILE_BYTES, SourceFile};
pub use graph::{Graph, UnknownPipeline};
pub use http::Http;
pub use name::{ColumnName, DatasetName, NameError, PipelineName, SecretName};
pub use params::Parameter;
pub use partitioning::{Granularity, PartitionPeriod, Partitioning};
pub use read::{Definition, Secrets, alerts_of, parameters, read};
pub use schedule::expression::Expression;
pub use schedule::{Cron, CronError, Rate, RateError, day_before};
pub use step::{NoStep, StepId};
