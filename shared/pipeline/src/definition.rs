//! A pipeline file, checked: what the TOML says once every mistake in it has been reported.
//!
//! Each field says how it is written where that differs from its name here. Unknown fields are refused, `${NAME}` in any
//! string is a parameter ([`crate::parameters`]), and `[parameters]` may give defaults:
//! `REPORTS = { default = "out", about = "where reports go" }`. A target may depend on one (`only_with`, `only_without`): one that
//! is absent is checked, and left out.
//!
//! Everything here is plain data. Only the parser (`read`) creates it, so that code with a [`Pipeline`] need not
//! check it again.

pub(crate) mod alerts;
pub(crate) mod budget;
pub(crate) mod column;
pub(crate) mod contract;
pub(crate) mod explode;
pub(crate) mod model;
pub(crate) mod report;
pub(crate) mod source;
pub(crate) mod sql;
pub(crate) mod target;

use serde::Serialize;

pub use crate::schedule::{CatchUp, Fires, Schedule};
pub use alerts::{Alerts, Email, IncidentKind, Quiet, Severity, Slack};
pub use budget::Budget;
pub use column::{Column, Type};
pub use contract::{Contract, Every, PartitionBy, Rule, Unknown};
pub use explode::{Children, Explode, POSITION};
pub use model::{Incremental, Model, ModelKind, Periods, When};
pub use report::{CellFormat, Chart, ChartKind, Report, Sheet};
pub use source::{Csv, Encoding, Files, Format, Header, Source};
pub use sql::Sql;
pub use target::{Destination, Mode, Postgres, PostgresType, PostgresUrl, Sqlite, Target};

use crate::name::PipelineName;

/// One pipeline file with its parameters filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pipeline {
    pub name: PipelineName,
    pub description: Option<String>,
    pub schedule: Option<Schedule>,
    /// Where the raw rows come from; there is a contract if and only if there is a source. Without them the pipeline only
    /// has models and targets over other pipelines' datasets.
    pub source: Option<Source>,
    pub contract: Option<Contract>,
    /// One for each `[contract.explode]`, then `[[model]]`, in the order of the file; [`crate::graph`] gives the order of computing.
    pub models: Vec<Model>,
    /// `[[target]]`, in the order of the file.
    pub targets: Vec<Target>,
    pub alerts: Alerts,
}
