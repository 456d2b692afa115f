//! Incidents in the lake: opened, brought up to date, resolved, each change only if the incident is as it was seen. Two watchers at once
//! come to one result, and only one of them sends.

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

/// How often an incident that another watcher has changed meanwhile is looked at again.
const ATTEMPTS: usize = 10;

/// So long a pipeline is taken to be there still that this watcher does not know.
const ELSEWHERE: SignedDuration = SignedDuration::from_hours(1);

/// The incidents, and what they are judged by.
pub struct IncidentStore<'a> {
    pub context: &'a Context<'a>,
    pub view: &'a LakeSnapshot<'a>,
    pub silences: &'a Silences,
    /// Steps that do not come to a good end, for whatever reason: what is wrong with them is not over while that lasts.
    pub stuck: BTreeSet<StepKey>,
    pub now: Timestamp,
}

/// An incident as it is kept now.
pub struct StoredIncident {
    pub incident: Incident,
    pub was_open: bool,
    pub is_changed: bool,
    /// Whom this watcher is to tell, and of what; it has said that it will.
    pub claimed: Vec<(Address, State)>,
}

impl IncidentStore<'_> {
    /// Brings one incident up to date; `None` where nothing is wrong, and nothing was.
    pub fn store(
        &self,
        name: &str,
        finding: Option<Finding>,
        state: &WatchState,
    ) -> Result<Option<StoredIncident>, Error> {
        self.change(name, |incident| self.judged(incident, finding.as_ref(), state))
    }

    /// What came of telling.
    pub fn told(&self, name: &str, address: &Address, sent: &Result<State, String>) -> Result<(), Error> {
        let to = address.to_string();
        let end = |incident: Option<Incident>| {
            incident.map(|mut incident| {
                incident.end(&to, sent, self.now);
                (incident, Vec::new())
            })
        };
        self.change(name, end).map(drop)
    }

    /// Changes an incident as it stands, again and again until nobody is in between.
    fn change(
        &self,
        name: &str,
        decide: impl Fn(Option<Incident>) -> Option<(Incident, Vec<(Address, State)>)>,
    ) -> Result<Option<StoredIncident>, Error> {
        let lake = self.context.lake;
        for _ in 0..ATTEMPTS {
            let found = lake.incident(name)?;
            // one that is damaged is opened anew, if it is wrong still
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
        Err(Error::new(ErrorKind::Retry, format!("incident {name} is changed by others all the time"))
            .hint("run again"))
    }

    fn judged(
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
                // what is found anew at each look, or at each scheduled time, has been so since the first
                if incident.is_open() {
                    finding.since = finding.since.min(incident.finding.since);
                }
                let severity = self.severity(&finding);
                incident.found(finding, severity, now);
                incident
            }
            // one that was opened after we looked is not ours to resolve
            (Some(mut incident), None) if incident.opened_at < now && !self.may_last(&incident, state) => {
                incident.resolve(self.ended(&incident, state));
                incident
            }
            (Some(incident), None) => incident,
        };
        let addresses = self.addresses(&incident);
        let wanted: Vec<String> =
            addresses.iter().filter(|(_, least)| incident.severity >= *least).map(|(to, _)| to.to_string()).collect();
        incident.is_for(&wanted);
        let mut claimed = Vec::new();
        let told: Vec<String> = incident.told.keys().cloned().collect();
        for to in told {
            let Some((address, _)) = addresses.iter().find(|(address, _)| address.to_string() == to) else {
                // nobody is named so any more; while it is open, or the file cannot be read, somebody may be again
                if !incident.is_open() && self.knows_whom(&incident, state) {
                    incident.pass_over(&to);
                }
                continue;
            };
            let Some(state) = incident.untold(&to, now) else { continue };
            if self.is_silenced(&incident) {
                if incident.is_unheard_of(&to) && !incident.is_open() {
                    incident.pass_over(&to);
                }
                continue;
            }
            if self.is_quiet(&incident) || !incident.is_free(&to, now) {
                continue;
            }
            incident.begin(&to, now);
            claimed.push((address.clone(), state));
        }
        Some((incident, claimed))
    }

    /// Whether an open incident that was not found this time may not be over.
    fn may_last(&self, incident: &Incident, state: &WatchState) -> bool {
        let finding = &incident.finding;
        let Some(pipeline) = finding.pipeline.as_deref() else { return false };
        let is_stuck = finding.stuck_step().is_some_and(|key| self.stuck.contains(&key));
        // whether one that is broken has been started nobody asks
        let is_unasked = finding.incident_kind == IncidentKind::NotStarted && self.view.is_broken(pipeline);
        let is_elsewhere = self.is_elsewhere(pipeline, state);
        let is_forgotten = incident.opened_at < state.began && !self.is_known_to_be_over(finding, state);
        is_stuck || is_unasked || is_elsewhere || is_forgotten
    }

    /// Whether another watcher has it among its pipelines, or it may come back.
    fn is_elsewhere(&self, pipeline: &str, state: &WatchState) -> bool {
        let seen_at = state.pipelines.get(pipeline).map(|known| known.seen_at);
        !self.view.knows(pipeline) && seen_at.is_some_and(|at| self.now.duration_since(at) < ELSEWHERE)
    }

    /// Of what was opened before the watcher's state was lost, so that not to find it means nothing.
    fn is_known_to_be_over(&self, finding: &Finding, state: &WatchState) -> bool {
        let Some(pipeline) = finding.pipeline.as_deref() else { return true };
        let known = state.pipelines.get(pipeline);
        let Some(step) = &finding.step else {
            let is_scheduled = self.view.pipeline(pipeline).is_some_and(|pipeline| pipeline.schedule.is_some());
            return match finding.incident_kind {
                IncidentKind::NotStarted => {
                    !is_scheduled || known.and_then(|known| known.started) >= finding.scheduled_time
                }
                _ => true,
            };
        };
        let has_been_looked_at = || known.is_some_and(|known| known.looked_at >= state.began);
        let is_seen = match finding.incident_kind {
            IncidentKind::Behind => !matches!(step, StepId::Load(_)) && has_been_looked_at(),
            IncidentKind::Blind => has_been_looked_at(),
            _ => false,
        };
        let well_at = finding.step_key().and_then(|key| state.steps.get(&key)?.well_at);
        is_seen || !self.view.has(pipeline, step) || well_at.is_some_and(|at| at > finding.since)
    }

    /// Whether it is known whom an incident is for: the file of a pipeline that says so may be broken.
    fn knows_whom(&self, incident: &Incident, state: &WatchState) -> bool {
        let pipeline = incident.finding.pipeline.as_deref();
        if pipeline.is_some_and(|name| self.is_elsewhere(name, state)) {
            return false;
        }
        !pipeline.is_some_and(|name| self.view.is_broken(name) && self.view.alerts(name).is_none())
    }

    fn severity(&self, finding: &Finding) -> Severity {
        let alerts = finding.pipeline.as_deref().and_then(|pipeline| self.view.alerts(pipeline));
        alerts.map_or(finding.incident_kind.severity(), |alerts| alerts.severity_of(finding.incident_kind))
    }

    /// When it was over: with the run that went well, where there was one.
    fn ended(&self, incident: &Incident, state: &WatchState) -> Timestamp {
        let finding = &incident.finding;
        let well_at = finding.step_key().and_then(|key| state.steps.get(&key)?.well_at);
        let well_at = well_at.filter(|at| *at > finding.since && *at <= self.now);
        well_at.unwrap_or(self.now)
    }

    /// Whom an incident is for, each with the least severity that is for it: those its pipeline names; everybody, where nobody knows.
    fn addresses(&self, incident: &Incident) -> Vec<(Address, Severity)> {
        let own = incident.finding.pipeline.as_deref().and_then(|pipeline| self.view.alerts(pipeline));
        let mut all = match own {
            Some(alerts) => named(alerts),
            // a file that nobody can read is everybody's; what is open of a pipeline that is not there is for those who know of it
            None if incident.finding.pipeline.is_none() || incident.finding.incident_kind == IncidentKind::Blind => {
                let graph = self.view.graph.pipelines().iter().map(|pipeline| &pipeline.alerts);
                let broken = self.view.broken.iter().filter_map(|broken| broken.alerts.as_ref());
                graph.chain(broken).flat_map(named).collect()
            }
            None => {
                let told = incident.told.keys().filter_map(|text| Address::from_text(text));
                told.map(|address| (address, Severity::Warning)).collect()
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
        let alerts = incident.finding.pipeline.as_deref().and_then(|pipeline| self.view.alerts(pipeline));
        let Some(quiet) = alerts.and_then(|alerts| alerts.quiet.as_ref()) else { return false };
        let is_excepted = quiet.except.is_some_and(|least| incident.severity >= least);
        !is_excepted && quiet.is_quiet(self.now)
    }
}

/// Everybody a pipeline names.
pub fn named(alerts: &Alerts) -> Vec<(Address, Severity)> {
    let slack = alerts.slack.iter().map(|slack| (Address::Slack(slack.secret.clone()), slack.severity));
    let email = alerts.email.iter().map(|email| (Address::Email(email.to.clone()), email.severity));
    slack.chain(email).collect()
}
