//! What the quarantine had of objects that go through the contract again. A record that was broken and is not any more stays, with the
//! contract that healed it; one whose object has been replaced, or is gone, goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IntoColumn as _, PolarsResult, SchemaExt as _, StringChunked,
};
use tidemark_flow::Error;
use tidemark_lake::{DataFile, Lake, LakeError, Table};
use tidemark_pipeline::raw::{OBJECT, PAGE, ROW, VERSION};
use tidemark_transform::Cleaner;

use crate::failures::polars_failure;

/// The quarantined rows of one object, as they stand.
pub(crate) struct PreviousQuarantine<'a> {
    /// The quarantine.
    pub table: &'a Table,
    pub files: &'a [DataFile],
    /// A damaged file is passed over: what healed is worth less than a run that mends everything.
    pub passes_over: bool,
}

/// Records of one object: page and row.
#[derive(Default)]
pub(crate) struct Identities(HashSet<(Option<i64>, Option<i64>)>);

/// The live files of a quarantine by object, of those objects whose raw rows are the same as they were. `from`: the version of the raw
/// rows that the clean ones hold. `objects`: those that are looked at; `None` = all.
pub(crate) fn former(
    lake: &Lake,
    (quarantine, quarantined): (&Table, &[DataFile]),
    (raw, raw_files): (&Table, &[DataFile]),
    from: Option<i64>,
    objects: Option<&BTreeSet<String>>,
) -> Result<BTreeMap<String, Vec<DataFile>>, Error> {
    let mut files: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    let is_meant = |file: &&DataFile| {
        let object = file.partition.get(OBJECT);
        object.is_some_and(|object| objects.is_none_or(|objects| objects.contains(object)))
    };
    let meant: Vec<&DataFile> = quarantined.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Ok(files);
    }
    // a run that died, or went over its budget, has left the quarantine ahead of the clean rows; one that changed nothing of it behind
    let Some(version) = quarantine.consumed(lake, raw.dataset().as_str())?.max(from) else { return Ok(files) };
    let before = match lake.table_at(raw.dataset(), version) {
        Ok(before) => versions(&before.files(lake)?),
        // the raw dataset has been rebuilt, and which of its objects these rows came from nobody can say
        Err(LakeError::NoSuchVersion { .. }) => return Ok(files),
        Err(error) => return Err(error.into()),
    };
    let now = versions(raw_files);
    for file in meant {
        let Some(object) = file.partition.get(OBJECT) else { continue };
        if now.contains_key(object) && now.get(object) == before.get(object) {
            files.entry(object.to_owned()).or_default().push(file.clone());
        }
    }
    Ok(files)
}

impl PreviousQuarantine<'_> {
    /// Gives out the records of the object that are not among the broken ones. `healed_by`: the contract, where what it lets through is
    /// published.
    pub(crate) fn healed(
        &self,
        lake: &Lake,
        broken: &Identities,
        healed_by: Option<&str>,
        give: &mut dyn FnMut(DataFrame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |error| polars_failure("healed rows cannot be kept", error);
        for file in self.files {
            let batches = match self.table.batches(lake, file) {
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
fn versions(files: &[DataFile]) -> BTreeMap<String, Option<String>> {
    let text = |file: &DataFile, column| file.partition.get(column).map(str::to_owned);
    files.iter().filter_map(|file| Some((text(file, OBJECT)?, text(file, VERSION)))).collect()
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
    pub(crate) fn add(&mut self, rows: &DataFrame) -> Result<(), Error> {
        let failed = |error| polars_failure("quarantined rows cannot be told apart", error);
        self.0.extend(identities(rows).map_err(failed)?);
        Ok(())
    }
}
