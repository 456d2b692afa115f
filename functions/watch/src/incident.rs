//! One thing that is wrong: opened once, resolved once, however many symptoms it has. Everything here is decided from what is passed in.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_flow::ErrorKind;
use tidemark_pipeline::{IncidentKind, Severity, StepId};

use crate::message::State;
use crate::step_key::StepKey;

/// So many openings within [`FLAP_WINDOW`] are a flapping.
const FLAPS: usize = 3;
const FLAP_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// It is over when nothing has turned for so long.
const STEADY_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// Whoever has begun to send has so long for it; then another may. It is less than from one tick to the next.
const SENDING_FOR: SignedDuration = SignedDuration::from_mins(4);

/// A channel that has not taken a message so often, an hour of looks, is asked less often from then on.
const OFTEN: u32 = 12;
const SELDOM: SignedDuration = SignedDuration::from_mins(25);

/// What is wrong now, as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The pipeline, or the stem of a file that should be one; `None` where it is the watcher's own.
    pub pipeline: Option<String>,
    pub step: Option<StepId>,
    #[serde(rename = "wrong")]
    pub incident_kind: IncidentKind,
    /// What tells it from others of the same kind; a part of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// How often so far.
    pub count: u64,
    /// What is wrong and why.
    pub what: String,
    pub kind: Option<ErrorKind>,
    pub hint: Option<String>,
    /// The moment of the schedule that is meant.
    pub scheduled_time: Option<Timestamp>,
    /// The latest run in which it was seen.
    pub run_id: Option<String>,
    /// Names and values of interest: rows, partitions.
    pub facts: Vec<(String, String)>,
    /// The watcher tries it again by itself.
    pub is_tried_again: bool,
}

impl Finding {
    /// The dedup key, stable for as long as pipeline and step have their names: `orders.load_postgres-orders.failed`.
    pub fn key(&self) -> String {
        let step = self.step.as_ref().map(StepId::to_string);
        let parts = [
            self.pipeline.as_deref().or(Some("watch")),
            step.as_deref(),
            Some(self.incident_kind.name()),
            self.of.as_deref(),
        ];
        parts.into_iter().flatten().map(|part| part.replace(' ', "_")).collect::<Vec<_>>().join(".")
    }

    /// The step that does not come to a good end, where that is what is wrong; its next success ends the incident.
    pub fn stuck_step(&self) -> Option<StepKey> {
        (self.incident_kind != IncidentKind::Quarantine).then(|| self.step_key())?
    }

    pub fn step_key(&self) -> Option<StepKey> {
        StepKey::from_parts(self.pipeline.as_deref()?, self.step.as_ref()?)
    }
}

/// What an address has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// It is to be told, and has not been yet.
    Nothing,
    Opened,
    Flapping,
    Resolved,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The opening that `said` is about.
    pub opening: u64,
    pub said: NotificationState,
    /// Somebody has begun to send; if nothing comes of it, it is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_since: Option<Timestamp>,
    /// Why it could not be sent, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How often it could not be sent, and when that was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<(u32, Timestamp)>,
}

impl Notification {
    /// Of an opening nobody has been told of.
    fn nothing(opening: u64) -> Notification {
        Notification { opening, said: NotificationState::Nothing, sending_since: None, trouble: None, tried: None }
    }
}

/// As it is kept in the lake, one object for each key, from the first opening on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub key: String,
    /// How often it has been opened; with the key it is the incident's id.
    pub opening: u64,
    pub severity: Severity,
    /// As it was last found.
    pub finding: Finding,
    pub opened_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// When it opened, the latest last; those that matter to whether it flaps.
    pub openings: Vec<Timestamp>,
    /// By address.
    #[serde(default)]
    pub told: BTreeMap<String, Notification>,
}

impl Incident {
    /// Opened for the first time.
    pub fn open(finding: Finding, severity: Severity, now: Timestamp) -> Incident {
        Incident {
            key: finding.key(),
            opening: 1,
            severity,
            finding,
            opened_at: now,
            resolved_at: None,
            openings: vec![now],
            told: BTreeMap::new(),
        }
    }

    /// Stable over the life of the incident.
    pub fn id(&self) -> String {
        format!("{}#{}", self.key, self.opening)
    }

    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// It is still wrong, or again.
    pub fn found(&mut self, finding: Finding, severity: Severity, now: Timestamp) {
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

    /// It is wrong no more.
    pub fn resolve(&mut self, now: Timestamp) {
        if self.is_open() {
            self.resolved_at = Some(now);
        }
    }

    /// Whether it opens and resolves again and again.
    pub fn is_flapping(&self, now: Timestamp) -> bool {
        let recent =
            self.openings.iter().filter(|opened| self.opened_at.duration_since(**opened) < FLAP_WINDOW).count();
        let turned = self.resolved_at.unwrap_or(self.opened_at);
        recent >= FLAPS && now.duration_since(turned) < STEADY_AFTER
    }

    /// How often it has opened lately.
    pub fn flaps(&self) -> usize {
        self.openings.len()
    }

    /// From now on these addresses are to be told of this opening.
    pub fn is_for(&mut self, addresses: &[String]) {
        if !self.is_open() {
            return;
        }
        for address in addresses {
            let told = self.told.entry(address.clone()).or_insert(Notification::nothing(self.opening));
            // who has been told that it is over hears of it anew; so does who may have been
            let may_know =
                told.said == NotificationState::Resolved || told.sending_since.is_some() || told.trouble.is_some();
            if may_know && told.opening < self.opening {
                *told = Notification::nothing(self.opening);
            }
            told.opening = self.opening;
        }
    }

    /// What an address is to be told now; `None` if it knows.
    pub fn untold(&self, address: &str, now: Timestamp) -> Option<State> {
        let told = self.told.get(address)?;
        match (self.is_open(), self.is_flapping(now), told.said) {
            // of what it was told before; it is not to be told of this opening
            (_, _, NotificationState::Resolved) => None,
            (_, true, NotificationState::Flapping) | (true, false, NotificationState::Opened) => None,
            (true, true, _) => Some(State::Flapping),
            (true, false, _) => Some(State::Opened),
            (false, _, _) => Some(State::Resolved),
        }
    }

    /// Whether an address knows nothing of this opening.
    pub fn is_unheard_of(&self, address: &str) -> bool {
        self.told.get(address).is_none_or(|told| told.said == NotificationState::Nothing)
    }

    /// Whether this watcher may send: nobody else is about to.
    pub fn is_free(&self, address: &str, now: Timestamp) -> bool {
        let Some(told) = self.told.get(address) else { return true };
        let is_resting = told.tried.is_some_and(|(times, at)| times >= OFTEN && now.duration_since(at) < SELDOM);
        !is_resting && told.sending_since.is_none_or(|since| now.duration_since(since) >= SENDING_FOR)
    }

    pub fn begin(&mut self, address: &str, now: Timestamp) {
        if let Some(told) = self.told.get_mut(address) {
            told.sending_since = Some(now);
        }
    }

    /// What came of sending.
    pub fn end(&mut self, address: &str, sent: &Result<State, String>, now: Timestamp) {
        let Some(told) = self.told.get_mut(address) else { return };
        told.sending_since = None;
        match sent {
            Ok(state) => {
                (told.trouble, told.tried) = (None, None);
                told.said = match state {
                    State::Flapping => NotificationState::Flapping,
                    State::Resolved => NotificationState::Resolved,
                    State::Opened | State::Sample => NotificationState::Opened,
                };
            }
            Err(trouble) => {
                told.trouble = Some(trouble.clone());
                told.tried = Some((told.tried.map_or(0, |(times, _)| times) + 1, now));
            }
        }
    }

    /// It is over before anybody was told, and nobody wanted to be.
    pub fn pass_over(&mut self, address: &str) {
        if let Some(told) = self.told.get_mut(address) {
            told.said = NotificationState::Resolved;
        }
    }

    /// Whether nothing will come of it by itself: over, everybody told, and no flapping to be ended.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        !self.is_open()
            && !self.is_flapping(now)
            && self.told.values().all(|told| told.said == NotificationState::Resolved)
    }
}

#[cfg(test)]
mod tests;
