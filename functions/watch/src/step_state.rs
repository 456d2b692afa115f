//! What is known of one step, and what becomes of it: it fails, once more or for good; it cannot be seen; it is behind.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Days, Error, ErrorKind, ErrorRecord, Heartbeat, RunRecord};

/// Attempts that the platform makes of an event before it gives it up.
const ATTEMPTS: u64 = 3;

/// The last that is known of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// The greatest id of a run of it.
    pub run_id: String,
    /// When it last ended well, by the beginning of that run, and by its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_until: Option<Timestamp>,
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
    pub spilled: Option<QuarantineSpike>,
    /// Since when its input is known to be ahead of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
    /// Why its datasets cannot be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unobservable>,
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
    /// When it last did.
    #[serde(default)]
    pub latest: Timestamp,
    pub count: u64,
    /// Attempts of the latest chain.
    pub attempts: u64,
    pub chain: String,
    pub run_id: String,
    pub scheduled_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    /// Everything was to be made anew, which is asked for by a person, and again by nobody else.
    #[serde(default)]
    pub full: bool,
    pub error: ErrorRecord,
    /// The platform will not try it again.
    #[serde(default)]
    pub is_given_up: bool,
    /// It will not go by itself; that stays so until the step ends well.
    #[serde(default)]
    pub is_final: bool,
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
pub struct QuarantineSpike {
    pub run_id: String,
    pub at: Timestamp,
    pub scheduled_time: Timestamp,
    pub quarantined: u64,
    pub rows_in: u64,
    /// The share that is usual.
    pub usual: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unobservable {
    pub since: Timestamp,
    pub error: ErrorRecord,
}

impl UnderWay {
    pub fn from_record(record: &RunRecord) -> UnderWay {
        UnderWay {
            run_id: record.run_id.clone(),
            started_at: record.started_at,
            alive_at: record.finished_at,
            scheduled_time: record.scheduled_time,
        }
    }

    pub fn from_mark(mark: &Heartbeat) -> UnderWay {
        UnderWay {
            run_id: mark.run_id.clone(),
            started_at: mark.started_at,
            alive_at: mark.alive_at,
            scheduled_time: mark.scheduled_time,
        }
    }
}

impl Failing {
    /// Whether the watcher tries it again by itself.
    pub fn is_tried_again(&self) -> bool {
        self.error.kind == ErrorKind::Retry && !self.full
    }

    /// For the first time.
    fn from_record(record: &RunRecord, error: ErrorRecord) -> Failing {
        Failing {
            since: record.started_at,
            latest: record.finished_at,
            count: 1,
            attempts: 1,
            chain: record.correlation_id.clone(),
            run_id: record.run_id.clone(),
            scheduled_time: record.scheduled_time,
            days: record.days,
            full: record.full,
            is_given_up: false,
            is_final: error.kind != ErrorKind::Retry,
            error,
            facts: facts_of(record),
        }
    }
}

impl StepState {
    pub fn fails(&mut self, record: &RunRecord) {
        let Some(error) = record.error.clone() else { return };
        if self.well_until >= Some(record.finished_at) {
            return;
        }
        self.is_heard_of(record.finished_at);
        let Some(before) = self.failing.take() else {
            self.failing = Some(Failing::from_record(record, error));
            return;
        };
        let same_chain = before.chain == record.correlation_id;
        let attempts = if same_chain { before.attempts + 1 } else { 1 };
        let is_given_up = before.is_given_up && same_chain;
        let may_go = error.kind == ErrorKind::Retry && attempts < ATTEMPTS && !is_given_up;
        let counted = Failing {
            count: before.count + 1,
            attempts,
            chain: record.correlation_id.clone(),
            is_given_up,
            is_final: before.is_final || !may_go,
            latest: before.latest.max(record.finished_at),
            ..before
        };
        // the latest error is the one that counts, but a cause that will not go by itself is not hidden by one that may
        let is_late = record.finished_at < counted.latest;
        let is_hidden = is_late || (may_go && counted.error.kind != ErrorKind::Retry);
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

    /// Of two that were under way at once the one counts that was the last to end.
    pub fn ends_well(&mut self, record: &RunRecord) {
        let until = record.finished_at;
        if self.well_until > Some(until) {
            return;
        }
        (self.well_at, self.well_until) = (Some(record.started_at), Some(until));
        self.failing.take_if(|failing| failing.latest <= until);
        self.is_heard_of(until);
    }

    /// It has come to an end, be it good or bad: whatever said its last before then is nobody's matter any more.
    fn is_heard_of(&mut self, at: Timestamp) {
        self.continues.take_if(|run| run.alive_at <= at);
        self.lost.take_if(|run| run.alive_at <= at);
    }

    /// Its datasets cannot be looked at.
    pub fn hides(&mut self, failure: &Error, now: Timestamp) {
        let since = self.unseen.as_ref().map_or(now, |unseen| unseen.since);
        (self.unseen, self.behind_since) = (Some(Unobservable { since, error: failure.into() }), None);
    }

    /// Whether its inputs are ahead of it.
    pub fn shows(&mut self, is_behind: bool, now: Timestamp) {
        self.unseen = None;
        // one that has ended well since is behind something newer
        let since = self.behind_since.filter(|since| self.well_at.is_none_or(|well_at| well_at <= *since));
        self.behind_since = is_behind.then(|| since.unwrap_or(now));
    }

    /// The platform has given up an event that was to wake this step.
    pub fn is_given_up(&mut self, why: &str, scheduled_time: Timestamp, chain: &str, at: Timestamp) {
        if self.well_until > Some(at) {
            return;
        }
        match &mut self.failing {
            Some(failing) => {
                (failing.is_given_up, failing.is_final) = (true, true);
                failing.latest = failing.latest.max(at);
            }
            None => {
                self.failing = Some(Failing {
                    since: at,
                    latest: at,
                    count: 1,
                    attempts: 1,
                    chain: chain.to_owned(),
                    run_id: String::new(),
                    scheduled_time,
                    days: None,
                    full: false,
                    error: ErrorRecord {
                        kind: ErrorKind::Retry,
                        message: format!("an event was given up: {why}"),
                        hint: None,
                        over_budget: false,
                    },
                    is_given_up: true,
                    is_final: true,
                    facts: Vec::new(),
                });
            }
        }
    }
}

/// What a record has to say of what it was about.
fn facts_of(record: &RunRecord) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some(about) = &record.scope {
        if !about.partitions.is_empty() {
            facts.push(("Partitions".to_owned(), about.to_string()));
        }
        if let Some(rows) = about.rows {
            facts.push(("Rows".to_owned(), tidemark_flow::thousands(rows)));
        }
    }
    facts
}
