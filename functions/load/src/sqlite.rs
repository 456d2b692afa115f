//! A dataset into a table of a SQLite database: what changed since the version the table has.

use std::collections::BTreeSet;
use std::error::Error;

use polars::prelude::{DataFrame, DataType, JoinArgs, JoinType, NamedFrom as _, Series, col};
use tidemark_flow::{Balance, Drafted, Drafting, Failure, Input, Kind, Output, Ports, Size, Step, Trigger};
use tidemark_lake::{DataFile, Diff, Lake, Outcome, Table};
use tidemark_pipeline::{ColumnName, Mode, Pipeline, Sqlite};
use tidemark_transform::bag;

use crate::database::Database;
use crate::target::sqlite::{Change, Load, Outcome as Loading, SqliteError, Store};

/// Step `load <target>` into SQLite.
pub struct LoadSqlite<'a> {
    pipeline: &'a Pipeline,
    target: &'a Sqlite,
}

pub struct Plan {
    database: Database,
    table: Table,
    loaded: Option<i64>,
    diff: Diff,
    /// All live files, by which a swap fills its partitions.
    files: Vec<DataFile>,
}

type Frames<'f> = Box<dyn Iterator<Item = Result<DataFrame, Failure>> + 'f>;

impl<'a> LoadSqlite<'a> {
    pub fn new(pipeline: &'a Pipeline, target: &'a Sqlite) -> LoadSqlite<'a> {
        LoadSqlite { pipeline, target }
    }

    fn change<'f>(
        &self,
        lake: &'f Lake,
        plan: &'f Plan,
        before: Option<&'f Table>,
    ) -> Result<Change<Frames<'f>>, Failure> {
        Ok(match self.target.to.mode {
            Mode::Upsert => Change::Upsert {
                gone: self.gone(lake, plan, before)?,
                rows: rows(lake, &plan.table, plan.diff.added.iter().collect()),
            },
            Mode::Swap if before.is_some_and(|before| is_partitioned_anew(before, &plan.table)) => {
                Change::Swap { rows: rows(lake, &plan.table, plan.files.iter().collect()), partitions: None }
            }
            Mode::Swap => {
                let touched = plan.diff.partitions();
                let within = plan.files.iter().filter(|file| touched.contains(&file.partition)).collect();
                Change::Swap {
                    rows: rows(lake, &plan.table, within),
                    partitions: partition_values(lake, plan, before)?,
                }
            }
            Mode::Append => Change::Append { rows: self.came(lake, plan, before)? },
        })
    }

    /// Keys that the table has and the dataset has no more. Keys of another type may be other values in the table, so then all that
    /// were loaded go, and come again.
    fn gone(&self, lake: &Lake, plan: &Plan, before: Option<&Table>) -> Result<DataFrame, Failure> {
        let keys: Vec<_> = self.target.to.key.iter().map(|key| col(key.as_str())).collect();
        let failed = |error| Failure::new(Kind::Bug, "the keys of a load cannot be compared").because(error);
        let types = self.key_types(&plan.table)?;
        let added = plan.table.scan(lake, &plan.diff.added)?.select(&keys);
        match before {
            None => added.limit(0).collect().map_err(failed),
            Some(before) => {
                let is_same = self.key_types(before)? == types;
                let removed = before.scan(lake, &plan.diff.removed)?.select(&keys);
                let gone = match is_same {
                    true => removed.join(added, &keys, &keys, JoinArgs::new(JoinType::Anti)),
                    false => removed,
                };
                let gone = gone.unique(None, polars::prelude::UniqueKeepStrategy::Any).collect().map_err(failed)?;
                bag::sort(&gone)
                    .map_err(|error| Failure::new(Kind::Bug, "the keys of a load cannot be sorted").because(error))
            }
        }
    }

    fn key_types<'t>(&self, table: &'t Table) -> Result<Vec<&'t DataType>, Failure> {
        let ty = |key: &ColumnName| {
            table.schema().get(key.as_str()).ok_or_else(|| {
                let (path, name) = (&self.target.path, &self.target.to.table);
                let message = format!(
                    "{path}: table {name} is loaded by {key}, and dataset {} has no such column at version {}",
                    table.dataset(),
                    table.version()
                );
                let hint =
                    format!("name a column it has as key; if that is new, drop table {name} to have it loaded anew");
                Failure::new(Kind::Definition, message).hint(hint)
            })
        };
        self.target.to.key.iter().map(ty).collect()
    }

    /// Rows that are in the dataset now and were not before, partition by partition.
    fn came<'f>(&self, lake: &'f Lake, plan: &'f Plan, before: Option<&'f Table>) -> Result<Frames<'f>, Failure> {
        let Some(before) = before else { return Ok(rows(lake, &plan.table, plan.diff.added.iter().collect())) };
        let now = &plan.table;
        let change = match before.misfit(now.schema(), &now.partition_by())? {
            Some(misfit) => Some(misfit.to_string()),
            None => {
                let new = now.schema().iter_names().find(|name| !before.schema().contains(name));
                new.map(|name| format!("column {name} new"))
            }
        };
        if let Some(change) = change {
            let (path, name) = (&self.target.path, &self.target.to.table);
            let message = format!(
                "{path}: table {name} has version {} of dataset {}, whose shape has changed since ({change}), so nobody can tell \
                 which rows it has already",
                before.version(),
                now.dataset()
            );
            let hint = format!("drop table {name} to have it loaded anew, or load into another one");
            return Err(Failure::new(Kind::Definition, message).hint(hint));
        }
        Ok(Box::new(plan.diff.partitions().into_iter().map(move |partition| {
            let within = |files: &[DataFile]| {
                files.iter().filter(|file| file.partition == partition).cloned().collect::<Vec<_>>()
            };
            let failed = |error: Box<dyn Error + Send + Sync>| {
                Failure::new(Kind::Bug, "the rows of a load cannot be compared").because(error)
            };
            let now = plan.table.read(lake, &within(&plan.diff.added))?;
            let then = before.read(lake, &within(&plan.diff.removed))?;
            let then = then.select(now.get_column_names_owned()).map_err(|error| failed(error.into()))?;
            let (came, _) = bag::subtract(&now, &then).map_err(|error| failed(error.into()))?;
            Ok(came)
        })))
    }
}

fn rows<'f>(lake: &'f Lake, table: &'f Table, files: Vec<&'f DataFile>) -> Frames<'f> {
    Box::new(files.into_iter().flat_map(move |file| -> Frames<'f> {
        match table.batches(lake, file) {
            Ok(batches) => Box::new(batches.map(|batch| batch.map_err(Failure::from))),
            Err(error) => Box::new(std::iter::once(Err(error.into()))),
        }
    }))
}

/// Whether the partitions of one version are no partitions of the other.
fn is_partitioned_anew(before: &Table, now: &Table) -> bool {
    let type_of = |table: &Table, column: &ColumnName| table.schema().get(column.as_str()).cloned();
    let by = now.partition_by();
    before.partition_by() != by || by.iter().any(|column| type_of(before, column) != type_of(now, column))
}

/// The values of the partitions that changed, as a column of the dataset; `None` where it is one partition.
fn partition_values(lake: &Lake, plan: &Plan, before: Option<&Table>) -> Result<Option<Series>, Failure> {
    let Some(column) = plan.table.partition_by().into_iter().next() else { return Ok(None) };
    let failed = |error| Failure::new(Kind::Bug, "the partitions of a load cannot be told").because(error);
    // one row of each partition is enough; a partition that has no rows any more has them in the version before
    let mut values: Option<Series> = None;
    let mut seen = BTreeSet::new();
    let mut take = |table: &Table, files: &[DataFile]| -> Result<(), Failure> {
        for file in files {
            if seen.insert(file.partition.clone()) {
                let one = match table.schema().get(column.as_str()) {
                    // an empty text lies where NULL does
                    Some(DataType::String) if file.partition.get(column.as_str()).is_none() => {
                        Series::new(column.as_str().into(), [None, Some("")])
                    }
                    _ => {
                        let row = table.scan(lake, std::slice::from_ref(file))?.select([col(column.as_str())]).limit(1);
                        let row = row.collect().map_err(failed)?;
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
    take(&plan.table, &plan.diff.added)?;
    if let Some(before) = before {
        take(before, &plan.diff.removed)?;
    }
    Ok(Some(values.unwrap_or_else(|| {
        let ty = plan.table.schema().get(column.as_str()).unwrap_or(&DataType::Null);
        Series::new_empty(column.as_str().into(), ty)
    })))
}

impl Step for LoadSqlite<'_> {
    type Plan = Plan;
    type Draft = (Plan, String);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn name(&self) -> String {
        format!("load {}", self.target.name)
    }

    fn plan(&self, ports: &Ports<'_>, trigger: &Trigger) -> Result<Option<Plan>, Failure> {
        let lake = ports.lake;
        let Some(table) = lake.table(&self.target.to.dataset)? else { return Ok(None) };
        let database = Database::open(ports, &self.target.path)?;
        let loaded = match Store::open_existing(database.path())? {
            Some(store) => store.loaded(&self.target.to.dataset, &self.target.to.table)?,
            None => None,
        };
        let diff = match loaded {
            Some(version) if version > table.version() => return Err(self.other_lake(version, table.version())),
            Some(version) if version == table.version() && !trigger.full => return Ok(None),
            loaded => table.since(lake, loaded)?,
        };
        if loaded.is_some() && diff.is_empty() {
            return Ok(None);
        }
        let files = table.files(lake)?;
        Ok(Some(Plan { database, table, loaded, diff, files }))
    }

    fn size(&self, plan: &Plan) -> Size {
        let added = &plan.diff.added;
        let (rows, bytes) = (added.iter().map(|file| file.rows).sum(), added.iter().map(|file| file.bytes).sum());
        Size { partitions: plan.diff.partitions().len() as u64, rows: Some(rows), bytes }
    }

    fn draft(
        &self,
        _: &Ports<'_>,
        plan: Plan,
        run_id: &str,
        _: Option<bytes::Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let drafted = Drafted {
            inputs: vec![Input {
                dataset: self.target.to.dataset.to_string(),
                from_version: plan.loaded,
                to_version: plan.table.version(),
            }],
            outputs: vec![Output::of(
                format!("{}:{}", self.target.path, self.target.to.table),
                plan.diff.partitions().len() as u64,
            )],
            bytes: tidemark_flow::Bytes { read: plan.diff.added.iter().map(|file| file.bytes).sum(), written: 0 },
            ..Drafted::default()
        };
        Ok(Drafting::Whole(drafted, (plan, run_id.to_owned())))
    }

    fn commit(
        &self,
        ports: &Ports<'_>,
        (plan, run_id): Self::Draft,
        drafted: &mut Drafted,
    ) -> Result<Outcome, Failure> {
        let before = plan.loaded.map(|version| ports.lake.table_at(&self.target.to.dataset, version)).transpose()?;
        let load = Load {
            dataset: &self.target.to.dataset,
            version: plan.table.version(),
            previous: plan.loaded,
            run_id: &run_id,
            schema: plan.table.schema(),
            change: self.change(ports.lake, &plan, before.as_ref())?,
        };
        let mut store = Store::open(plan.database.path())?;
        let loading = store.load::<_, Failure>(self.target, load)?;
        drop(store);
        match loading {
            Loading::Loaded(loaded) => {
                if !plan.database.put_back()? {
                    return Ok(Outcome::Lost(plan.table.version()));
                }
                drafted.rows = Balance {
                    rows_in: loaded.inserted + loaded.updated + loaded.unchanged,
                    written: loaded.inserted,
                    updated: loaded.updated,
                    unchanged: loaded.unchanged,
                    deleted: loaded.deleted,
                    ..Balance::default()
                };
                Ok(Outcome::Committed(plan.table.version()))
            }
            Loading::AlreadyLoaded => Ok(Outcome::Committed(plan.table.version())),
            Loading::Stale => Ok(Outcome::Lost(plan.table.version())),
        }
    }
}

impl LoadSqlite<'_> {
    fn other_lake(&self, loaded: i64, latest: i64) -> Failure {
        let message = format!(
            "{}: table {} has version {loaded} of dataset {}, and this lake has only {latest}",
            self.target.path, self.target.to.table, self.target.to.dataset
        );
        Failure::new(Kind::Refused, message).hint("it was loaded from another lake: load into another file or table")
    }
}

impl From<SqliteError> for Failure {
    fn from(error: SqliteError) -> Failure {
        let kind = match (error.is_transient(), error.is_data()) {
            (true, _) => Kind::Retry,
            (_, true) => Kind::Data,
            _ => Kind::Definition,
        };
        let failure = Failure::new(kind, error.to_string());
        match Error::source(&error) {
            Some(source) => failure.because(source.to_string()),
            None => failure,
        }
    }
}
