//! `[alerts]`: recipients of notifications, and the limits that open an incident.

use std::collections::BTreeMap;

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use crate::name::SecretName;

/// `[alerts]` of a pipeline. Without it incidents are opened, but nobody is notified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alerts {
    /// `slack = { secret = "slack-webhook" }`, or an array of these: incoming webhooks. The secret is the webhook's URL.
    pub slack: Vec<Slack>,
    /// `email = "data@example.com"`, `{ to = ["…"], severity = "critical" }`, or an array of either. One entry per address.
    pub email: Vec<Email>,
    /// Maximum seconds from the scheduled time to the start of the pipeline; `start_within = "15m"` by default.
    pub start_within_s: u64,
    /// Maximum seconds that a step may lag behind its inputs; `caught_up_within = "30m"` by default.
    pub caught_up_within_s: u64,
    /// `max_quarantined = "1%"`, or a number of records of one run. By default the limit follows from earlier runs.
    pub max_quarantined: Option<Budget>,
    /// `severity = { behind = "critical" }`: severities that replace those of [`IncidentKind::severity`].
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
    /// The severity of a kind of incident for this pipeline.
    pub fn severity_of(&self, kind: IncidentKind) -> Severity {
        self.severity.get(&kind).copied().unwrap_or(kind.severity())
    }
}

/// A Slack channel, identified by its incoming webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slack {
    pub secret: SecretName,
    /// Lowest severity that is sent; [`Severity::Warning`] by default.
    pub severity: Severity,
}

/// A recipient of e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Email {
    pub to: String,
    /// As [`Slack::severity`].
    pub severity: Severity,
}

/// `quiet = { from = "22:00", to = "07:00", timezone = "Europe/London", except = "critical" }`: notifications are held until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quiet {
    pub from: Time,
    /// On the next day if it is not after `from`.
    pub to: Time,
    /// IANA time zone; by default the schedule's, or `UTC` without a schedule.
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

/// The kind of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A step failed with an error that is not retried, or failed repeatedly.
    Failed,
    /// A step published nothing because it quarantined more records than the contract or the target allows.
    OverBudget,
    /// A run published its valid records, but quarantined more than usual or than `[alerts]` allows.
    Quarantine,
    /// The pipeline did not start at its scheduled time.
    NotStarted,
    /// A step has lagged behind its inputs for longer than `caught_up_within`.
    Behind,
    /// A run started and left no run record.
    NeverEnded,
    /// The watcher lacks information: a pipeline file is invalid, a run record cannot be read, or a function rejected an event.
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

    /// The serialized name: `not_started`.
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

    /// The default severity.
    pub fn severity(self) -> Severity {
        match self {
            IncidentKind::Quarantine | IncidentKind::Behind => Severity::Warning,
            _ => Severity::Critical,
        }
    }
}
