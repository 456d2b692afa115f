//! A message on an incident, before a channel renders it.

use jiff::Timestamp;
use tidemark_pipeline::{Severity, StepId};

/// The state of an incident that a message reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Opened,
    /// It keeps opening and resolving; nothing more is reported until it is steady.
    Flapping,
    Resolved,
    /// A test message to try a channel.
    Sample,
}

/// One message, the same for every channel. It contains no record content and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub state: State,
    pub severity: Severity,
    /// Stable over the life of the incident: `orders/clean/failed#3`.
    pub incident: String,
    pub pipeline: String,
    pub step: Option<StepId>,
    /// One line that says what is or was wrong, the same for the life of the incident: `orders: load postgres-orders failed`. The channels
    /// put the state (critical, flapping, over) before it.
    pub title: String,
    /// What is wrong and why, in a few lines; for a resolved incident, what ended it.
    pub what: String,
    /// Facts as names and values: `Scheduled` → `2026-11-26 08:00 UTC`, `Rows` → `1,204 in, 17 quarantined`.
    pub facts: Vec<(String, String)>,
    /// What happens next automatically; empty if nothing does.
    pub next: String,
    /// The exact command for a terminal, on one line, in case that is not enough.
    pub command: Option<String>,
    /// Link to the run record, or its path.
    pub record: Option<String>,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}
