//! What follows from the run records that have been read: what became of each step, and how far each dataset is. It hangs on nothing but
//! the records and the marks, so a watcher that finds it gone reads the last days again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_flow::{ErrorRecord, Kind, Mark, RunRecord, STARTED, Status};

/// Runs of a pipeline that say what is usual.
const USUAL: usize = 10;

/// The watcher's state as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Run records have been read up to this moment of their ids.
    pub read_until: Timestamp,
    /// Ids of records after a while before it, which have been read: such as are written late are not missed.
    pub read: BTreeSet<String>,
    pub pipelines: BTreeMap<String, Known>,
    /// By pipeline and step, as `orders/clean`.
    pub steps: BTreeMap<String, Last>,
    /// By dataset: its latest version that is known of, and when it was committed.
    pub datasets: BTreeMap<String, Head>,
    /// Records that cannot be read, by run id, with their day.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Runs that have said that they are under way and whose records are still to come, each with when it was last heard of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub under_way: BTreeMap<String, Timestamp>,
    /// Given-up events that nobody can make sense of.
    pub strays: Vec<Stray>,
    /// Incidents at rest, by key, as they were when they were looked at.
    pub at_rest: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Since when this pipeline is watched with this schedule.
    pub since: Timestamp,
    pub schedule: String,
    /// Scheduled times up to this one have been started, or need not be.
    pub started: Option<Timestamp>,
    /// The scheduled time for which the watcher has started it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helped: Option<(Timestamp, Timestamp)>,
    /// When somebody has set about making up for what was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_up_at: Option<Timestamp>,
    /// When its datasets were last looked at.
    #[serde(default)]
    pub looked_at: Timestamp,
    /// Shares of records that the latest runs put into quarantine, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
}

/// The last that is known of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Last {
    /// The greatest id of a run of it.
    pub run_id: String,
    /// When it last ended well, by the beginning of that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// A run that is to be gone on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<UnderWay>,
    /// A run that took long and says nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<UnderWay>,
    /// More went into quarantine than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spilled: Option<Spilled>,
    /// Since when its input is known to be ahead of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
    /// When the watcher has last announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
    /// Versions of its inputs that it has consumed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumed: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failing {
    pub since: Timestamp,
    pub count: u64,
    /// Attempts of the latest chain.
    pub attempts: u64,
    pub chain: String,
    pub run_id: String,
    pub scheduled_time: Timestamp,
    pub error: ErrorRecord,
    /// The platform will not try it again.
    #[serde(default)]
    pub is_given_up: bool,
    pub facts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    pub run_id: String,
    pub started_at: Timestamp,
    pub alive_at: Timestamp,
    pub scheduled_time: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spilled {
    pub run_id: String,
    pub at: Timestamp,
    pub scheduled_time: Timestamp,
    pub quarantined: u64,
    pub rows_in: u64,
    /// The share that is usual.
    pub usual: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The latest version in which rows changed.
    pub version: i64,
    /// When that was committed.
    pub at: Timestamp,
    /// The latest version at all.
    #[serde(default)]
    pub latest: i64,
}

impl Default for Head {
    fn default() -> Head {
        Head { version: -1, at: Timestamp::UNIX_EPOCH, latest: -1 }
    }
}

impl Head {
    fn moves(&mut self, version: i64, has_rows: bool, record: &RunRecord) {
        // a table that has been deleted begins anew
        if version < self.latest && record.started_at > self.at {
            *self = Head::default();
        }
        self.latest = self.latest.max(version);
        if has_rows && version > self.version {
            (self.version, self.at) = (version, record.finished_at);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unreadable {
    pub day: jiff::civil::Date,
    pub since: Timestamp,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stray {
    pub at: Timestamp,
    pub by: String,
    pub why: String,
}

/// The name of a step among all.
pub fn name_of(pipeline: &str, step: &str) -> String {
    format!("{pipeline}/{step}")
}

impl Memory {
    pub fn last(&mut self, pipeline: &str, step: &str) -> &mut Last {
        self.steps.entry(name_of(pipeline, step)).or_default()
    }

    /// Takes in one run record; in the order of their ids, each once.
    pub fn take_in(&mut self, record: &RunRecord, allowed: Option<tidemark_pipeline::Budget>) {
        self.starts(&record.pipeline, &record.step, record.scheduled_time);
        for output in &record.outputs {
            if let Some(version) = output.version
                && record.error.is_none()
                && !record.step.starts_with("load ")
            {
                let head = self.datasets.entry(output.dataset.clone()).or_default();
                head.moves(version, output.partitions > 0, record);
            }
        }
        if record.step == "clean" && record.status == Status::Done {
            self.spills(record, allowed);
        }
        let heads = self.datasets.clone();
        let last = self.last(&record.pipeline, &record.step);
        // a record that comes late changes nothing that a later one has said
        let is_latest = record.run_id >= last.run_id;
        match record.status {
            Status::Failed => last.fails(record),
            _ if !is_latest => {}
            Status::Continues => last.continues = Some(UnderWay::of(record)),
            Status::Done | Status::NothingToDo => {
                last.well_at = Some(record.started_at);
                (last.failing, last.continues, last.lost) = (None, None, None);
                if record.status == Status::Done {
                    last.consumed.extend(record.inputs.iter().map(|input| (input.dataset.clone(), input.to_version)));
                } else {
                    // it has looked at what there was when it began
                    let known = heads.iter().filter(|(_, head)| head.at <= record.started_at);
                    last.consumed.extend(known.map(|(dataset, head)| (dataset.clone(), head.version)));
                }
            }
        }
        if is_latest {
            last.run_id.clone_from(&record.run_id);
        }
    }

    /// A record or mark of a pipeline's first step says that it has been started.
    fn starts(&mut self, pipeline: &str, step: &str, scheduled_time: Timestamp) {
        if step != "ingest" && step != STARTED {
            return;
        }
        let known = self.pipelines.entry(pipeline.to_owned()).or_default();
        known.started = known.started.max(Some(scheduled_time));
    }

    /// Takes note of the runs that are under way. Where the mark of one is gone its record is there, however long ago it began.
    pub fn sees(&mut self, marks: &[Mark], now: Timestamp) {
        for mark in marks.iter().filter(|mark| !self.read.contains(&mark.run_id)) {
            self.under_way.insert(mark.run_id.clone(), now);
        }
        self.under_way.retain(|_, seen| now.duration_since(*seen) < RECORD_WITHIN);
        for mark in marks {
            self.starts(&mark.pipeline, &mark.step, mark.scheduled_time);
        }
    }

    /// What is usual is the median of the latest runs.
    fn spills(&mut self, record: &RunRecord, allowed: Option<tidemark_pipeline::Budget>) {
        /// Of fewer records nobody is told unasked.
        const FEW: u64 = 10;
        /// Times the usual share.
        const MUCH: f64 = 3.0;
        /// Runs it takes to know what is usual.
        const ENOUGH: usize = 3;
        let (quarantined, rows_in) = (record.rows.quarantined, record.rows.rows_in);
        if rows_in == 0 {
            return;
        }
        let share = quarantined as f64 / rows_in as f64;
        let known = self.pipelines.entry(record.pipeline.clone()).or_default();
        let mut sorted = known.shares.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = (sorted.len() >= ENOUGH).then(|| sorted[sorted.len() / 2]);
        let is_much = match (allowed, usual) {
            (Some(budget), _) => quarantined > budget.most(rows_in),
            (None, Some(usual)) => quarantined > FEW && share > MUCH * usual,
            (None, None) => false,
        };
        // what is much is not usual, until it has become so
        known.shares.push(share);
        if known.shares.len() > USUAL {
            known.shares.remove(0);
        }
        self.last(&record.pipeline, &record.step).spilled = is_much.then(|| Spilled {
            run_id: record.run_id.clone(),
            at: record.finished_at,
            scheduled_time: record.scheduled_time,
            quarantined,
            rows_in,
            usual,
        });
    }

    /// A mark of a run that may be under way; `true` if nothing has been heard of it for too long.
    pub fn hears_of(&mut self, mark: &Mark, now: Timestamp) -> bool {
        let last = self.last(&mark.pipeline, &mark.step);
        if now.duration_since(mark.alive_at) < SILENT_FOR || mark.run_id <= last.run_id {
            return false;
        }
        last.lost = Some(UnderWay {
            run_id: mark.run_id.clone(),
            started_at: mark.started_at,
            alive_at: mark.alive_at,
            scheduled_time: mark.scheduled_time,
        });
        true
    }
}

/// After its mark is gone, the record of a run comes within this, or never.
const RECORD_WITHIN: SignedDuration = SignedDuration::from_mins(20);

/// After which a run that says nothing is taken for dead; it would have said something each minute.
pub const SILENT_FOR: SignedDuration = SignedDuration::from_mins(5);

impl UnderWay {
    fn of(record: &RunRecord) -> UnderWay {
        UnderWay {
            run_id: record.run_id.clone(),
            started_at: record.started_at,
            alive_at: record.finished_at,
            scheduled_time: record.scheduled_time,
        }
    }
}

impl Last {
    fn fails(&mut self, record: &RunRecord) {
        let Some(error) = record.error.clone() else { return };
        // it has ended well since
        if self.well_at.is_some_and(|well_at| well_at > record.started_at) {
            return;
        }
        let before = self.failing.take();
        let same_chain = before.as_ref().is_some_and(|before| before.chain == record.chain);
        let attempts = before.as_ref().filter(|_| same_chain).map_or(0, |before| before.attempts) + 1;
        // the latest error is the one that counts, but a cause that will not go by itself is not hidden by one that may
        self.failing = Some(Failing {
            since: before.as_ref().map_or(record.started_at, |before| before.since),
            count: before.as_ref().map_or(0, |before| before.count) + 1,
            attempts,
            chain: record.chain.clone(),
            run_id: record.run_id.clone(),
            scheduled_time: record.scheduled_time,
            error,
            is_given_up: before.is_some_and(|before| before.is_given_up && same_chain),
            facts: facts_of(record),
        });
        (self.continues, self.lost) = (None, None);
    }

    /// The platform has given up an event that was to wake this step.
    pub fn is_given_up(&mut self, why: &str, scheduled_time: Timestamp, chain: &str, at: Timestamp) {
        if self.well_at.is_some_and(|well_at| well_at > at) {
            return;
        }
        match &mut self.failing {
            Some(failing) => failing.is_given_up = true,
            None => {
                self.failing = Some(Failing {
                    since: at,
                    count: 1,
                    attempts: 1,
                    chain: chain.to_owned(),
                    run_id: String::new(),
                    scheduled_time,
                    error: ErrorRecord {
                        kind: Kind::Retry,
                        message: format!("an event was given up: {why}"),
                        hint: None,
                        over_budget: false,
                    },
                    is_given_up: true,
                    facts: Vec::new(),
                });
            }
        }
    }
}

/// What a record has to say of what it was about.
fn facts_of(record: &RunRecord) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some(about) = &record.about {
        if !about.partitions.is_empty() {
            facts.push(("Partitions".to_owned(), about.to_string()));
        }
        if let Some(rows) = about.rows {
            facts.push(("Rows".to_owned(), tidemark_flow::thousands(rows)));
        }
    }
    facts
}
