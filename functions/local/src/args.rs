//! The verbs and their arguments, as they are written and explained; what they do is in `verbs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use tidemark_flow::settings;

/// Where the pipeline files are, unless somebody says otherwise.
pub(crate) const DEFAULT_PIPELINES: &str = "infra/pipelines";

/// The version, and the fingerprint of the program: equal for the command and the functions that are built from one commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("TIDEMARK_BUILD"), ")");

/// Scheduled, incremental data pipelines: files in, clean datasets, models and reports out. Nothing lost, nothing doubled.
#[derive(Parser)]
#[command(version = VERSION, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Args, Clone)]
pub struct Common {
    /// The lake, which holds everything tidemark remembers: a folder, or s3://bucket/prefix
    #[arg(long, global = true, env = settings::LAKE, default_value = "lake", value_name = "PLACE")]
    pub lake: String,
    /// The folder of the pipeline files
    #[arg(long, global = true, env = settings::PIPELINES, default_value = DEFAULT_PIPELINES, value_name = "FOLDER")]
    pub pipelines: PathBuf,
    /// Value of a parameter `${NAME}` of the pipeline files (else: the environment variable NAME)
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Print one JSON document on stdout, and nothing else
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run pipelines: ingest, clean, models, load, until nothing is due
    Run {
        /// If none is named: all whose parameters have values
        #[arg(value_name = "PIPELINE")]
        names: Vec<String>,
        /// The scheduled time that is meant, as 2011-12-09T08:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
        /// Read, clean and compute everything anew
        #[arg(long)]
        full: bool,
    },
    /// Say what a run would do, and what it would cost; change nothing
    Plan {
        /// If none is named: all whose parameters have values
        #[arg(value_name = "PIPELINE")]
        names: Vec<String>,
        /// The scheduled time that is meant [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
    /// Make a pipeline file from a sample of a source
    New {
        /// What the pipeline is to be called
        name: String,
        /// A file of the source: CSV, NDJSON or Parquet, plain, .gz or .zst
        #[arg(long, value_name = "FILE")]
        from: String,
    },
    /// Check every pipeline file; draw what depends on what
    Check,
    /// Write schedules.yaml beside the folder of the pipeline files: their schedules, secrets and tables on AWS
    Schedules {
        /// Write nothing; say whether it is what the pipeline files say, and how it differs
        #[arg(long)]
        check: bool,
    },
    /// Show the datasets (version, watermark, rows, lag against clock and schedule) and what is wrong
    Status,
    /// Show the latest runs: rows, time, cost, error
    Runs {
        /// Only of this pipeline
        #[arg(value_name = "PIPELINE")]
        pipeline: Option<String>,
        /// Only those that failed
        #[arg(long)]
        failed: bool,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show a dataset: its rows, or its commits
    Show {
        dataset: String,
        /// How many rows or commits
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// The commits instead of the rows
        #[arg(long)]
        history: bool,
    },
    /// Compare the tables of PostgreSQL targets with their datasets, partition by partition; change nothing
    Verify {
        /// If none is named: all whose parameters have values
        #[arg(value_name = "PIPELINE")]
        names: Vec<String>,
    },
    /// What broke its contract: show it, or send it through again
    Quarantine {
        #[command(subcommand)]
        verb: QuarantineVerb,
    },
    /// Run the schedules on this machine's clock, and watch: catch up what was missed, tell of what fails, until Ctrl-C
    Dev,
    /// Try out who is told
    Alerts {
        #[command(subcommand)]
        verb: AlertsVerb,
    },
    /// Tell nobody of a pipeline for a while; without a pipeline: show what is silenced
    Silence {
        #[arg(value_name = "PIPELINE")]
        pipeline: Option<String>,
        /// How long, as 2h, 90m or 1d
        #[arg(long = "for", value_name = "DURATION", requires = "pipeline", conflicts_with = "end")]
        lasts: Option<String>,
        /// Why, for those who see it in the list
        #[arg(long, value_name = "TEXT", requires = "lasts")]
        reason: Option<String>,
        /// End it now
        #[arg(long, requires = "pipeline")]
        end: bool,
    },
    /// Query the datasets of the lake with SQL
    Sql { query: String },
    /// Make dirty sales files and a small, troubled API, run both pipelines over two days, and show what came out
    Demo {
        /// An empty folder, or one that is not there yet
        #[arg(default_value = "tidemark-demo")]
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum AlertsVerb {
    /// Send a sample to every channel of a pipeline
    Test { pipeline: String },
}

#[derive(Subcommand)]
pub(crate) enum QuarantineVerb {
    /// What is in quarantine, by reason, with samples
    List {
        /// Of one dataset [default: all]
        dataset: Option<String>,
        /// Only reasons with this text in them, as `amount` or `amount: min`
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Only records of this day and later; those without a day by when they came in
        #[arg(long, value_name = "DAY")]
        since: Option<Date>,
        /// What was broken and has healed, instead of what is broken
        #[arg(long)]
        healed: bool,
        /// How many reasons
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Send it through the mended contract, and through all that reads it
    Replay {
        /// Of one dataset [default: all]
        dataset: Option<String>,
        /// The scheduled time that is meant [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
}

impl Cli {
    pub fn wants_json(&self) -> bool {
        self.common.json
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}
