//! An incident: one problem, opened once and resolved once, however many symptoms it has. Everything here is pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_flow::ErrorKind;
use tidemark_pipeline::{IncidentKind, Severity, StepId};

use crate::message::State;
use crate::step_key::StepKey;

/// An incident that opens this often within [`FLAP_WINDOW`] is flapping.
const FLAP_THRESHOLD: usize = 3;
const FLAP_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// Flapping ends when the incident has neither opened nor resolved for this long.
const STEADY_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// How long a claim to send a notification is valid; then another watcher may send it. Shorter than the time between two ticks.
const CLAIM_TIMEOUT: SignedDuration = SignedDuration::from_mins(4);

/// After this many failed attempts (an hour of ticks) an address is tried less often.
const FREQUENT_ATTEMPTS: u32 = 12;
const SLOW_RETRY_AFTER: SignedDuration = SignedDuration::from_mins(25);

/// A current problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The pipeline, or the stem of a file that should be one; `None` if it is a problem of the watcher itself.
    pub pipeline: Option<String>,
    pub step: Option<StepId>,
    #[serde(rename = "wrong")]
    pub incident_kind: IncidentKind,
    /// Distinguishes findings of the same kind; part of the key.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// When the problem began.
    pub since: Timestamp,
    /// How often it has occurred so far.
    pub count: u64,
    /// What is wrong and why.
    pub what: String,
    pub kind: Option<ErrorKind>,
    pub hint: Option<String>,
    /// The scheduled time of the affected run.
    pub scheduled_time: Option<Timestamp>,
    /// The latest run that shows the problem.
    pub run_id: Option<String>,
    /// Further facts as names and values: rows, partitions.
    pub facts: Vec<(String, String)>,
    /// Whether the watcher retries the step by itself.
    pub is_tried_again: bool,
}

impl Finding {
    /// The deduplication key, stable as long as pipeline and step keep their names: `orders.load_postgres-orders.failed`.
    pub fn key(&self) -> String {
        let step = self.step.as_ref().map(StepId::to_string);
        let parts = [
            self.pipeline.as_deref().or(Some("watch")),
            step.as_deref(),
            Some(self.incident_kind.name()),
            self.qualifier.as_deref(),
        ];
        parts.into_iter().flatten().map(|part| part.replace(' ', "_")).collect::<Vec<_>>().join(".")
    }

    /// The step that does not succeed, if that is the problem; its next success ends the incident.
    pub fn stuck_step(&self) -> Option<StepKey> {
        (self.incident_kind != IncidentKind::Quarantine).then(|| self.step_key())?
    }

    pub fn step_key(&self) -> Option<StepKey> {
        StepKey::from_parts(self.pipeline.as_deref()?, self.step.as_ref()?)
    }
}

/// The state that an address has been notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// It is to be notified, and has not been yet.
    #[serde(rename = "nothing")]
    Pending,
    Opened,
    Flapping,
    Resolved,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The number of the opening that `state` refers to.
    pub opening: u64,
    #[serde(rename = "said")]
    pub state: NotificationState,
    /// When a watcher claimed to send. If there is no result in time, it is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_since: Option<Timestamp>,
    /// The error of the last attempt, if it failed.
    #[serde(rename = "trouble", default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Number of failed attempts, and the time of the last one.
    #[serde(rename = "tried", default, skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<(u32, Timestamp)>,
}

impl Notification {
    /// A notification of an opening that has not been sent.
    fn pending(opening: u64) -> Notification {
        Notification {
            opening,
            state: NotificationState::Pending,
            sending_since: None,
            last_error: None,
            failed_attempts: None,
        }
    }
}

/// An incident as stored in the lake: one object for each key, from the first opening on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub key: String,
    /// How often it has been opened. Key and opening together are the id.
    pub opening: u64,
    pub severity: Severity,
    /// The latest finding.
    pub finding: Finding,
    pub opened_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Times of the openings that count for flapping, the latest last.
    pub openings: Vec<Timestamp>,
    /// Notifications by address.
    #[serde(rename = "told", default)]
    pub notifications: BTreeMap<String, Notification>,
}

impl Incident {
    /// A new incident.
    pub fn open(finding: Finding, severity: Severity, now: Timestamp) -> Incident {
        Incident {
            key: finding.key(),
            opening: 1,
            severity,
            finding,
            opened_at: now,
            resolved_at: None,
            openings: vec![now],
            notifications: BTreeMap::new(),
        }
    }

    /// The id, which is stable over the life of the incident.
    pub fn id(&self) -> String {
        format!("{}#{}", self.key, self.opening)
    }

    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// The problem has been found still, or again: updates the incident, and reopens it if it was resolved.
    pub fn update(&mut self, finding: Finding, severity: Severity, now: Timestamp) {
        if !self.is_open() {
            self.opening += 1;
            self.opened_at = now;
            self.resolved_at = None;
            self.openings.retain(|opened| now.duration_since(*opened) < FLAP_WINDOW);
            self.openings.push(now);
        }
        self.severity = severity;
        self.finding = finding;
    }

    /// Resolves the incident if it is open.
    pub fn resolve(&mut self, now: Timestamp) {
        if self.is_open() {
            self.resolved_at = Some(now);
        }
    }

    /// Whether the incident keeps opening and resolving.
    pub fn is_flapping(&self, now: Timestamp) -> bool {
        let recent =
            self.openings.iter().filter(|opened| self.opened_at.duration_since(**opened) < FLAP_WINDOW).count();
        let turned = self.resolved_at.unwrap_or(self.opened_at);
        recent >= FLAP_THRESHOLD && now.duration_since(turned) < STEADY_AFTER
    }

    /// How often it has opened lately.
    pub fn flap_count(&self) -> usize {
        self.openings.len()
    }

    /// Adds these addresses to the recipients of the current opening.
    pub fn add_recipients(&mut self, addresses: &[String]) {
        if !self.is_open() {
            return;
        }
        for address in addresses {
            let notification = self.notifications.entry(address.clone()).or_insert(Notification::pending(self.opening));
            // an address that was notified of the end, or may have been, gets a new notification
            let is_outdated = notification.state == NotificationState::Resolved
                || notification.sending_since.is_some()
                || notification.last_error.is_some();
            if is_outdated && notification.opening < self.opening {
                *notification = Notification::pending(self.opening);
            }
            notification.opening = self.opening;
        }
    }

    /// The state that an address has to be notified of now; `None` if it is up to date.
    pub fn pending_notification(&self, address: &str, now: Timestamp) -> Option<State> {
        let notification = self.notifications.get(address)?;
        match (self.is_open(), self.is_flapping(now), notification.state) {
            // it was notified of an earlier opening, and is no recipient of this one
            (_, _, NotificationState::Resolved) => None,
            (_, true, NotificationState::Flapping) | (true, false, NotificationState::Opened) => None,
            (true, true, _) => Some(State::Flapping),
            (true, false, _) => Some(State::Opened),
            (false, _, _) => Some(State::Resolved),
        }
    }

    /// Whether an address has not been notified of this opening.
    pub fn was_never_notified(&self, address: &str) -> bool {
        self.notifications.get(address).is_none_or(|notification| notification.state == NotificationState::Pending)
    }

    /// Whether this watcher may send: no other watcher is about to, and the address is not being retried too often.
    pub fn may_send(&self, address: &str, now: Timestamp) -> bool {
        let Some(notification) = self.notifications.get(address) else { return true };
        let is_resting = notification
            .failed_attempts
            .is_some_and(|(times, at)| times >= FREQUENT_ATTEMPTS && now.duration_since(at) < SLOW_RETRY_AFTER);
        !is_resting && notification.sending_since.is_none_or(|since| now.duration_since(since) >= CLAIM_TIMEOUT)
    }

    pub fn claim(&mut self, address: &str, now: Timestamp) {
        if let Some(notification) = self.notifications.get_mut(address) {
            notification.sending_since = Some(now);
        }
    }

    /// Records the result of sending.
    pub fn record_delivery(&mut self, address: &str, sent: &Result<State, String>, now: Timestamp) {
        let Some(notification) = self.notifications.get_mut(address) else { return };
        notification.sending_since = None;
        match sent {
            Ok(state) => {
                (notification.last_error, notification.failed_attempts) = (None, None);
                notification.state = match state {
                    State::Flapping => NotificationState::Flapping,
                    State::Resolved => NotificationState::Resolved,
                    State::Opened | State::Sample => NotificationState::Opened,
                };
            }
            Err(error) => {
                notification.last_error = Some(error.clone());
                notification.failed_attempts =
                    Some((notification.failed_attempts.map_or(0, |(times, _)| times) + 1, now));
            }
        }
    }

    /// Marks an address as up to date without a notification: the incident ended before it was notified.
    pub fn skip(&mut self, address: &str) {
        if let Some(notification) = self.notifications.get_mut(address) {
            notification.state = NotificationState::Resolved;
        }
    }

    /// Whether nothing is left to do: resolved, all recipients notified, and not flapping.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        !self.is_open()
            && !self.is_flapping(now)
            && self.notifications.values().all(|notification| notification.state == NotificationState::Resolved)
    }
}

#[cfg(test)]
mod tests;
