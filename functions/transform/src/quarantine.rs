//! The quarantine of a clean dataset: one partition per object, replaced together with the object's rows.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{DataFrame, DataType};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::{DataFile, Draft, Lake, Outcome, Partition, Table, Writer};
use tidemark_pipeline::raw::{OBJECT, PAGE, ROW};
use tidemark_pipeline::{ColumnName, DatasetName};
use tidemark_transform::Cleaner;

use crate::errors::polars_error;
use crate::spill::Spilled;

mod previous;

use previous::Identities;
pub(crate) use previous::{PreviousQuarantine, previous_files};

/// Writes the rows of one object: those broken now, followed by those healed. The files are not committed yet.
pub(crate) fn write(
    lake: &Lake,
    dataset: &DatasetName,
    object: &str,
    rows: &Spilled<'_>,
    previous: Option<&PreviousQuarantine<'_>>,
    healed_by: Option<&str>,
) -> Result<Vec<DataFile>, Error> {
    let partition = Partition::new([(OBJECT, Some(object))]);
    let mut writer = Writer::new(lake, dataset, &Cleaner::quarantine_schema(), partition);
    let mut broken = previous.map(|previous| (previous, Identities::default()));
    for frame in rows.frames() {
        let frame = frame?;
        if let Some((_, broken)) = &mut broken {
            broken.add(&frame)?;
        }
        writer.write(&frame)?;
    }
    if let Some((previous, broken)) = broken {
        previous.healed(lake, &broken, healed_by, &mut |frame| Ok(writer.write(&frame)?))?;
    }
    Ok(writer.finish(false)?)
}

/// Whether a quarantine has all current columns. One written by an earlier version of this program may lack some.
pub(crate) fn is_up_to_date(table: &Table) -> bool {
    Cleaner::quarantine_schema().iter_names().all(|name| table.schema().contains(name))
}

/// The quarantined rows of some objects, which replace their earlier ones. Committed before the clean rows, so that no
/// clean row is visible before the quarantined rows of its object. The commit is idempotent.
pub(crate) struct QuarantineDraft {
    pub base: Option<Table>,
    /// The live files of `base`.
    pub live: Vec<DataFile>,
    /// The objects whose rows are replaced. None means all.
    pub objects: Option<BTreeSet<String>>,
    /// The draft, its removals not yet filled in.
    pub draft: Draft,
}

impl QuarantineDraft {
    pub(crate) fn commit(self, lake: &Lake) -> Result<Outcome, Error> {
        let QuarantineDraft { base, live, objects, mut draft } = self;
        draft.removes = live;
        if let Some(objects) = objects {
            draft.removes.retain(|file| file.partition.get(OBJECT).is_some_and(|object| objects.contains(object)));
        }
        match base {
            // also if a run that died had already committed the quarantine
            Some(table) if !draft.changes_rows() && is_up_to_date(&table) => Ok(Outcome::Committed(table.version())),
            base => Ok(draft.commit(lake, base.as_ref())?),
        }
    }
}

/// The partition column of a quarantine.
pub(crate) fn partition_by() -> Result<Vec<ColumnName>, Error> {
    let column = OBJECT.parse();
    column
        .map(|column| vec![column])
        .map_err(|error| Error::new(ErrorKind::Bug, "the quarantine's partition cannot be named").because(error))
}

/// Splits quarantined rows by object; they are grouped by object already, so the parts are few.
pub(crate) fn by_object(rows: &DataFrame) -> Result<Vec<(String, DataFrame)>, Error> {
    let failed = |error| polars_error("quarantined rows cannot be spread", error);
    let parts = rows.partition_by_stable([OBJECT], true).map_err(failed)?;
    parts
        .into_iter()
        .map(|part| {
            let object = part.column(OBJECT).and_then(|column| Ok(column.str()?.get(0).unwrap_or_default().to_owned()));
            Ok((object.map_err(failed)?, part))
        })
        .collect()
}

/// Numbers of quarantined rows by column and rule, with the place of the first of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults(BTreeMap<String, BTreeMap<String, (u64, String)>>);

impl Faults {
    pub(crate) fn count(&mut self, quarantined: &DataFrame) -> Result<(), Error> {
        if quarantined.height() == 0 {
            return Ok(());
        }
        let failed = |error| polars_error("quarantined rows cannot be counted", error);
        let texts = |name: &str| quarantined.column(name).and_then(|column| column.cast(&DataType::String));
        let (columns, rules) = (texts("column").map_err(failed)?, texts("rule").map_err(failed)?);
        let (objects, rows) = (texts(OBJECT).map_err(failed)?, texts(ROW).map_err(failed)?);
        let pages = texts(PAGE).map_err(failed)?;
        let all = [&columns, &rules, &objects, &pages, &rows].map(|column| column.str());
        let [columns, rules, objects, pages, rows] = all;
        let (columns, rules) = (columns.map_err(failed)?, rules.map_err(failed)?);
        let (objects, pages, rows) = (objects.map_err(failed)?, pages.map_err(failed)?, rows.map_err(failed)?);
        for at in 0..quarantined.height() {
            let [column, rule] = [columns, rules].map(|texts| texts.get(at).unwrap_or_default().to_owned());
            let first = || {
                let page = pages.get(at).map(|page| format!("{page}:")).unwrap_or_default();
                format!("{}:{page}{}", objects.get(at).unwrap_or_default(), rows.get(at).unwrap_or_default())
            };
            self.0.entry(column).or_default().entry(rule).or_insert_with(|| (0, first())).0 += 1;
        }
        Ok(())
    }

    /// Adds the faults found by a later task.
    pub(crate) fn append(&mut self, more: &Faults) {
        for (column, rules) in &more.0 {
            let of_column = self.0.entry(column.clone()).or_default();
            for (rule, (rows, first)) in rules {
                of_column.entry(rule.clone()).or_insert_with(|| (0, first.clone())).0 += rows;
            }
        }
    }

    /// `20 × amount: type (first at sales.csv:17), …`, at most ten.
    pub(crate) fn summary(&self) -> String {
        let all =
            self.0.iter().flat_map(|(column, rules)| rules.iter().map(move |(rule, found)| (column, rule, found)));
        let faults = all.map(|(column, rule, (rows, first))| {
            let column = if column.is_empty() { String::new() } else { format!("{column}: ") };
            format!("{rows} × {column}{rule} (first at {first})")
        });
        faults.take(10).collect::<Vec<_>>().join(", ")
    }
}
