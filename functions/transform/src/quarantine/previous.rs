//! Existing quarantined rows of objects that are cleaned again. A record that was broken and no longer is stays, with the
//! contract that healed it. Records whose object has been replaced or removed are dropped.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IntoColumn as _, PolarsResult, SchemaExt as _, StringChunked,
};
use tidemark_flow::Error;
use tidemark_lake::{DataFile, Lake, LakeError, Table};
use tidemark_pipeline::raw::{OBJECT, PAGE, ROW, VERSION};
use tidemark_transform::Cleaner;

use crate::errors::polars_error;

/// The existing quarantined rows of one object.
pub(crate) struct PreviousQuarantine<'a> {
    /// The quarantine.
    pub table: &'a Table,
    pub files: &'a [DataFile],
    /// Skip damaged files: losing healed records is better than a failing repair run.
    pub skips_damaged: bool,
}

/// Identities (page and row) of records of one object.
#[derive(Default)]
pub(crate) struct Identities(HashSet<(Option<i64>, Option<i64>)>);

/// The live files of a quarantine by object, for objects whose raw rows have not changed. `from`: the version of the raw
/// rows that the clean dataset has consumed. `objects`: the objects to consider; None means all.
pub(crate) fn previous_files(
    lake: &Lake,
    (quarantine, quarantined): (&Table, &[DataFile]),
    (raw, raw_files): (&Table, &[DataFile]),
    from: Option<i64>,
    objects: Option<&BTreeSet<String>>,
) -> Result<BTreeMap<String, Vec<DataFile>>, Error> {
    let mut files: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    let is_selected = |file: &&DataFile| {
        let object = file.partition.get(OBJECT);
        object.is_some_and(|object| objects.is_none_or(|objects| objects.contains(object)))
    };
    let selected: Vec<&DataFile> = quarantined.iter().filter(is_selected).collect();
    if selected.is_empty() {
        return Ok(files);
    }
    // after a run that died or exceeded its budget the quarantine is ahead of the clean rows; after one that left it unchanged, behind
    let Some(version) = quarantine.consumed(lake, raw.dataset().as_str())?.max(from) else { return Ok(files) };
    let before = match lake.table_at(raw.dataset(), version) {
        Ok(before) => versions(&before.files(lake)?),
        // the raw dataset has been rebuilt, so it is unknown which version of an object these rows came from
        Err(LakeError::NoSuchVersion { .. }) => return Ok(files),
        Err(error) => return Err(error.into()),
    };
    let now = versions(raw_files);
    for file in selected {
        let Some(object) = file.partition.get(OBJECT) else { continue };
        if now.contains_key(object) && now.get(object) == before.get(object) {
            files.entry(object.to_owned()).or_default().push(file.clone());
        }
    }
    Ok(files)
}

impl PreviousQuarantine<'_> {
    /// Passes the records of the object that are no longer broken to `give`. `healed_by`: the fingerprint of the contract, if the clean
    /// rows are published.
    pub(crate) fn healed(
        &self,
        lake: &Lake,
        broken: &Identities,
        healed_by: Option<&str>,
        give: &mut dyn FnMut(DataFrame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |error| polars_error("healed rows cannot be kept", error);
        for file in self.files {
            let batches = match self.table.batches(lake, file) {
                Err(LakeError::Corrupt { .. }) if self.skips_damaged => continue,
                batches => batches?,
            };
            for batch in batches {
                let rows = match batch {
                    Err(LakeError::Corrupt { .. }) if self.skips_damaged => break,
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
fn versions(files: &[DataFile]) -> BTreeMap<String, Option<String>> {
    let text = |file: &DataFile, column| file.partition.get(column).map(str::to_owned);
    files.iter().filter_map(|file| Some((text(file, OBJECT)?, text(file, VERSION)))).collect()
}

/// Brings rows to the current columns of a quarantine.
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
        let healed_by_column: StringChunked =
            kept.column("healed_by")?.str()?.iter().map(|before| Some(before.unwrap_or(contract))).collect();
        kept.with_column(healed_by_column.with_name("healed_by".into()).into_column())?;
    }
    Ok(kept)
}

fn identities(rows: &DataFrame) -> PolarsResult<impl Iterator<Item = (Option<i64>, Option<i64>)>> {
    let numbers = |name| rows.column(name).and_then(Column::i64);
    Ok(numbers(PAGE)?.iter().zip(numbers(ROW)?.iter()))
}

impl Identities {
    pub(crate) fn add(&mut self, rows: &DataFrame) -> Result<(), Error> {
        let failed = |error| polars_error("quarantined rows cannot be identified", error);
        self.0.extend(identities(rows).map_err(failed)?);
        Ok(())
    }
}
