//! The quarantine of a clean dataset: one partition per object, replaced together with the object's rows.

use std::collections::BTreeSet;

use polars::prelude::DataFrame;
use tidemark_flow::{Failure, Kind, Ports};
use tidemark_lake::{CommitInfo, Draft, Meta, Outcome, Partition, Table, Writer};
use tidemark_pipeline::{ColumnName, DatasetName};
use tidemark_transform::Cleaner;

use crate::spread::Spread;

pub(crate) const OBJECT: &str = "_object";

/// Writes the quarantined rows of some objects, in place of those they had before. Committed before the clean rows are, so that no
/// clean row is ever seen without what was left out beside it; making it again gives the same.
pub(crate) struct Quarantine<'a> {
    pub ports: &'a Ports<'a>,
    pub dataset: &'a DatasetName,
    pub raw: &'a DatasetName,
    pub run_id: &'a str,
}

impl Quarantine<'_> {
    /// `objects`: those whose rows are replaced; `None` = all.
    pub(crate) fn commit(
        &self,
        base: Option<&Table>,
        mut rows: Spread<String>,
        objects: Option<&BTreeSet<String>>,
        consumed: i64,
        meta: Meta,
        balance: serde_json::Value,
    ) -> Result<Outcome, Failure> {
        let lake = self.ports.lake;
        let mut removes = base.map(|table| table.files(lake)).transpose()?.unwrap_or_default();
        if let Some(objects) = objects {
            removes.retain(|file| file.partition.get(OBJECT).is_some_and(|object| objects.contains(object)));
        }
        let names: Vec<String> = rows.cells().map(|(object, _)| object.clone()).collect();
        let schema = Cleaner::quarantine_schema();
        let mut adds = Vec::new();
        for object in names {
            let partition = Partition::new([(OBJECT, Some(object.as_str()))]);
            let mut writer = Writer::new(lake, self.dataset, &schema, partition);
            for frame in rows.take(&object).frames() {
                writer.write(&frame?)?;
            }
            adds.extend(writer.finish(false)?);
        }
        let draft = Draft {
            dataset: self.dataset.clone(),
            schema,
            partition_by: vec![object_column()?],
            adds,
            removes,
            consumed: vec![(self.raw.to_string(), consumed)],
            meta,
            info: CommitInfo { run_id: self.run_id.into(), step: "quarantine".into(), balance },
        };
        match base {
            // also where a run that died had got this far
            Some(table) if !draft.changes_rows() => Ok(Outcome::Committed(table.version())),
            base => Ok(draft.commit(lake, base)?),
        }
    }
}

fn object_column() -> Result<ColumnName, Failure> {
    OBJECT.parse().map_err(|error| Failure::new(Kind::Bug, "the quarantine's partition cannot be named").because(error))
}

/// Splits quarantined rows by object; they come object by object, so these are few pieces.
pub(crate) fn by_object(rows: &DataFrame) -> Result<Vec<(String, DataFrame)>, Failure> {
    let failed = |error| crate::polars_failure("quarantined rows cannot be spread", error);
    let parts = rows.partition_by_stable([OBJECT], true).map_err(failed)?;
    parts
        .into_iter()
        .map(|part| {
            let object = part.column(OBJECT).and_then(|column| Ok(column.str()?.get(0).unwrap_or_default().to_owned()));
            Ok((object.map_err(failed)?, part))
        })
        .collect()
}
