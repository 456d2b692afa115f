//! What the quarantine had of objects that go through the contract again. A record that was broken and is not any more stays, with the
//! contract that healed it; one whose object has been replaced, or is gone, goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IntoColumn as _, PolarsResult, SchemaExt as _, StringChunked,
};
use tidemark_flow::Failure;
use tidemark_lake::{DataFile, Lake, LakeError, Table};
use tidemark_pipeline::raw::{OBJECT, PAGE, ROW, VERSION};
use tidemark_transform::Cleaner;

use crate::polars_failure;

/// The standing quarantine of the objects whose raw rows are the same as they were.
#[derive(Default)]
pub(crate) struct Former {
    table: Option<Table>,
    files: BTreeMap<String, Vec<DataFile>>,
    passes_over: bool,
}

/// Records of one object: page and row.
#[derive(Default)]
pub(crate) struct Identities(HashSet<(Option<i64>, Option<i64>)>);

impl Former {
    /// `from`: the version of the raw rows that the clean ones hold. `objects`: those that are looked at; `None` = all.
    pub(crate) fn of(
        lake: &Lake,
        quarantine: &Table,
        raw: &Table,
        from: Option<i64>,
        objects: Option<&BTreeSet<String>>,
    ) -> Result<Former, Failure> {
        let is_meant = |file: &DataFile| {
            let object = file.partition.get(OBJECT);
            object.is_some_and(|object| objects.is_none_or(|objects| objects.contains(object)))
        };
        let meant: Vec<DataFile> = quarantine.files(lake)?.into_iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Ok(Former::default());
        }
        // a run that died, or went over its budget, has left the quarantine ahead of the clean rows; one that changed nothing of it behind
        let Some(version) = quarantine.consumed(lake, raw.dataset().as_str())?.max(from) else {
            return Ok(Former::default());
        };
        let before = match lake.table_at(raw.dataset(), version) {
            Ok(before) => versions(lake, &before)?,
            // the raw dataset has been made anew, and which of its objects these rows came from nobody can say
            Err(LakeError::NoSuchVersion { .. }) => return Ok(Former::default()),
            Err(error) => return Err(error.into()),
        };
        let now = versions(lake, raw)?;
        let mut files: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
        for file in meant {
            let Some(object) = file.partition.get(OBJECT) else { continue };
            if now.contains_key(object) && now.get(object) == before.get(object) {
                files.entry(object.to_owned()).or_default().push(file);
            }
        }
        Ok(Former { table: Some(quarantine.clone()), files, passes_over: false })
    }

    /// A damaged file is passed over: what healed is worth less than a run that mends everything.
    pub(crate) fn passing_over_damage(self) -> Former {
        Former { passes_over: true, ..self }
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, object: &str) -> bool {
        self.files.contains_key(object)
    }

    /// Gives out the records of an object that are not among the broken ones. `healed_by`: the contract, where what it lets through is
    /// published.
    pub(crate) fn healed(
        &self,
        lake: &Lake,
        object: &str,
        broken: &Identities,
        healed_by: Option<&str>,
        give: &mut dyn FnMut(DataFrame) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(table) = &self.table else { return Ok(()) };
        let failed = |error| polars_failure("healed rows cannot be kept", error);
        for file in self.files.get(object).into_iter().flatten() {
            let batches = match table.batches(lake, file) {
                Err(LakeError::Corrupt { .. }) if self.passes_over => continue,
                batches => batches?,
            };
            for batch in batches {
                let rows = match batch {
                    Err(LakeError::Corrupt { .. }) if self.passes_over => break,
                    rows => rows?,
                };
                let frame = healed(&complete(&rows).map_err(failed)?, broken, healed_by).map_err(failed)?;
                if frame.height() > 0 {
                    give(frame)?;
                }
            }
        }
        Ok(())
    }
}

/// Live objects and their versions.
fn versions(lake: &Lake, raw: &Table) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let text = |file: &DataFile, column| file.partition.get(column).map(str::to_owned);
    let files = raw.files(lake)?;
    Ok(files.iter().filter_map(|file| Some((text(file, OBJECT)?, text(file, VERSION)))).collect())
}

/// The rows with the columns that a quarantine has now.
fn complete(rows: &DataFrame) -> PolarsResult<DataFrame> {
    let schema = Cleaner::quarantine_schema();
    let columns = schema.iter_fields().map(|field| match rows.column(field.name()) {
        Ok(column) => column.clone(),
        Err(_) => Column::full_null(field.name().clone(), rows.height(), field.dtype()),
    });
    DataFrame::new(rows.height(), columns.collect())
}

fn healed(rows: &DataFrame, broken: &Identities, healed_by: Option<&str>) -> PolarsResult<DataFrame> {
    let keep: BooleanChunked = identities(rows)?.map(|identity| Some(!broken.0.contains(&identity))).collect();
    let mut kept = rows.filter(&keep)?;
    if let Some(contract) = healed_by {
        let marks: StringChunked =
            kept.column("healed_by")?.str()?.iter().map(|before| Some(before.unwrap_or(contract))).collect();
        kept.with_column(marks.with_name("healed_by".into()).into_column())?;
    }
    Ok(kept)
}

fn identities(rows: &DataFrame) -> PolarsResult<impl Iterator<Item = (Option<i64>, Option<i64>)>> {
    let numbers = |name| rows.column(name).and_then(Column::i64);
    Ok(numbers(PAGE)?.iter().zip(numbers(ROW)?.iter()))
}

impl Identities {
    pub(crate) fn add(&mut self, rows: &DataFrame) -> Result<(), Failure> {
        let failed = |error| polars_failure("quarantined rows cannot be told apart", error);
        self.0.extend(identities(rows).map_err(failed)?);
        Ok(())
    }
}
