//! A column of the new contract, and a test whether it accepts the sampled values, which uses the contract code itself.

use polars::prelude::{Column, DataFrame, DataType, PlSmallStr, PolarsResult};
use tidemark_flow::{Error, ErrorKind};
use tidemark_pipeline::definition::{self, Contract, Type, Unknown};
use tidemark_pipeline::raw;
use tidemark_transform::{Cleaner, RawLayout};

/// The guessed type of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Guess {
    pub ty: Type,
    pub format: Option<String>,
    /// Texts that mean NULL, beside the empty one.
    pub nulls: Vec<String>,
    /// The evidence, as text.
    pub notes: Vec<String>,
}

impl Guess {
    pub(super) fn new(ty: Type) -> Guess {
        Guess { ty, format: None, nulls: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Guess {
        self.notes.push(note.into());
        self
    }
}

/// A column of the new contract.
pub(super) struct DraftColumn {
    pub name: String,
    pub from: String,
    pub guess: Guess,
}

/// Whether a column of this type and format accepts all of the texts.
pub(super) fn reads(ty: Type, format: Option<&str>, texts: &[&str]) -> Result<bool, Error> {
    let column = |from: &str| {
        let name =
            "value".parse().map_err(|error| Error::new(ErrorKind::Bug, "a column cannot be named").because(error))?;
        let formats = format.map(str::to_owned).into_iter().collect();
        Ok::<_, Error>(column_of(name, ty, Some(from.to_owned()), formats, Vec::new()))
    };
    let contract = contract_of(vec![column("value")?])?;
    let none = |name: &str| Column::full_null(name.into(), texts.len(), &DataType::String);
    let rows = || -> PolarsResult<DataFrame> {
        let numbers: Vec<i64> = (0..texts.len() as i64).collect();
        let object = Column::new(raw::OBJECT.into(), vec![""; texts.len()]);
        let value = Column::new(PlSmallStr::from_static("value"), texts);
        DataFrame::new(
            texts.len(),
            vec![value, none(raw::TEXT), none(raw::FAULT), object, Column::new(raw::ROW.into(), numbers)],
        )
    };
    let bug = |error| Error::new(ErrorKind::Bug, "texts make no column").because(error);
    let cleaner = match Cleaner::new(&contract, "") {
        Ok(cleaner) => cleaner,
        Err(error) => return Err(Error::new(ErrorKind::Bug, error.to_string())),
    };
    let cleaned = cleaner.clean(&rows().map_err(bug)?, RawLayout::Columns);
    let cleaned = cleaned.map_err(|error| Error::new(ErrorKind::Bug, error.to_string()))?;
    Ok(cleaned.quarantined.height() == 0)
}

/// A contract with columns and nothing else.
pub(super) fn contract_of(columns: Vec<definition::Column>) -> Result<Contract, Error> {
    let dataset =
        "sample".parse().map_err(|error| Error::new(ErrorKind::Bug, "a dataset cannot be named").because(error))?;
    Ok(Contract {
        dataset,
        columns,
        key: Vec::new(),
        latest_by: None,
        partition_by: None,
        filters: Vec::new(),
        checks: Vec::new(),
        max_quarantined: None,
        deletes_absent: false,
        unknown: Unknown::Keep,
        explodes: Vec::new(),
    })
}

pub(super) fn column_of(
    name: tidemark_pipeline::ColumnName,
    ty: Type,
    from: Option<String>,
    formats: Vec<String>,
    nulls: Vec<String>,
) -> definition::Column {
    let nulls = std::iter::once(String::new()).chain(nulls).collect();
    definition::Column {
        name,
        ty,
        from,
        required: false,
        min: None,
        max: None,
        one_of: Vec::new(),
        pattern: None,
        formats,
        timezone: None,
        trim: true,
        nulls,
    }
}
