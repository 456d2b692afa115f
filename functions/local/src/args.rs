//! The verbs and their arguments, with their help texts. What the verbs do is in `verbs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use tidemark_flow::settings;

/// The default folder of the pipeline files.
pub(crate) const DEFAULT_PIPELINES: &str = "infra/pipelines";

/// The version, and the fingerprint of the program, which is equal for the command and the functions built from one commit.
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
    /// The lake, which holds all data and state: a folder, or s3://bucket/prefix
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
        /// Default: all pipelines whose parameters have values
        #[arg(value_name = "PIPELINE")]
        names: Vec<String>,
        /// The scheduled time to run for, as 2011-12-09T08:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
        /// Rebuild everything from the start: read, clean and compute it again
        #[arg(long)]
        full: bool,
    },
    /// Show what a run would do and what it would cost, without changing anything
    Plan {
        /// Default: all pipelines whose parameters have values
        #[arg(value_name = "PIPELINE")]
        names: Vec<String>,
        /// The scheduled time to run for [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
    /// Create a pipeline file from a sample of a source
    New {
        /// The name of the new pipeline
        name: String,
        /// A file of the source: CSV, NDJSON or Parquet, plain, .gz or .zst
        #[arg(long, value_name = "FILE")]
        from: String,
    },
    /// Check every pipeline file, and draw the graph of dependencies
    Check,
    /// Write schedules.yaml next to the folder of the pipeline files: their schedules, secrets and tables on AWS
    Schedules {
        /// Write nothing; check whether it matches the pipeline files, and show the differences
        #[arg(long)]
        check: bool,
    },
    /// Show the datasets (version, watermark, rows, lag behind clock and schedule) and the open incidents
    Status,
    /// Show the latest runs: rows, time, cost, error
    Runs {
        /// Only runs of this pipeline
        #[arg(value_name = "PIPELINE")]
        pipeline: Option<String>,
        /// Only failed runs
        #[arg(long)]
        failed: bool,
        /// Maximum number of runs
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show a dataset: its rows, or its commits
    Show {
        dataset: String,
        /// Maximum number of rows or commits
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Show the commits instead of the rows
        #[arg(long)]
        history: bool,
    },
    /// Compare the tables of PostgreSQL targets with their datasets, partition by partition, without changing anything
    Verify {
        /// Default: all pipelines whose parameters have values
        #[arg(value_name = "PIPELINE")]
        names: Vec<String>,
    },
    /// Show the records that broke their contract, or process them again
    Quarantine {
        #[command(subcommand)]
        verb: QuarantineVerb,
    },
    /// Run the schedules by this machine's clock until Ctrl-C: catch up on missed starts, and notify of failures
    Dev,
    /// Test the notifications
    Alerts {
        #[command(subcommand)]
        verb: AlertsVerb,
    },
    /// Suspend the notifications of a pipeline for a while; without a pipeline: show the current silences
    Silence {
        #[arg(value_name = "PIPELINE")]
        pipeline: Option<String>,
        /// For how long, as 2h, 90m or 1d
        #[arg(long = "for", value_name = "DURATION", requires = "pipeline", conflicts_with = "end")]
        lasts: Option<String>,
        /// The reason, which the list of silences shows
        #[arg(long, value_name = "TEXT", requires = "lasts")]
        reason: Option<String>,
        /// End the silence now
        #[arg(long, requires = "pipeline")]
        end: bool,
    },
    /// Query the datasets of the lake with SQL
    Sql { query: String },
    /// Run two example pipelines over two days of messy sales files and an unreliable API, and show the results
    Demo {
        /// An empty folder, or one that does not exist yet
        #[arg(default_value = "tidemark-demo")]
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum AlertsVerb {
    /// Send a sample message to every channel of a pipeline
    Test { pipeline: String },
}

#[derive(Subcommand)]
pub(crate) enum QuarantineVerb {
    /// Show the records in quarantine, by reason, with samples
    List {
        /// Of one dataset [default: all]
        dataset: Option<String>,
        /// Only reasons that contain this text, as `amount` or `amount: min`
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Only records of this day and later; records without a day count by their time of arrival
        #[arg(long, value_name = "DAY")]
        since: Option<Date>,
        /// Show the records that have healed, instead of those that are broken
        #[arg(long)]
        healed: bool,
        /// Maximum number of reasons
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Process the records again with the corrected contract, and run all steps that depend on them
    Replay {
        /// Of one dataset [default: all]
        dataset: Option<String>,
        /// The scheduled time to run for [default: now]
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
