//! A dataset into a table of a PostgreSQL database: what changed since the version the table has.

use std::time::Duration;

use polars::prelude::Series;
use tidemark_flow::{Balance, Context, Drafted, Drafting, Failure, Kind, Output, Size, Step, Trigger};
use tidemark_lake::Outcome;
use tidemark_pipeline::postgres::Address;
use tidemark_pipeline::{Mode, Pipeline, Postgres, PostgresUrl};

use crate::change::Changed;
use crate::targets::delta::{Delta, Deltas};
use crate::targets::postgres::database::Database;
use crate::targets::postgres::error::{LoadFault, UnknownPassword};
use crate::targets::postgres::load::{Load, Outcome as Loading};

/// So often what may pass is tried again, with a longer pause each time: together as long as a server needs to start again.
const PAUSES_MS: [u64; 6] = [200, 500, 1_000, 2_000, 4_000, 8_000];

/// Step `load <target>` into PostgreSQL.
pub struct LoadPostgres<'a> {
    pipeline: &'a Pipeline,
    target: &'a Postgres,
}

pub struct Plan<'a> {
    /// With its secrets, which are asked for once.
    database: Database<'a>,
    changed: Changed,
    is_anew: bool,
    how: &'static str,
}

impl<'a> LoadPostgres<'a> {
    pub fn new(pipeline: &'a Pipeline, target: &'a Postgres) -> LoadPostgres<'a> {
        LoadPostgres { pipeline, target }
    }

    /// Asks nobody yet, but for the secrets.
    pub(crate) fn database(&self, context: &Context<'_>) -> Result<Database<'a>, Failure> {
        let secret = |name| (context.secret)(name);
        let (text, is_secret) = match &self.target.url {
            PostgresUrl::Text(text) => (text.clone(), false),
            PostgresUrl::Secret(name) => (secret(name)?.expose().to_owned(), true),
        };
        let (address, in_url) = Address::parse(&text).map_err(|fault| {
            let message = format!(
                "target {}: the url{} is wrong",
                self.target.name,
                if is_secret { " in its secret" } else { "" }
            );
            Failure::new(Kind::Definition, message).hint(format!("give {}", fault.expected)).because(fault.found)
        })?;
        // a server that trusts this machine wants none, so that there is none is told only by one that does
        let password = match &self.target.password {
            Some(name) => secret(name).map(Some).map_err(|failure| UnknownPassword {
                why: failure.chain() + &failure.hint.map(|hint| format!("; {hint}")).unwrap_or_default(),
                kind: failure.kind,
            }),
            None => Ok(in_url.map(tidemark_flow::Secret::new)),
        };
        Ok(Database { target: self.target, address, password })
    }

    /// Database and table, for people: `db.example.com/shop:orders`.
    pub(crate) fn table(&self, database: &Database<'_>) -> String {
        let schema = self.target.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        format!("{}:{schema}{}", database.address, self.target.to.table)
    }

    /// Tries it, and what may pass again, as long as there is time.
    fn patiently<T>(
        &self,
        context: &Context<'_>,
        database: &Database<'_>,
        mut attempt: impl FnMut() -> Result<T, LoadFault>,
    ) -> Result<T, Failure> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(fault) if fault.is_transient() && !context.is_late() => match pauses.next() {
                    Some(pause) => {
                        tracing::info!(target = self.target.name, fault = fault.to_string(), "trying again");
                        std::thread::sleep(Duration::from_millis(*pause));
                    }
                    None => return Err(fault.failure(&self.place(database))),
                },
                Err(fault) => return Err(fault.failure(&self.place(database))),
            }
        }
    }

    fn change<'f>(&'f self, context: &'f Context<'_>, changed: &'f Changed) -> Result<Deltas<'f>, Failure> {
        let (lake, to) = (context.lake, &self.target.to);
        let frames = match to.mode {
            Mode::Upsert => return changed.deltas(lake, context.memory, to),
            Mode::Swap => changed.swapped(lake),
            Mode::Append => changed.new_rows(lake, context.memory, &format!("target {}", self.target.name), to)?,
        };
        Ok(Box::new(frames.map(|rows| Ok(Delta { upserts: rows?, deletes: None }))))
    }

    fn partitions(&self, context: &Context<'_>, changed: &Changed) -> Result<Option<Series>, Failure> {
        match self.target.to.mode {
            Mode::Swap => changed.partition_values(context.lake),
            Mode::Upsert | Mode::Append => Ok(None),
        }
    }

    /// Which database, for people.
    pub(crate) fn place(&self, database: &Database<'_>) -> String {
        format!("target {} at {}", self.target.name, database.address)
    }
}

/// What a run says of rows that the database would not take.
fn refused(rows: u64) -> Option<String> {
    match rows {
        0 => None,
        1 => Some("1 row was refused by the database: see tidemark_refused".to_owned()),
        rows => Some(format!("{rows} rows were refused by the database: see tidemark_refused")),
    }
}

impl<'a> Step for LoadPostgres<'a> {
    type Plan = Plan<'a>;
    type Draft = (Plan<'a>, String);

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn name(&self) -> String {
        format!("load {}", self.target.name)
    }

    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Plan<'a>>, Failure> {
        let to = &self.target.to;
        let Some(table) = context.lake.table(&to.dataset)? else { return Ok(None) };
        let database = self.database(context)?;
        let (loaded, how) = self.patiently(context, &database, || {
            let session = database.connect()?;
            let state = database.load_state(&session, &to.dataset)?;
            let is_due = state.as_ref().is_none_or(|state| state.version != table.version() || trigger.full);
            let how = if is_due { database.path(&session)? } else { "" };
            Ok((state.map(|state| state.version), how))
        })?;
        // rows that are appended again would be there twice
        let is_anew = trigger.full && to.mode != Mode::Append;
        let place = format!("{}: table {}", self.place(&database), to.table);
        let changed = Changed::since(context.lake, table, loaded, is_anew, &place)?;
        Ok(changed.map(|changed| Plan { database, changed, is_anew, how }))
    }

    fn partitions(&self, plan: &Plan<'a>) -> Vec<String> {
        plan.changed.partitions()
    }

    fn size(&self, plan: &Plan<'a>) -> Size {
        Size { how: Some(plan.how), ..plan.changed.size() }
    }

    fn draft(
        &self,
        _: &Context<'_>,
        plan: Plan<'a>,
        run_id: &str,
        _: Option<bytes::Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure> {
        let Size { partitions, bytes, .. } = plan.changed.size();
        let drafted = Drafted {
            inputs: vec![plan.changed.input()],
            outputs: vec![Output::of(self.table(&plan.database), partitions)],
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
        let Plan { database, changed, .. } = &plan;
        let version = changed.table.version();
        let partitions = self.partitions(context, changed)?;
        let change = || self.change(context, changed).unwrap_or_else(|failure| Box::new(std::iter::once(Err(failure))));
        let load = Load {
            rows: changed.size().rows.unwrap_or_default(),
            dataset: &self.target.to.dataset,
            version,
            previous: changed.loaded,
            is_anew: plan.is_anew,
            run_id: &run_id,
            schema: changed.table.schema(),
            change: &change,
            partitions: partitions.as_ref(),
            is_late: &|| context.is_late(),
        };
        let loading = self.patiently(context, database, || database.load(&database.connect()?, &load))?;
        match loading {
            Loading::Loaded(loaded) => {
                drafted.notes.extend(refused(loaded.refused));
                drafted.rows = Balance {
                    rows_in: loaded.inserted + loaded.updated + loaded.unchanged + loaded.refused,
                    written: loaded.inserted,
                    updated: loaded.updated,
                    unchanged: loaded.unchanged,
                    quarantined: loaded.refused,
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
