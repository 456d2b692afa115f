//! A dataset into a table of a SQLite database: what changed since the version the table has.

use std::error::Error;

use polars::prelude::{DataFrame, DataType, JoinArgs, JoinType, col};
use tidemark_flow::{Balance, Context, Drafted, Drafting, Failure, Kind, Output, Size, Step, Trigger};
use tidemark_lake::{Lake, Outcome, Table};
use tidemark_pipeline::{ColumnName, Mode, Pipeline, Sqlite};
use tidemark_transform::bag;

use crate::change::{Changed, Frames};
use crate::database::Database;
use crate::targets::sqlite::error::SqliteError;
use crate::targets::sqlite::store::{Change, Load, Outcome as Loading, Store};

/// Step `load <target>` into SQLite.
pub struct LoadSqlite<'a> {
    pipeline: &'a Pipeline,
    target: &'a Sqlite,
}

pub struct Plan {
    database: Database,
    changed: Changed,
}

impl<'a> LoadSqlite<'a> {
    pub fn new(pipeline: &'a Pipeline, target: &'a Sqlite) -> LoadSqlite<'a> {
        LoadSqlite { pipeline, target }
    }

    fn change<'f>(&'f self, context: &'f Context<'_>, changed: &'f Changed) -> Result<Change<Frames<'f>>, Failure> {
        let (lake, to) = (context.lake, &self.target.to);
        Ok(match to.mode {
            Mode::Upsert => Change::Upsert { gone: self.gone(lake, changed)?, rows: changed.added(lake) },
            Mode::Swap => Change::Swap { rows: changed.swapped(lake), partitions: changed.partition_values(lake)? },
            Mode::Append => Change::Append { rows: changed.new_rows(lake, context.memory, &self.target.path, to)? },
        })
    }

    /// Keys that the table has and the dataset has no more. Keys of another type may be other values in the table, so then all that
    /// were loaded go, and come again.
    fn gone(&self, lake: &Lake, changed: &Changed) -> Result<DataFrame, Failure> {
        let keys: Vec<_> = self.target.to.key.iter().map(|key| col(key.as_str())).collect();
        let failed = |error| Failure::new(Kind::Bug, "the keys of a load cannot be compared").because(error);
        let types = self.key_types(&changed.table)?;
        let added = changed.table.scan(lake, &changed.diff.added)?.select(&keys);
        match &changed.before {
            None => added.limit(0).collect().map_err(failed),
            Some(before) => {
                let is_same = self.key_types(before)? == types;
                let removed = before.scan(lake, &changed.diff.removed)?.select(&keys);
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

    fn plan(&self, context: &Context<'_>, _: &Trigger) -> Result<Option<Plan>, Failure> {
        let lake = context.lake;
        let Some(table) = lake.table(&self.target.to.dataset)? else { return Ok(None) };
        let database = Database::open(context, &self.target.path)?;
        let loaded = match Store::open_existing(database.path())? {
            Some(store) => store.loaded(&self.target.to.dataset, &self.target.to.table)?,
            None => None,
        };
        let place = format!("{}: table {}", self.target.path, self.target.to.table);
        let changed = Changed::since(lake, table, loaded, false, &place)?;
        Ok(changed.map(|changed| Plan { database, changed }))
    }

    fn partitions(&self, plan: &Plan) -> Vec<String> {
        plan.changed.partitions()
    }

    fn size(&self, plan: &Plan) -> Size {
        plan.changed.size()
    }

    fn draft(
        &self,
        _: &Context<'_>,
        plan: Plan,
        run_id: &str,
        _: Option<bytes::Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let Size { partitions, bytes, .. } = plan.changed.size();
        let drafted = Drafted {
            inputs: vec![plan.changed.input()],
            outputs: vec![Output::of(format!("{}:{}", self.target.path, self.target.to.table), partitions)],
            bytes: tidemark_flow::Bytes { read: bytes, written: 0 },
            ..Drafted::default()
        };
        Ok(Drafting::Whole(drafted, (plan, run_id.to_owned())))
    }

    fn commit(
        &self,
        context: &Context<'_>,
        (plan, run_id): Self::Draft,
        drafted: &mut Drafted,
    ) -> Result<Outcome, Failure> {
        let Plan { database, changed } = &plan;
        let version = changed.table.version();
        let load = Load {
            dataset: &self.target.to.dataset,
            version,
            previous: changed.loaded,
            run_id: &run_id,
            schema: changed.table.schema(),
            change: self.change(context, changed)?,
        };
        let mut store = Store::open(database.path())?;
        let loading = store.load::<_, Failure>(self.target, load)?;
        drop(store);
        match loading {
            Loading::Loaded(loaded) => {
                if !database.put_back()? {
                    return Ok(Outcome::Lost(version));
                }
                drafted.rows = Balance {
                    rows_in: loaded.inserted + loaded.updated + loaded.unchanged,
                    written: loaded.inserted,
                    updated: loaded.updated,
                    unchanged: loaded.unchanged,
                    deleted: loaded.deleted,
                    ..Balance::default()
                };
                Ok(Outcome::Committed(version))
            }
            Loading::AlreadyLoaded => Ok(Outcome::Committed(version)),
            Loading::Stale => Ok(Outcome::Lost(version)),
        }
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
