//! Steps `clean` and `model`: raw rows through the contract into a clean dataset, and SQL over datasets into models. The work on rows
//! is in `tidemark-transform`; here is what of it is due, what fits in memory, and where it goes.

mod calendar;
mod clean;
mod merging;
mod model;
mod narrow;
mod pass;
mod quarantine;
mod spread;

pub use clean::Clean;
pub use model::Model;

use tidemark_flow::{Failure, Kind};
use tidemark_transform::{ContractError, FrameError, SqlError};

/// A contract that cannot be applied: the definition and the data do not fit.
fn contract_failure(error: ContractError) -> Failure {
    Failure::new(Kind::Definition, error.to_string()).hint("mend [contract] in the pipeline file")
}

fn frame_failure(error: FrameError) -> Failure {
    Failure::new(Kind::Bug, "rows cannot be merged").because(error)
}

fn sql_failure(what: &str, error: SqlError) -> Failure {
    Failure::new(Kind::Definition, format!("{what}: {error}")).hint("mend the SQL")
}

fn polars_failure(what: impl Into<String>, error: polars::error::PolarsError) -> Failure {
    Failure::new(Kind::Bug, what).because(error)
}
