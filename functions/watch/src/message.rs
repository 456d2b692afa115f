//! What is told of an incident, before a channel gives it its form.

use jiff::Timestamp;
use tidemark_pipeline::{Severity, StepId};

/// What has become of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Opened,
    /// It opens and resolves again and again; what it does next is not told until it is steady.
    Flapping,
    Resolved,
    /// None at all: somebody tries the channel out.
    Sample,
}

/// One message, the same for every channel. It holds no content of records and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub state: State,
    pub severity: Severity,
    /// Stable over the life of the incident: `orders/clean/failed#3`.
    pub incident: String,
    pub pipeline: String,
    pub step: Option<StepId>,
    /// One line on what is or was wrong, the same for the life of the incident: `orders: load postgres-orders failed`. What has become
    /// of it (critical, flapping, over) is put before it by the channels.
    pub title: String,
    /// What is wrong and why, in a few lines; of one that is over, what ended it.
    pub what: String,
    /// Names and values: `Scheduled` → `2026-11-26 08:00 UTC`, `Rows` → `1,204 in, 17 quarantined`.
    pub facts: Vec<(String, String)>,
    /// What happens next by itself; empty if nothing does.
    pub next: String,
    /// The exact command for a terminal, on one line, if that is not enough.
    pub command: Option<String>,
    /// Link to the run record, or its path.
    pub record: Option<String>,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}
