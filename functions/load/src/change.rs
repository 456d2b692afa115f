//! The changes of a dataset since the version that a table has, frame by frame: the input of a load.

use std::collections::BTreeSet;

use polars::prelude::{Column, DataFrame, DataType, NamedFrom as _, Series, col};
use tidemark_flow::{Error, ErrorKind, Input, Size};
use tidemark_lake::{DataFile, Diff, Lake, Table};
use tidemark_pipeline::{ColumnName, Destination};
use tidemark_transform::bag;
use tidemark_transform::merge::bucket;

use crate::targets::delta::{Delta, Deltas};
use crate::targets::row_text::named_key;

pub(crate) type Frames<'f> = Box<dyn Iterator<Item = Result<DataFrame, Error>> + 'f>;

/// The current version of a dataset, and the version that the table has.
pub(crate) struct Changed {
    pub(crate) table: Table,
    /// The version the table has.
    pub(crate) loaded: Option<i64>,
    pub(crate) before: Option<Table>,
    pub(crate) diff: Diff,
    /// All live files, from which a swap fills its partitions.
    pub(crate) files: Vec<DataFile>,
    /// Whether all rows are loaded, whatever version the table has.
    is_rebuild: bool,
}

/// Estimated bytes in memory per byte of Parquet.
const INFLATION: u64 = 8;
/// Number of copies of the rows in memory while two versions are compared: as read, encoded and selected.
const COPIES: u64 = 4;

impl Changed {
    /// The change since version `loaded`; `None` if the table is up to date. With `is_rebuild`, all rows are loaded again, and rows that
    /// were deleted since `loaded` are deleted.
    ///
    /// # Errors
    /// Kind `refused` if the table has a version that this lake has not reached yet. `place` names the table in the message.
    pub(crate) fn since(
        lake: &Lake,
        table: Table,
        loaded: Option<i64>,
        is_rebuild: bool,
        place: &str,
    ) -> Result<Option<Changed>, Error> {
        // another process that loaded meanwhile may have seen a later version
        let table = match loaded {
            Some(loaded) if loaded > table.version() => lake.existing(table.dataset())?,
            _ => table,
        };
        let (dataset, latest) = (table.dataset(), table.version());
        if let Some(loaded) = loaded.filter(|loaded| *loaded > latest) {
            let message = format!(
                "{place} contains version {loaded} of dataset {dataset}, but the latest version in this lake is {latest}"
            );
            let hint = "it was loaded from another lake: load into another table or database";
            return Err(Error::new(ErrorKind::Refused, message).hint(hint));
        }
        if loaded == Some(latest) && !is_rebuild {
            return Ok(None);
        }
        let files = table.files(lake)?;
        let before = loaded.map(|version| lake.table_at(dataset, version)).transpose()?;
        let mut diff = match &before {
            Some(before) => Diff::between(before.files(lake)?, &files),
            None => Diff { added: files.clone(), removed: Vec::new() },
        };
        if is_rebuild {
            diff.added.clone_from(&files);
        }
        if loaded.is_some() && diff.is_empty() {
            return Ok(None);
        }
        Ok(Some(Changed { table, loaded, before, diff, files, is_rebuild }))
    }

    /// Names of the partitions that differ.
    pub(crate) fn partitions(&self) -> Vec<String> {
        let partitions = self.diff.partitions();
        partitions.iter().filter(|partition| !partition.values().is_empty()).map(ToString::to_string).collect()
    }

    pub(crate) fn size(&self) -> Size {
        let added = &self.diff.added;
        let (rows, bytes) = (added.iter().map(|file| file.rows).sum(), added.iter().map(|file| file.bytes).sum());
        Size { partitions: self.diff.partitions().len() as u64, rows: Some(rows), bytes, how: None }
    }

    pub(crate) fn input(&self) -> Input {
        Input { dataset: self.table.dataset().to_string(), from_version: self.loaded, to_version: self.table.version() }
    }

    /// Rows of the added files, batch by batch.
    pub(crate) fn added<'f>(&'f self, lake: &'f Lake) -> Frames<'f> {
        rows(lake, &self.table, self.diff.added.clone())
    }

    /// The rows with which a swap replaces those of the table in [`Changed::partition_values`].
    pub(crate) fn swapped<'f>(&'f self, lake: &'f Lake) -> Frames<'f> {
        let touched = self.diff.partitions();
        let is_repartitioned = self.is_repartitioned();
        let files =
            self.files.iter().filter(|file| is_repartitioned || touched.contains(&file.partition)).cloned().collect();
        rows(lake, &self.table, files)
    }

    /// Whether the two versions are partitioned differently.
    fn is_repartitioned(&self) -> bool {
        let Some(before) = &self.before else { return false };
        let type_of = |table: &Table, column: &ColumnName| table.schema().get(column.as_str()).cloned();
        let by = self.table.partition_by();
        before.partition_by() != by || by.iter().any(|column| type_of(before, column) != type_of(&self.table, column))
    }

    /// The values of the partitions that changed, as a column of the dataset; `None` if all of the table changes.
    pub(crate) fn partition_values(&self, lake: &Lake) -> Result<Option<Series>, Error> {
        let by = self.table.partition_by().into_iter().next();
        let Some(column) = by.filter(|_| !self.is_repartitioned()) else { return Ok(None) };
        let failed = |error| Error::new(ErrorKind::Bug, "the partitions of a load cannot be determined").because(error);
        // one row of each partition is enough; a partition that has become empty has rows in the version before
        let mut values: Option<Series> = None;
        let mut seen = BTreeSet::new();
        let mut take = |table: &Table, files: &[DataFile]| -> Result<(), Error> {
            for file in files {
                if seen.insert(file.partition.clone()) {
                    let one = match table.schema().get(column.as_str()) {
                        // the empty text and NULL are in the same partition
                        Some(DataType::String) if file.partition.get(column.as_str()).is_none() => {
                            Series::new(column.as_str().into(), [None, Some("")])
                        }
                        _ => {
                            let row = table.scan(lake, std::slice::from_ref(file))?;
                            let row = row.select([col(column.as_str())]).limit(1).collect().map_err(failed)?;
                            row.column(column.as_str()).map_err(failed)?.as_materialized_series().clone()
                        }
                    };
                    match &mut values {
                        None => values = Some(one),
                        Some(values) => {
                            values.append(&one).map_err(failed)?;
                        }
                    }
                }
            }
            Ok(())
        };
        take(&self.table, &self.diff.added)?;
        if let Some(before) = &self.before {
            take(before, &self.diff.removed)?;
        }
        let empty = || {
            Series::new_empty(
                column.as_str().into(),
                &self.table.schema().get(column.as_str()).cloned().unwrap_or(DataType::Null),
            )
        };
        Ok(Some(values.unwrap_or_else(empty)))
    }

    /// Why rows of the two versions cannot be compared: columns or partitioning have changed. `None` if they can be.
    fn schema_mismatch(&self) -> Result<Option<String>, Error> {
        let Some(before) = &self.before else { return Ok(None) };
        let now = &self.table;
        Ok(match before.schema_mismatch(now.schema(), &now.partition_by())? {
            Some(mismatch) => Some(mismatch.to_string()),
            None => {
                let new = now.schema().iter_names().find(|name| !before.schema().contains(name));
                new.map(|name| format!("column {name} added"))
            }
        })
    }

    /// Rows that are in the current version and not in the version the table has.
    ///
    /// # Errors
    /// Kind `definition` if the schema of the dataset has changed since: it is then unknown which rows the table has.
    pub(crate) fn new_rows<'f>(
        &'f self,
        lake: &'f Lake,
        memory: u64,
        place: &str,
        to: &'f Destination,
    ) -> Result<Frames<'f>, Error> {
        let (Some(before), Some(change)) = (&self.before, self.schema_mismatch()?) else {
            return Ok(Box::new(self.deltas(lake, memory, to)?.map(|delta| Ok(delta?.upserts))));
        };
        let (name, dataset) = (&to.table, self.table.dataset());
        let message = format!(
            "{place}: table {name} contains version {} of dataset {dataset}, whose columns have changed since ({change}), so the \
             rows that it already contains cannot be identified",
            before.version(),
        );
        let hint = format!("drop table {name} so that it is loaded in full, or load into another one");
        Err(Error::new(ErrorKind::Definition, message).hint(hint))
    }

    /// Upserts and deletes, partition by partition. A partition that existed before yields only the rows that differ; it is read in as many
    /// passes as it takes for its rows to fit in `memory` bytes.
    pub(crate) fn deltas<'f>(&'f self, lake: &'f Lake, memory: u64, to: &'f Destination) -> Result<Deltas<'f>, Error> {
        let Some(before) = &self.before else {
            return Ok(Box::new(self.added(lake).map(|rows| Ok(Delta { upserts: rows?, deletes: None }))));
        };
        if self.is_rebuild || self.schema_mismatch()?.is_some() {
            let upserts = self.added(lake).map(|rows| Ok(Delta { upserts: rows?, deletes: None }));
            let deleted = rows(lake, before, self.diff.removed.clone());
            let none = DataFrame::empty_with_schema(self.table.schema());
            let deletes =
                deleted.map(move |rows| Ok(Delta { upserts: none.clone(), deletes: Some(self.keys(&rows?, to)?) }));
            return Ok(Box::new(upserts.chain(deletes)));
        }
        Ok(Box::new(self.diff.partitions().into_iter().flat_map(move |partition| -> Deltas<'f> {
            let in_partition = |files: &[DataFile]| -> Vec<DataFile> {
                files.iter().filter(|file| file.partition == partition).cloned().collect()
            };
            let (added, removed) = (in_partition(&self.diff.added), in_partition(&self.diff.removed));
            if removed.is_empty() {
                return Box::new(
                    rows(lake, &self.table, added).map(|rows| Ok(Delta { upserts: rows?, deletes: None })),
                );
            }
            let bytes: u64 = added.iter().chain(&removed).map(|file| file.bytes).sum();
            let passes = (bytes * INFLATION * COPIES).div_ceil(memory.max(1)).max(1) as usize;
            Box::new((0..passes).map(move |pass| self.compare(lake, before, (&added, &removed), (pass, passes), to)))
        })))
    }

    /// The differences between two versions of one partition, for the rows of one pass: those whose hash falls into it.
    fn compare(
        &self,
        lake: &Lake,
        before: &Table,
        (added, removed): (&[DataFile], &[DataFile]),
        (pass, passes): (usize, usize),
        to: &Destination,
    ) -> Result<Delta, Error> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Bug, "the rows of a load cannot be compared").because(error)
        };
        // rows with the same key are in the same pass
        let columns: Vec<ColumnName> = match to.key.as_slice() {
            [] => self.table.schema().iter_names().filter_map(|name| name.parse().ok()).collect(),
            key => key.to_vec(),
        };
        let share = |table: &Table, files: &[DataFile]| -> Result<DataFrame, Error> {
            let mut all = DataFrame::empty_with_schema(self.table.schema());
            for rows in rows(lake, table, files.to_vec()) {
                let rows = rows?.select(all.get_column_names_owned()).map_err(|error| failed(error.into()))?;
                let rows = match passes {
                    1 => rows,
                    _ => bucket(&rows, &columns, passes).map_err(|error| failed(error.into()))?.swap_remove(pass),
                };
                all.vstack_mut(&rows).map_err(|error| failed(error.into()))?;
            }
            Ok(all)
        };
        let (now, then) = (share(&self.table, added)?, share(before, removed)?);
        self.is_unique(&now, to)?;
        let (upserts, deleted) = bag::difference(&now, &then).map_err(|error| failed(error.into()))?;
        Ok(Delta { upserts, deletes: Some(self.keys(&deleted, to)?) })
    }

    /// Checks that no two rows have the same key. Only differences are sent to the database, so it could not detect this.
    fn is_unique(&self, rows: &DataFrame, to: &Destination) -> Result<(), Error> {
        if to.key.is_empty() {
            return Ok(());
        }
        let failed = |error| Error::new(ErrorKind::Bug, "the keys of a load cannot be compared").because(error);
        let key = rows.select(to.key.iter().map(ColumnName::as_str)).map_err(failed)?;
        let twice = key.filter(&key.is_duplicated().map_err(failed)?).map_err(failed)?;
        if twice.height() == 0 {
            return Ok(());
        }
        let columns: Vec<String> = to.key.iter().map(ToString::to_string).collect();
        let key = named_key(&twice, 0, &columns).map_err(failed)?.unwrap_or_default();
        let message = format!("two rows of the dataset have the key {key} of table {}", to.table);
        Err(Error::new(ErrorKind::Data, message)
            .hint("nothing was loaded; choose a key that is unique in the dataset, or make it unique in a model"))
    }

    /// The keys of rows of an earlier version, cast to the current types; a value that cannot be cast becomes NULL.
    fn keys(&self, rows: &DataFrame, to: &Destination) -> Result<DataFrame, Error> {
        let failed = |error| Error::new(ErrorKind::Bug, "the keys of a load cannot be read").because(error);
        let key = |name: &ColumnName| -> Result<Column, Error> {
            let column = rows.column(name.as_str()).map_err(|_| {
                let message = format!(
                    "table {} has the key {name}, which dataset {} did not have at the version loaded last",
                    to.table,
                    self.table.dataset()
                );
                let hint = format!(
                    "choose another key; if the column is new, drop table {} so that it is loaded in full",
                    to.table
                );
                Error::new(ErrorKind::Definition, message).hint(hint)
            })?;
            match self.table.schema().get(name.as_str()) {
                Some(dtype) if dtype != column.dtype() => column.cast(dtype).map_err(failed),
                _ => Ok(column.clone()),
            }
        };
        let columns = to.key.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        DataFrame::new(rows.height(), columns).map_err(failed)
    }
}

/// The rows of these files, batch by batch.
pub(crate) fn rows<'f>(lake: &'f Lake, table: &'f Table, files: Vec<DataFile>) -> Frames<'f> {
    Box::new(files.into_iter().flat_map(move |file| -> Frames<'f> {
        match table.batches(lake, &file) {
            Ok(batches) => Box::new(batches.map(|batch| batch.map_err(Error::from))),
            Err(error) => Box::new(std::iter::once(Err(error.into()))),
        }
    }))
}
