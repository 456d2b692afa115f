//! Loads the changes of a dataset, since the version that the table has, into a table of a PostgreSQL database.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use polars::prelude::Series;
use tidemark_flow::{
    Balance, Context, DraftSummary, Error, ErrorKind, Scope, Secrets, Step, TaskOutcome, TaskScope, Trigger,
};
use tidemark_lake::Outcome;
use tidemark_pipeline::postgres::Address;
use tidemark_pipeline::{Mode, Pipeline, Postgres, PostgresUrl, StepId};

use crate::change::Changed;
use crate::targets::delta::{Delta, Deltas};
use crate::targets::postgres::database::Database;
use crate::targets::postgres::error::{LoadFault, UnknownPassword};
use crate::targets::postgres::load::{Load, Outcome as Loading};
use crate::transaction::{KeptChange, Plan, Transaction, TransactionOutcome};

/// Pauses in milliseconds before each retry of a transient error. Together they last as long as a server needs to restart.
const PAUSES_MS: [u64; 6] = [200, 500, 1_000, 2_000, 4_000, 8_000];

/// Step `load <target>` into PostgreSQL.
pub struct LoadPostgres<'a> {
    pipeline: &'a Pipeline,
    target: &'a Postgres,
    secrets: &'a dyn Secrets,
    changed: KeptChange,
    /// The database with its secrets, which are fetched only once.
    database: OnceLock<Arc<Database<'a>>>,
}

impl<'a> LoadPostgres<'a> {
    pub fn new(pipeline: &'a Pipeline, target: &'a Postgres, secrets: &'a dyn Secrets) -> LoadPostgres<'a> {
        LoadPostgres { pipeline, target, secrets, changed: KeptChange::default(), database: OnceLock::new() }
    }

    /// Does not connect yet; only the secrets are fetched, and only once.
    pub(crate) fn database(&self) -> Result<Arc<Database<'a>>, Error> {
        if let Some(database) = self.database.get() {
            return Ok(database.clone());
        }
        let database = Arc::new(self.new_database()?);
        Ok(self.database.get_or_init(|| database).clone())
    }

    fn new_database(&self) -> Result<Database<'a>, Error> {
        let secret = |name| self.secrets.secret(name);
        let (text, is_secret) = match &self.target.url {
            PostgresUrl::Text(text) => (text.clone(), false),
            PostgresUrl::Secret(name) => (secret(name)?.expose().to_owned(), true),
        };
        let (address, in_url) = Address::parse(&text).map_err(|fault| {
            let message = format!(
                "target {}: the url{} is invalid",
                self.target.name,
                if is_secret { " in its secret" } else { "" }
            );
            Error::new(ErrorKind::Definition, message).hint(format!("give {}", fault.expected)).because(fault.found)
        })?;
        // a server may trust this host without a password, so a missing one is an error only if the server asks for it
        let password = match &self.target.password {
            Some(name) => secret(name).map(Some).map_err(|error| UnknownPassword {
                why: error.full_message() + &error.hint.map(|hint| format!("; {hint}")).unwrap_or_default(),
                kind: error.kind,
            }),
            None => Ok(in_url.map(tidemark_flow::Secret::new)),
        };
        Ok(Database { target: self.target, address, password })
    }

    /// Database and table, for messages: `db.example.com/shop:orders`.
    pub(crate) fn table(&self, database: &Database<'_>) -> String {
        let schema = self.target.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        format!("{}:{schema}{}", database.address, self.target.to.table)
    }

    /// Calls a function, and calls it again after transient errors, as long as there is time.
    fn with_retries<T>(
        &self,
        context: &Context<'_>,
        database: &Database<'_>,
        mut attempt: impl FnMut() -> Result<T, LoadFault>,
    ) -> Result<T, Error> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(fault) if fault.is_transient() && !context.is_late() => match pauses.next() {
                    Some(pause) => {
                        tracing::info!(target = self.target.name, fault = fault.to_string(), "trying again");
                        std::thread::sleep(Duration::from_millis(*pause));
                    }
                    None => return Err(fault.into_error(&self.place(database))),
                },
                Err(fault) => return Err(fault.into_error(&self.place(database))),
            }
        }
    }

    fn change<'f>(&'f self, context: &'f Context<'_>, changed: &'f Changed) -> Result<Deltas<'f>, Error> {
        let (lake, to) = (context.lake, &self.target.to);
        let frames = match to.mode {
            Mode::Upsert => return changed.deltas(lake, context.memory, to),
            Mode::Swap => changed.swapped(lake),
            Mode::Append => changed.new_rows(lake, context.memory, &format!("target {}", self.target.name), to)?,
        };
        Ok(Box::new(frames.map(|rows| Ok(Delta { upserts: rows?, deletes: None }))))
    }

    fn partitions(&self, context: &Context<'_>, changed: &Changed) -> Result<Option<Series>, Error> {
        match self.target.to.mode {
            Mode::Swap => changed.partition_values(context.lake),
            Mode::Upsert | Mode::Append => Ok(None),
        }
    }

    /// The database, for messages.
    pub(crate) fn place(&self, database: &Database<'_>) -> String {
        format!("target {} at {}", self.target.name, database.address)
    }
}

/// The note in a run record about rows that the database rejected.
fn refused(rows: u64) -> Option<String> {
    match rows {
        0 => None,
        1 => Some("1 row was rejected by the database: see table tidemark_refused".to_owned()),
        rows => Some(format!("{rows} rows were rejected by the database: see table tidemark_refused")),
    }
}

impl Step for LoadPostgres<'_> {
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

    fn observe(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        let to = &self.target.to;
        let Some(table) = context.lake.table(&to.dataset)? else { return Ok(None) };
        let database = self.database()?;
        let (loaded, how) = self.with_retries(context, &database, || {
            let session = database.connect()?;
            let state = database.load_state(&session, &to.dataset)?;
            let is_due = state.as_ref().is_none_or(|state| state.version != table.version() || trigger.full);
            let how = if is_due { database.path(&session)? } else { "" };
            Ok((state.map(|state| state.version), how))
        })?;
        // rows that are appended again would be duplicated
        let is_rebuild = trigger.full && to.mode != Mode::Append;
        let place = format!("{}: table {}", self.place(&database), to.table);
        let changed = Changed::since(context.lake, table, loaded, is_rebuild, &place)?.map(Arc::new);
        if let Some(changed) = &changed {
            self.changed.keep(changed);
        }
        Ok(changed.map(|changed| Plan { changed, is_rebuild, how: Some(how) }))
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
        let database = &self.database()?;
        let place = format!("{}: table {}", self.place(database), self.target.to.table);
        let Some(changed) = self.changed.get(context, &self.target.to.dataset, task, &place)? else {
            return Ok(TaskOutcome::Done(TransactionOutcome::AlreadyLoaded));
        };
        let changed = changed.as_ref();
        let partitions = self.partitions(context, changed)?;
        let change = || self.change(context, changed).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))));
        let load = Load {
            rows: changed.size().rows.unwrap_or_default(),
            dataset: &self.target.to.dataset,
            version: task.version,
            previous: task.loaded,
            is_rebuild: task.is_rebuild,
            run_id,
            schema: changed.table.schema(),
            change: &change,
            partitions: partitions.as_ref(),
            is_late: &|| context.is_late(),
        };
        let loading = self.with_retries(context, database, || database.load(&database.connect()?, &load))?;
        Ok(TaskOutcome::Done(match loading {
            Loading::Loaded(loaded) => {
                let rows = Balance {
                    rows_in: loaded.inserted + loaded.updated + loaded.unchanged + loaded.refused,
                    written: loaded.inserted,
                    updated: loaded.updated,
                    unchanged: loaded.unchanged,
                    quarantined: loaded.refused,
                    deleted: loaded.deleted,
                    ..Balance::default()
                };
                TransactionOutcome::Loaded { rows, notes: refused(loaded.refused).into_iter().collect() }
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
        let database = self.database()?;
        Ok(Some(plan.gather(self.table(&database), receipts)))
    }

    /// Nothing is left to do: the transaction has made the load visible.
    fn commit(&self, _: &Context<'_>, outcome: Outcome, _: &mut DraftSummary) -> Result<Outcome, Error> {
        Ok(outcome)
    }
}
