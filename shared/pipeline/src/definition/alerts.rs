//! `[alerts]`: who is notified of a pipeline's problems, and the limits beyond which something is a problem.

use std::collections::BTreeMap;

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use crate::name::SecretName;

/// `[alerts]` of a pipeline. Without it incidents are still opened, but no one is notified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alerts {
    /// `slack = { secret = "slack-webhook" }`, or an array of them: incoming webhooks, whose URL is the secret.
    pub slack: Vec<Slack>,
    /// `email = "data@example.com"`, `{ to = ["…"], severity = "critical" }`, or an array of either: one of these per address.
    pub email: Vec<Email>,
    /// Seconds after the scheduled time within which the pipeline has to start; `start_within = "15m"` by default.
    pub start_within_s: u64,
    /// Seconds for which a step may be behind its input; `caught_up_within = "30m"` by default.
    pub caught_up_within_s: u64,
    /// `max_quarantined = "1%"` or a number of records of one run; by default what is much more than usual.
    pub max_quarantined: Option<Budget>,
    /// `severity = { behind = "critical" }`: other severities than [`IncidentKind::severity`].
    pub severity: BTreeMap<IncidentKind, Severity>,
    pub quiet: Option<Quiet>,
}

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts {
            slack: Vec::new(),
            email: Vec::new(),
            start_within_s: 15 * 60,
            caught_up_within_s: 30 * 60,
            max_quarantined: None,
            severity: BTreeMap::new(),
            quiet: None,
        }
    }
}

impl Alerts {
    /// Severity for this pipeline.
    pub fn severity_of(&self, kind: IncidentKind) -> Severity {
        self.severity.get(&kind).copied().unwrap_or(kind.severity())
    }
}

/// A Slack channel, by its incoming webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slack {
    pub secret: SecretName,
    /// Lowest severity that is sent to it; by default every severity is.
    pub severity: Severity,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Email {
    pub to: String,
    /// As [`Slack::severity`].
    pub severity: Severity,
}

/// `quiet = { from = "22:00", to = "07:00", timezone = "Europe/London", except = "critical" }`: notifications within this period wait until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quiet {
    pub from: Time,
    /// Of the next day, if it is not after `from`.
    pub to: Time,
    /// IANA time zone; the schedule's by default, `UTC` without a schedule.
    pub timezone: String,
    /// Notifications of this severity or above are sent at once; none by default.
    pub except: Option<Severity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Warning,
    Critical,
}

/// The kinds of incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A step failed, and will not be tried again soon, or has been often enough.
    Failed,
    /// More records broke the contract than `max_quarantined` of the contract or the target allows, so nothing was published.
    OverBudget,
    /// A run put more into quarantine than usual, or than `[alerts]` allows; what is good was published.
    Quarantine,
    /// The pipeline did not start when its schedule said so.
    NotStarted,
    /// The input of a step is ahead of it for longer than it should be.
    Behind,
    /// A run started and never ended.
    NeverEnded,
    /// The watcher cannot see: a pipeline file is broken, a run record cannot be read, an event was not understood.
    #[serde(rename = "blind")]
    Unobservable,
}

impl IncidentKind {
    pub const ALL: [IncidentKind; 7] = [
        IncidentKind::Failed,
        IncidentKind::OverBudget,
        IncidentKind::Quarantine,
        IncidentKind::NotStarted,
        IncidentKind::Behind,
        IncidentKind::NeverEnded,
        IncidentKind::Unobservable,
    ];

    /// As it is written: `not_started`.
    pub fn name(self) -> &'static str {
        match self {
            IncidentKind::Failed => "failed",
            IncidentKind::OverBudget => "over_budget",
            IncidentKind::Quarantine => "quarantine",
            IncidentKind::NotStarted => "not_started",
            IncidentKind::Behind => "behind",
            IncidentKind::NeverEnded => "never_ended",
            IncidentKind::Unobservable => "blind",
        }
    }

    /// Unless the pipeline says otherwise.
    pub fn severity(self) -> Severity {
        match self {
            IncidentKind::Quarantine | IncidentKind::Behind => Severity::Warning,
            _ => Severity::Critical,
        }
    }
}
