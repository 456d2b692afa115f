//! Loads the changes of a dataset, since the version that the table has, into a table of a SQLite database.

use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::{DataFrame, DataType, JoinArgs, JoinType, col};
use tidemark_flow::{
    Balance, Context, DraftSummary, Error, ErrorKind, Folders, Scope, Step, TaskOutcome, TaskScope, Trigger,
};
use tidemark_lake::{Lake, Outcome, Table};
use tidemark_pipeline::{ColumnName, Mode, Pipeline, Sqlite, StepId};
use tidemark_transform::bag;

use crate::change::{Changed, Frames};
use crate::database::Database;
use crate::targets::sqlite::error::SqliteError;
use crate::targets::sqlite::store::{Change, Load, Outcome as Loading, Store};
use crate::transaction::{KeptChange, Plan, Transaction, TransactionOutcome};

/// Step `load <target>` into SQLite.
pub struct LoadSqlite<'a> {
    pipeline: &'a Pipeline,
    target: &'a Sqlite,
    folders: &'a dyn Folders,
    changed: KeptChange,
    /// The database, opened by planning and used by the task.
    database: Mutex<Option<Database>>,
}

impl<'a> LoadSqlite<'a> {
    pub fn new(pipeline: &'a Pipeline, target: &'a Sqlite, folders: &'a dyn Folders) -> LoadSqlite<'a> {
        LoadSqlite { pipeline, target, folders, changed: KeptChange::default(), database: Mutex::default() }
    }

    /// Database and table, for messages.
    fn place(&self) -> String {
        format!("{}: table {}", self.target.path, self.target.to.table)
    }

    fn change<'f>(&'f self, context: &'f Context<'_>, changed: &'f Changed) -> Result<Change<Frames<'f>>, Error> {
        let (lake, to) = (context.lake, &self.target.to);
        Ok(match to.mode {
            Mode::Upsert => {
                Change::Upsert { deleted_keys: self.deleted_keys(lake, changed)?, rows: changed.added(lake) }
            }
            Mode::Swap => Change::Swap { rows: changed.swapped(lake), partitions: changed.partition_values(lake)? },
            Mode::Append => Change::Append { rows: changed.new_rows(lake, context.memory, &self.target.path, to)? },
        })
    }

    /// Keys of rows to delete: those that the table has and the dataset no longer has. If the types of the key have changed, the table may
    /// hold other values for the same keys, so all keys of the version before are deleted, and all rows are loaded again.
    fn deleted_keys(&self, lake: &Lake, changed: &Changed) -> Result<DataFrame, Error> {
        let keys: Vec<_> = self.target.to.key.iter().map(|key| col(key.as_str())).collect();
        let failed = |error| Error::new(ErrorKind::Bug, "the keys of a load cannot be compared").because(error);
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
                    .map_err(|error| Error::new(ErrorKind::Bug, "the keys of a load cannot be sorted").because(error))
            }
        }
    }

    fn key_types<'t>(&self, table: &'t Table) -> Result<Vec<&'t DataType>, Error> {
        let ty = |key: &ColumnName| {
            table.schema().get(key.as_str()).ok_or_else(|| {
                let (path, name) = (&self.target.path, &self.target.to.table);
                let message = format!(
                    "{path}: table {name} has the key {key}, which dataset {} does not have at version {}",
                    table.dataset(),
                    table.version()
                );
                let hint =
                    format!("choose another key; if the column is new, drop table {name} so that it is loaded in full");
                Error::new(ErrorKind::Definition, message).hint(hint)
            })
        };
        self.target.to.key.iter().map(ty).collect()
    }
}

impl Step for LoadSqlite<'_> {
    type Observed = Plan;
    type Plan = Plan;
    type Task = Transaction;
    type Receipt = TransactionOutcome;
    type Partial = ();
    type Session<'s>
        = String
    where
        Self: 's;
    type Draft = Outcome;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Load(self.target.name.clone())
    }

    fn observe(&self, context: &Context<'_>, _: &Trigger) -> Result<Option<Plan>, Error> {
        let lake = context.lake;
        let Some(table) = lake.table(&self.target.to.dataset)? else { return Ok(None) };
        let database = Database::open(context, self.folders, &self.target.path)?;
        let loaded = match Store::open_existing(database.path())? {
            Some(store) => store.loaded(&self.target.to.dataset, &self.target.to.table)?,
            None => None,
        };
        let changed = Changed::since(lake, table, loaded, false, &self.place())?.map(Arc::new);
        if let Some(changed) = &changed {
            self.changed.keep(changed);
            *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some(database);
        }
        Ok(changed.map(|changed| Plan { changed, is_rebuild: false, how: None }))
    }

    fn plan(&self, observed: Plan, _: &Trigger) -> Result<Option<Plan>, Error> {
        Ok(Some(observed))
    }

    fn scope(&self, plan: &Plan) -> Scope {
        plan.scope()
    }

    fn tasks(&self, plan: &Plan, receipts: &[TransactionOutcome]) -> Result<Vec<Transaction>, Error> {
        Ok(plan.tasks(receipts))
    }

    fn task_name(&self, _: &Transaction) -> String {
        "transaction".to_owned()
    }

    /// The session is the id of the run.
    fn session<'s>(&'s self, _: &Context<'s>, scope: &TaskScope) -> Result<String, Error> {
        Ok(scope.run_id.clone())
    }

    fn run(
        &self,
        context: &Context<'_>,
        run_id: &String,
        task: &Transaction,
        _: Option<()>,
    ) -> Result<TaskOutcome<TransactionOutcome, ()>, Error> {
        let dataset = &self.target.to.dataset;
        let kept = self.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        let database = match kept {
            Some(database) => database,
            None => Database::open(context, self.folders, &self.target.path)?,
        };
        let Some(changed) = self.changed.get(context, dataset, task, &self.place())? else {
            return Ok(TaskOutcome::Done(TransactionOutcome::AlreadyLoaded));
        };
        let load = Load {
            dataset,
            version: task.version,
            previous: task.loaded,
            run_id,
            schema: changed.table.schema(),
            change: self.change(context, &changed)?,
        };
        let mut store = Store::open(database.path())?;
        let loading = store.load::<_, Error>(self.target, load)?;
        drop(store);
        Ok(TaskOutcome::Done(match loading {
            Loading::Loaded(_) if !database.upload()? => TransactionOutcome::Stale,
            Loading::Loaded(loaded) => {
                let rows = Balance {
                    rows_in: loaded.inserted + loaded.updated + loaded.unchanged,
                    written: loaded.inserted,
                    updated: loaded.updated,
                    unchanged: loaded.unchanged,
                    deleted: loaded.deleted,
                    ..Balance::default()
                };
                TransactionOutcome::Loaded { rows, notes: Vec::new() }
            }
            Loading::AlreadyLoaded => TransactionOutcome::AlreadyLoaded,
            Loading::Stale => TransactionOutcome::Stale,
        }))
    }

    fn gather(
        &self,
        plan: Plan,
        receipts: Vec<TransactionOutcome>,
        _: &str,
    ) -> Result<Option<(DraftSummary, Outcome)>, Error> {
        Ok(Some(plan.gather(format!("{}:{}", self.target.path, self.target.to.table), receipts)))
    }

    /// Nothing is left to do: the transaction has made the load visible.
    fn commit(&self, _: &Context<'_>, outcome: Outcome, _: &mut DraftSummary) -> Result<Outcome, Error> {
        Ok(outcome)
    }
}

impl From<SqliteError> for Error {
    fn from(error: SqliteError) -> Error {
        let kind = match (error.is_transient(), error.is_data()) {
            (true, _) => ErrorKind::Retry,
            (_, true) => ErrorKind::Data,
            _ => ErrorKind::Definition,
        };
        let converted = Error::new(kind, error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => converted.because(source.to_string()),
            None => converted,
        }
    }
}
