//! One column of a contract, compiled.

use tidemark_pipeline::definition;

use super::cast::Cast;
use super::rules::Rules;
use crate::error::ContractError;

/// One column of the contract.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) from: String,
    pub(super) cast: Cast,
    pub(super) rules: Rules,
}

impl Plan {
    pub(super) fn new(column: &definition::Column) -> Result<Plan, ContractError> {
        let cast = Cast::new(column)?;
        let rules = Rules::new(column, &cast)?;
        let name = column.name.to_string();
        Ok(Plan { from: column.from.clone().unwrap_or_else(|| name.clone()), name, cast, rules })
    }
}
