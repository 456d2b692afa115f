//! Frames in a lake, loaded into a table of a real database by the step itself.

pub mod interrupted;
pub mod orders;

use std::any::Any;

use polars::prelude::*;
use tidemark::environment::LocalEnvironment;
use tidemark_flow::{Context, ErrorRecord, Quiet, RunRecord, Secret, Status, Trigger};
use tidemark_lake::{CommitInfo, DataFile, Draft, Lake, Meta, Outcome, Partition, Writer};
use tidemark_pipeline::{ColumnName, DatasetName, Pipeline, SourceFile, StepId, Target, read};

use crate::support::postgres::{Rows, ask, database};
use crate::support::running::run_step;

/// A database and a lake of its own.
pub struct LoadHarness {
    pub url: String,
    pub lake: Lake,
    /// Keeps the database behind `url` alive.
    _kept: Box<dyn Any>,
    environment: LocalEnvironment,
    memory: Option<u64>,
}

impl LoadHarness {
    /// Returns `None`, with a message, if there is no PostgreSQL.
    pub fn new() -> Option<LoadHarness> {
        let database = database()?;
        Some(LoadHarness::at(database.url(), database))
    }

    /// For a database that exists as long as `kept` does.
    pub fn at(url: String, kept: impl Any) -> LoadHarness {
        let environment = LocalEnvironment::new().unwrap();
        LoadHarness { url, lake: environment.empty_lake().unwrap(), _kept: Box::new(kept), environment, memory: None }
    }

    /// Plans with `bytes` of memory.
    pub fn with_memory(self, bytes: u64) -> LoadHarness {
        LoadHarness { memory: Some(bytes), ..self }
    }

    pub fn with_secret(self, name: &str, secret: &str) -> LoadHarness {
        let environment = self.environment.with_secret(name.parse().unwrap(), Secret::new(secret.to_owned()));
        LoadHarness { environment, ..self }
    }

    /// Replaces the whole dataset.
    pub fn commit(&self, dataset: &str, rows: &DataFrame) {
        self.commit_by(dataset, rows, None);
    }

    /// The same, in partitions by the values of a column.
    pub fn commit_by(&self, dataset: &str, rows: &DataFrame, column: Option<&str>) {
        let name: DatasetName = dataset.parse().unwrap();
        let base = self.lake.table(&name).unwrap();
        let removes: Vec<DataFile> = base.iter().flat_map(|table| table.files(&self.lake).unwrap()).collect();
        let mut adds = Vec::new();
        let groups = match column {
            Some(column) if rows.height() > 0 => rows.partition_by_stable([column], true).unwrap(),
            _ => vec![rows.clone()],
        };
        for group in groups.iter().filter(|group| group.height() > 0) {
            let value = column.map(|column| {
                let first = group.column(column).unwrap().slice(0, 1).cast(&DataType::String).unwrap();
                (column, first.str().unwrap().get(0).map(str::to_owned))
            });
            let partition = Partition::new(value.iter().map(|(column, value)| (*column, value.as_deref())));
            let mut writer = Writer::new(&self.lake, &name, rows.schema(), partition);
            writer.write(group).unwrap();
            adds.extend(writer.finish(false).unwrap());
        }
        let draft = Draft {
            dataset: name,
            schema: (**rows.schema()).clone(),
            partition_by: column.iter().map(|column| column.parse::<ColumnName>().unwrap()).collect(),
            adds,
            removes,
            consumed: Vec::new(),
            meta: Meta { fingerprint: "f".to_owned(), ..Meta::default() },
            info: CommitInfo {
                run_id: tidemark_flow::host::run_id(),
                step: "clean".to_owned(),
                balance: serde_json::Value::Null,
            },
        };
        let outcome = draft.commit(&self.lake, base.as_ref()).unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }

    /// Runs `load` for a target, given without kind, name and URL.
    pub fn run(&self, target: &str) -> RunRecord {
        self.run_at(&self.url, target, false)
    }

    pub fn run_at(&self, url: &str, target: &str, full: bool) -> RunRecord {
        let pipeline = pipeline(url, target);
        let trigger = Trigger { full, ..Trigger::at("2026-04-01T08:00:00Z".parse().unwrap(), "lab") };
        self.environment.with_context(&self.lake, &Quiet, |context| {
            let context = Context { memory: self.memory.unwrap_or(context.memory), ..*context };
            run_step(&context, &self.environment, &pipeline, &StepId::Load("here".to_owned()), &trigger)
        })
    }

    /// What the table has beside what the dataset has.
    pub fn verify(&self, target: &str) -> load::Verification {
        let pipeline = pipeline(&self.url, target);
        let Target::Postgres(target) = &pipeline.targets[0] else { panic!() };
        self.environment
            .with_context(&self.lake, &Quiet, |context| load::verify(context, &self.environment, &pipeline, target))
            .unwrap()
    }

    /// Runs the load, which must succeed.
    #[track_caller]
    pub fn load(&self, target: &str) -> RunRecord {
        let record = self.run(target);
        assert_eq!(record.status, Status::Done, "{record:#?}");
        record
    }

    #[track_caller]
    pub fn load_full(&self, target: &str) -> RunRecord {
        let record = self.run_at(&self.url, target, true);
        assert_eq!(record.status, Status::Done, "{record:#?}");
        record
    }

    /// Why it cannot be loaded.
    #[track_caller]
    pub fn fail(&self, target: &str) -> ErrorRecord {
        failed(self.run(target))
    }

    #[track_caller]
    pub fn query(&self, sql: &str) -> Rows {
        ask(&self.url, sql).unwrap_or_else(|error| panic!("{error:?}: {sql}"))
    }

    /// The columns of the rows, with a comma between, as the server writes them; `-` for NULL.
    #[track_caller]
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let line = |row: Vec<Option<String>>| {
            row.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(",")
        };
        self.query(sql).into_iter().map(line).collect()
    }

    /// One value.
    #[track_caller]
    pub fn one(&self, sql: &str) -> String {
        let lines = self.lines(sql);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }
}

fn pipeline(url: &str, target: &str) -> Pipeline {
    let url = if url.starts_with('{') { url.to_owned() } else { format!("'{url}'") };
    let text = format!("[[target]]\nkind = 'postgres'\nname = 'here'\nurl = {url}\n{target}\n");
    let file = SourceFile::new("lab.toml", text.as_bytes()).unwrap();
    read(&file, &|_| None, &|_| Err(String::new())).unwrap_or_else(|all| panic!("{all:#?}\n{text}")).pipeline
}

#[track_caller]
pub fn failed(record: RunRecord) -> ErrorRecord {
    assert_eq!(record.status, Status::Failed, "{record:#?}");
    record.error.unwrap()
}

/// Written, updated, unchanged, deleted, quarantined.
pub fn counts(record: &RunRecord) -> [u64; 5] {
    let rows = &record.rows;
    [rows.written, rows.updated, rows.unchanged, rows.deleted, rows.quarantined]
}

/// `id` from a range, and a text made of it.
pub fn numbered(ids: std::ops::Range<i64>, text: impl Fn(i64) -> String) -> DataFrame {
    let ids: Vec<i64> = ids.collect();
    let texts: Vec<String> = ids.iter().map(|id| text(*id)).collect();
    df!("id" => ids, "note" => texts).unwrap()
}

pub const UPSERT: &str = "dataset = 'd'\ntable = 't'\nmode = 'upsert'\nkey = 'id'\n";
