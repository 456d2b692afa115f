//! Stores incidents in the lake. Each change is a conditional write that fails if another watcher has changed the incident meanwhile. So
//! concurrent watchers come to the same result, and only one of them sends each notification.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_pipeline::{Alerts, IncidentKind, Severity, StepId};

use crate::channel::Address;
use crate::evaluate::LakeSnapshot;
use crate::incident::{Finding, Incident};
use crate::message::State;
use crate::silence::Silences;
use crate::step_key::StepKey;
use crate::watch_state::WatchState;

/// How often a change of an incident is attempted if other watchers change it at the same time.
const ATTEMPTS: usize = 10;

/// How long a pipeline that this watcher does not know is assumed to belong to another watcher, since its last sighting.
const OTHER_WATCHER_FOR: SignedDuration = SignedDuration::from_hours(1);

/// The stored incidents, with everything that decides about them.
pub struct IncidentStore<'a> {
    pub context: &'a Context<'a>,
    pub snapshot: &'a LakeSnapshot<'a>,
    pub silences: &'a Silences,
    /// Steps that do not succeed at present, for whatever reason. Their incidents stay open until they succeed.
    pub stuck: BTreeSet<StepKey>,
    pub now: Timestamp,
}

/// An incident as it is stored now.
pub struct StoredIncident {
    pub incident: Incident,
    pub was_open: bool,
    pub is_changed: bool,
    /// The notifications that this watcher has claimed to send, by address.
    pub claimed: Vec<(Address, State)>,
}

impl IncidentStore<'_> {
    /// Updates one incident. Returns `None` if there is no problem and there is no stored incident.
    pub fn store(
        &self,
        name: &str,
        finding: Option<Finding>,
        state: &WatchState,
    ) -> Result<Option<StoredIncident>, Error> {
        self.change(name, |incident| self.updated(incident, finding.as_ref(), state))
    }

    /// Records the result of sending a notification.
    pub fn record_delivery(&self, name: &str, address: &Address, sent: &Result<State, String>) -> Result<(), Error> {
        let to = address.to_string();
        let end = |incident: Option<Incident>| {
            incident.map(|mut incident| {
                incident.record_delivery(&to, sent, self.now);
                (incident, Vec::new())
            })
        };
        self.change(name, end).map(drop)
    }

    /// Applies a change to the stored incident, and retries while other watchers change it too.
    fn change(
        &self,
        name: &str,
        decide: impl Fn(Option<Incident>) -> Option<(Incident, Vec<(Address, State)>)>,
    ) -> Result<Option<StoredIncident>, Error> {
        let lake = self.context.lake;
        for _ in 0..ATTEMPTS {
            let found = lake.incident(name)?;
            // a damaged incident counts as missing, and is opened again if the problem persists
            let before: Option<Incident> = found.as_ref().and_then(|(bytes, _)| {
                serde_json::from_slice(bytes)
                    .map_err(|error| tracing::warn!(%error, incident = name, "an incident cannot be read"))
                    .ok()
            });
            let Some((incident, claimed)) = decide(before.clone()) else { return Ok(None) };
            let was_open = before.as_ref().is_some_and(Incident::is_open);
            if before.as_ref() == Some(&incident) {
                return Ok(Some(StoredIncident { incident, was_open, is_changed: false, claimed }));
            }
            let json = serde_json::to_vec(&incident)
                .map_err(|error| Error::new(ErrorKind::Bug, "an incident cannot be written").because(error))?;
            if lake.put_incident(name, json, found.as_ref().map(|(_, seen)| seen))? {
                return Ok(Some(StoredIncident { incident, was_open, is_changed: true, claimed }));
            }
        }
        Err(Error::new(ErrorKind::Retry, format!("incident {name} keeps being changed by other watchers"))
            .hint("run again"))
    }

    fn updated(
        &self,
        before: Option<Incident>,
        finding: Option<&Finding>,
        state: &WatchState,
    ) -> Option<(Incident, Vec<(Address, State)>)> {
        let now = self.now;
        let mut incident = match (before, finding) {
            (None, None) => return None,
            (None, Some(finding)) => Incident::open(finding.clone(), self.severity(finding), now),
            (Some(mut incident), Some(finding)) => {
                let mut finding = finding.clone();
                // a problem that is found again in each tick, or at each scheduled time, began when it was first found
                if incident.is_open() {
                    finding.since = finding.since.min(incident.finding.since);
                }
                let severity = self.severity(&finding);
                incident.update(finding, severity, now);
                incident
            }
            // an incident that another watcher opened after this tick began must not be resolved here
            (Some(mut incident), None) if incident.opened_at < now && !self.may_persist(&incident, state) => {
                incident.resolve(self.resolution_time(&incident, state));
                incident
            }
            (Some(incident), None) => incident,
        };
        let addresses = self.addresses(&incident);
        let wanted: Vec<String> =
            addresses.iter().filter(|(_, least)| incident.severity >= *least).map(|(to, _)| to.to_string()).collect();
        incident.add_recipients(&wanted);
        let mut claimed = Vec::new();
        let known: Vec<String> = incident.notifications.keys().cloned().collect();
        for to in known {
            let Some((address, _)) = addresses.iter().find(|(address, _)| address.to_string() == to) else {
                // the address is no longer a recipient; but while the incident is open, or the file is unreadable, it may become one again
                if !incident.is_open() && self.has_known_recipients(&incident, state) {
                    incident.skip(&to);
                }
                continue;
            };
            let Some(state) = incident.pending_notification(&to, now) else { continue };
            if self.is_silenced(&incident) {
                if incident.was_never_notified(&to) && !incident.is_open() {
                    incident.skip(&to);
                }
                continue;
            }
            if self.is_quiet(&incident) || !incident.may_send(&to, now) {
                continue;
            }
            incident.claim(&to, now);
            claimed.push((address.clone(), state));
        }
        Some((incident, claimed))
    }

    /// Whether an open incident that was not found in this tick may nevertheless persist.
    fn may_persist(&self, incident: &Incident, state: &WatchState) -> bool {
        let finding = &incident.finding;
        let Some(pipeline) = finding.pipeline.as_deref() else { return false };
        let is_stuck = finding.stuck_step().is_some_and(|key| self.stuck.contains(&key));
        // starts of broken pipelines are not evaluated
        let is_unasked = finding.incident_kind == IncidentKind::NotStarted && self.snapshot.is_broken(pipeline);
        let is_elsewhere = self.may_be_elsewhere(pipeline, state);
        let is_forgotten = incident.opened_at < state.began && !self.is_known_to_be_over(finding, state);
        is_stuck || is_unasked || is_elsewhere || is_forgotten
    }

    /// Whether the pipeline may belong to another watcher, or may come back.
    fn may_be_elsewhere(&self, pipeline: &str, state: &WatchState) -> bool {
        let seen_at = state.pipelines.get(pipeline).map(|known| known.seen_at);
        !self.snapshot.knows(pipeline) && seen_at.is_some_and(|at| self.now.duration_since(at) < OTHER_WATCHER_FOR)
    }

    /// Whether a problem is known to be over, for incidents opened before the watcher's state was lost. For these it proves nothing that
    /// the problem was not found.
    fn is_known_to_be_over(&self, finding: &Finding, state: &WatchState) -> bool {
        let Some(pipeline) = finding.pipeline.as_deref() else { return true };
        let known = state.pipelines.get(pipeline);
        let Some(step) = &finding.step else {
            let is_scheduled = self.snapshot.pipeline(pipeline).is_some_and(|pipeline| pipeline.schedule.is_some());
            return match finding.incident_kind {
                IncidentKind::NotStarted => {
                    !is_scheduled || known.and_then(|known| known.started) >= finding.scheduled_time
                }
                _ => true,
            };
        };
        let is_checked = || known.is_some_and(|known| known.checked_at >= state.began);
        let is_seen = match finding.incident_kind {
            IncidentKind::Behind => !matches!(step, StepId::Load(_)) && is_checked(),
            IncidentKind::Unobservable => is_checked(),
            _ => false,
        };
        let success_at = finding.step_key().and_then(|key| state.steps.get(&key)?.last_success_started_at);
        is_seen || !self.snapshot.has(pipeline, step) || success_at.is_some_and(|at| at > finding.since)
    }

    /// Whether the recipients of an incident are known. The pipeline file that names them may be broken.
    fn has_known_recipients(&self, incident: &Incident, state: &WatchState) -> bool {
        let pipeline = incident.finding.pipeline.as_deref();
        if pipeline.is_some_and(|name| self.may_be_elsewhere(name, state)) {
            return false;
        }
        !pipeline.is_some_and(|name| self.snapshot.is_broken(name) && self.snapshot.alerts(name).is_none())
    }

    fn severity(&self, finding: &Finding) -> Severity {
        let alerts = finding.pipeline.as_deref().and_then(|pipeline| self.snapshot.alerts(pipeline));
        alerts.map_or(finding.incident_kind.severity(), |alerts| alerts.severity_of(finding.incident_kind))
    }

    /// When the problem ended: at the start of the successful run, if there was one.
    fn resolution_time(&self, incident: &Incident, state: &WatchState) -> Timestamp {
        let finding = &incident.finding;
        let success_at = finding.step_key().and_then(|key| state.steps.get(&key)?.last_success_started_at);
        let success_at = success_at.filter(|at| *at > finding.since && *at <= self.now);
        success_at.unwrap_or(self.now)
    }

    /// The recipients of an incident, each with its minimum severity: those of its pipeline, or all recipients if the file of the pipeline
    /// is unreadable.
    fn addresses(&self, incident: &Incident) -> Vec<(Address, Severity)> {
        let own = incident.finding.pipeline.as_deref().and_then(|pipeline| self.snapshot.alerts(pipeline));
        let mut all = match own {
            Some(alerts) => recipients(alerts),
            // a problem of the watcher or of an unreadable file is for everybody; open incidents of a pipeline that no longer exists are
            // for the addresses notified so far
            None if incident.finding.pipeline.is_none()
                || incident.finding.incident_kind == IncidentKind::Unobservable =>
            {
                let graph = self.snapshot.graph.pipelines().iter().map(|pipeline| &pipeline.alerts);
                let broken = self.snapshot.broken.iter().filter_map(|broken| broken.alerts.as_ref());
                graph.chain(broken).flat_map(recipients).collect()
            }
            None => {
                let known = incident.notifications.keys().filter_map(|text| Address::from_text(text));
                known.map(|address| (address, Severity::Warning)).collect()
            }
        };
        all.sort();
        all.dedup_by(|b, a| a.0 == b.0);
        all
    }

    fn is_silenced(&self, incident: &Incident) -> bool {
        incident.finding.pipeline.as_deref().is_some_and(|pipeline| self.silences.get(pipeline).is_some())
    }

    fn is_quiet(&self, incident: &Incident) -> bool {
        let alerts = incident.finding.pipeline.as_deref().and_then(|pipeline| self.snapshot.alerts(pipeline));
        let Some(quiet) = alerts.and_then(|alerts| alerts.quiet.as_ref()) else { return false };
        let is_excepted = quiet.except.is_some_and(|least| incident.severity >= least);
        !is_excepted && quiet.is_quiet(self.now)
    }
}

/// All recipients that a pipeline names, each with its minimum severity.
pub fn recipients(alerts: &Alerts) -> Vec<(Address, Severity)> {
    let slack = alerts.slack.iter().map(|slack| (Address::Slack(slack.secret.clone()), slack.severity));
    let email = alerts.email.iter().map(|email| (Address::Email(email.to.clone()), email.severity));
    slack.chain(email).collect()
}
