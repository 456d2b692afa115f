//! The checked form of a pipeline file: plain data, created by the parser ([`crate::read()`]) only, so its users need not check it again.
//!
//! The comment of a field gives its TOML syntax where that differs from the name here. Unknown fields are refused. `${NAME}` in any string
//! is a parameter ([`crate::parameters`]); `[parameters]` may declare defaults: `REPORTS = { default = "out", about = "report folder" }`.
//! A target may depend on whether a parameter has a value (`only_with`, `only_without`). A disabled target is checked, but left out.

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

/// A pipeline file with the values of its parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pipeline {
    pub name: PipelineName,
    pub description: Option<String>,
    pub schedule: Option<Schedule>,
    /// Present if and only if there is a contract. A pipeline without them has only models and targets over datasets of other pipelines.
    pub source: Option<Source>,
    pub contract: Option<Contract>,
    /// Those of `[contract.explode]`, then those of `[[model]]`, in file order. [`crate::graph`] determines the order of execution.
    pub models: Vec<Model>,
    /// `[[target]]`, in file order.
    pub targets: Vec<Target>,
    pub alerts: Alerts,
}
