//! The known state of one step, and its transitions: failure, success, unobservable, behind.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Days, Error, ErrorKind, ErrorRecord, Heartbeat, RunRecord};

/// How often the platform delivers an event before it gives up.
const ATTEMPTS: u64 = 3;

/// The latest known state of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// The highest run id seen for this step.
    pub run_id: String,
    /// Start and end of the last successful run.
    #[serde(rename = "well_at", default, skip_serializing_if = "Option::is_none")]
    pub last_success_started_at: Option<Timestamp>,
    #[serde(rename = "well_until", default, skip_serializing_if = "Option::is_none")]
    pub last_success_ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// A run that is to be continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<RunInProgress>,
    /// A run whose heartbeat has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<RunInProgress>,
    /// Set if more rows than usual went into quarantine.
    #[serde(rename = "spilled", default, skip_serializing_if = "Option::is_none")]
    pub quarantine_spike: Option<QuarantineSpike>,
    /// Since when its input is known to be ahead of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
    /// Why its datasets cannot be read.
    #[serde(rename = "unseen", default, skip_serializing_if = "Option::is_none")]
    pub unobservable: Option<Unobservable>,
    /// When the watcher last announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
    /// Versions of its inputs that it has consumed, by dataset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumed: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failing {
    pub since: Timestamp,
    /// Time of the latest failure.
    #[serde(default)]
    pub latest: Timestamp,
    pub count: u64,
    /// Number of attempts with the latest correlation id.
    pub attempts: u64,
    #[serde(rename = "chain")]
    pub correlation_id: String,
    pub run_id: String,
    pub scheduled_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    /// The run was to rebuild everything. A person has asked for that, so the watcher does not repeat it.
    #[serde(default)]
    pub full: bool,
    pub error: ErrorRecord,
    /// The event was dead-lettered: the platform will not retry it.
    #[serde(rename = "is_given_up", default)]
    pub is_dead_letter: bool,
    /// The failure will not resolve by itself. Once set, it stays so until the step succeeds.
    #[serde(default)]
    pub is_final: bool,
    pub facts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInProgress {
    pub run_id: String,
    pub started_at: Timestamp,
    pub alive_at: Timestamp,
    pub scheduled_time: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuarantineSpike {
    pub run_id: String,
    pub at: Timestamp,
    pub scheduled_time: Timestamp,
    pub quarantined: u64,
    pub rows_in: u64,
    /// The usual share of quarantined rows, if known.
    pub usual: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unobservable {
    pub since: Timestamp,
    pub error: ErrorRecord,
}

impl RunInProgress {
    pub fn from_record(record: &RunRecord) -> RunInProgress {
        RunInProgress {
            run_id: record.run_id.clone(),
            started_at: record.started_at,
            alive_at: record.finished_at,
            scheduled_time: record.scheduled_time,
        }
    }

    pub fn from_heartbeat(heartbeat: &Heartbeat) -> RunInProgress {
        RunInProgress {
            run_id: heartbeat.run_id.clone(),
            started_at: heartbeat.started_at,
            alive_at: heartbeat.alive_at,
            scheduled_time: heartbeat.scheduled_time,
        }
    }
}

impl Failing {
    /// Whether the watcher retries it by itself.
    pub fn is_tried_again(&self) -> bool {
        self.error.kind == ErrorKind::Retry && !self.full
    }

    /// The first failure.
    fn from_record(record: &RunRecord, error: ErrorRecord) -> Failing {
        Failing {
            since: record.started_at,
            latest: record.finished_at,
            count: 1,
            attempts: 1,
            correlation_id: record.correlation_id.clone(),
            run_id: record.run_id.clone(),
            scheduled_time: record.scheduled_time,
            days: record.days,
            full: record.full,
            is_dead_letter: false,
            is_final: error.kind != ErrorKind::Retry,
            error,
            facts: facts_of(record),
        }
    }
}

impl StepState {
    pub fn record_failure(&mut self, record: &RunRecord) {
        let Some(error) = record.error.clone() else { return };
        if self.last_success_ended_at >= Some(record.finished_at) {
            return;
        }
        self.clear_runs_until(record.finished_at);
        let Some(before) = self.failing.take() else {
            self.failing = Some(Failing::from_record(record, error));
            return;
        };
        let is_same_event = before.correlation_id == record.correlation_id;
        let attempts = if is_same_event { before.attempts + 1 } else { 1 };
        let is_given_up = before.is_dead_letter && is_same_event;
        let may_recover = error.kind == ErrorKind::Retry && attempts < ATTEMPTS && !is_given_up;
        let counted = Failing {
            count: before.count + 1,
            attempts,
            correlation_id: record.correlation_id.clone(),
            is_dead_letter: is_given_up,
            is_final: before.is_final || !may_recover,
            latest: before.latest.max(record.finished_at),
            ..before
        };
        // the latest error counts, but a transient error does not hide a permanent one
        let is_late = record.finished_at < counted.latest;
        let is_hidden = is_late || (may_recover && counted.error.kind != ErrorKind::Retry);
        self.failing = Some(if is_hidden {
            counted
        } else {
            Failing {
                run_id: record.run_id.clone(),
                scheduled_time: record.scheduled_time,
                days: record.days,
                full: record.full,
                error,
                facts: facts_of(record),
                ..counted
            }
        });
    }

    /// Records a success. Of two concurrent runs, the one that ended last counts.
    pub fn record_success(&mut self, record: &RunRecord) {
        let until = record.finished_at;
        if self.last_success_ended_at > Some(until) {
            return;
        }
        (self.last_success_started_at, self.last_success_ended_at) = (Some(record.started_at), Some(until));
        self.failing.take_if(|failing| failing.latest <= until);
        self.clear_runs_until(until);
    }

    /// A run has ended, successfully or not: forget unfinished runs that were last alive before then.
    fn clear_runs_until(&mut self, at: Timestamp) {
        self.continues.take_if(|run| run.alive_at <= at);
        self.lost.take_if(|run| run.alive_at <= at);
    }

    /// Records that its datasets cannot be read.
    pub fn record_unobservable(&mut self, error: &Error, now: Timestamp) {
        let since = self.unobservable.as_ref().map_or(now, |unobservable| unobservable.since);
        (self.unobservable, self.behind_since) = (Some(Unobservable { since, error: error.into() }), None);
    }

    /// Records whether its inputs are ahead of it.
    pub fn record_lag(&mut self, is_behind: bool, now: Timestamp) {
        self.unobservable = None;
        // if the step has succeeded since then, it is behind a newer version
        let since = self
            .behind_since
            .filter(|since| self.last_success_started_at.is_none_or(|success_at| success_at <= *since));
        self.behind_since = is_behind.then(|| since.unwrap_or(now));
    }

    /// Records that the platform has given up an event that was to wake this step.
    pub fn record_dead_letter(&mut self, why: &str, scheduled_time: Timestamp, correlation_id: &str, at: Timestamp) {
        if self.last_success_ended_at > Some(at) {
            return;
        }
        match &mut self.failing {
            Some(failing) => {
                (failing.is_dead_letter, failing.is_final) = (true, true);
                failing.latest = failing.latest.max(at);
            }
            None => {
                self.failing = Some(Failing {
                    since: at,
                    latest: at,
                    count: 1,
                    attempts: 1,
                    correlation_id: correlation_id.to_owned(),
                    run_id: String::new(),
                    scheduled_time,
                    days: None,
                    full: false,
                    error: ErrorRecord {
                        kind: ErrorKind::Retry,
                        message: format!("an event could not be handled: {why}"),
                        hint: None,
                        over_budget: false,
                    },
                    is_dead_letter: true,
                    is_final: true,
                    facts: Vec::new(),
                });
            }
        }
    }
}

/// Facts about the planned work of a run, from its record.
fn facts_of(record: &RunRecord) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some(scope) = &record.scope {
        if !scope.partitions.is_empty() {
            facts.push(("Partitions".to_owned(), scope.to_string()));
        }
        if let Some(rows) = scope.rows {
            facts.push(("Rows".to_owned(), tidemark_flow::thousands(rows)));
        }
    }
    facts
}
