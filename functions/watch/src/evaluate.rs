//! Derives all current problems from the watcher's state and the pipeline definitions. Pure: the same state at the same time gives the same
//! findings.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
#[cfg(test)]
pub(crate) use tests::graph;
use tidemark_flow::{BrokenPipeline, thousands};
use tidemark_pipeline::{Alerts, Graph, IncidentKind, Pipeline, StepId};

use crate::incident::Finding;
use crate::step_key::StepKey;
use crate::step_state::{Failing, QuarantineSpike, RunInProgress, StepState, Unobservable};
use crate::watch_state::WatchState;

/// The pipeline definitions that the watcher evaluates.
pub struct LakeSnapshot<'a> {
    pub graph: &'a Graph,
    pub broken: &'a [BrokenPipeline],
    /// Arguments by which the command `tidemark` finds the same pipelines, such as ` --pipelines shop --set SALES=in`, without the lake.
    pub arguments: String,
}

/// A transient error that lasts longer than this is reported.
const RETRY_GRACE: SignedDuration = SignedDuration::from_mins(10);
/// Longer than an invocation may take: a run that should have been continued within this time was lost.
pub(crate) const MAX_CONTINUATION_DELAY: SignedDuration = SignedDuration::from_mins(20);
/// How long an unroutable event is reported.
const UNROUTABLE_FOR: SignedDuration = SignedDuration::from_hours(24);

impl LakeSnapshot<'_> {
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.graph.pipelines().iter().find(|pipeline| pipeline.name.as_str() == name)
    }

    /// The `[alerts]` of a pipeline, as far as they can be read.
    pub fn alerts(&self, name: &str) -> Option<&Alerts> {
        let broken = || self.broken.iter().find(|broken| broken.pipeline == name)?.alerts.as_ref();
        self.pipeline(name).map(|pipeline| &pipeline.alerts).or_else(broken)
    }

    /// Whether the pipeline exists, broken or not.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.pipeline(name).is_some() || self.is_broken(name)
    }

    pub(crate) fn is_broken(&self, name: &str) -> bool {
        self.pipeline(name).is_none() && self.broken.iter().any(|broken| broken.pipeline == name)
    }

    /// Whether this is a step of an existing pipeline. The steps of a broken pipeline are unknown, so any step is accepted.
    pub(crate) fn has(&self, pipeline: &str, step: &StepId) -> bool {
        let is_step = |known: &Pipeline| self.graph.steps_of(&known.name).any(|of| of == step);
        self.pipeline(pipeline).map_or_else(|| self.broken.iter().any(|broken| broken.pipeline == pipeline), is_step)
    }
}

/// All current problems.
pub fn findings(state: &WatchState, snapshot: &LakeSnapshot<'_>, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, last) in &state.steps {
        let pipeline = key.pipeline.as_str();
        if snapshot.has(pipeline, &key.step) {
            let of_step = Finding { step: Some(key.step.clone()), ..pipeline_finding(pipeline) };
            let under_way = state.running_since(key, now);
            found.extend(step_findings(last, &of_step, snapshot.alerts(pipeline), under_way, now));
        }
    }
    for pipeline in snapshot.graph.pipelines() {
        found.extend(not_started(state, pipeline, now));
    }
    found.extend(
        snapshot.broken.iter().filter(|broken| !broken.is_consequence).map(|broken| broken_definition(broken, now)),
    );
    found.extend(state.unreadable.iter().map(|(run_id, unreadable)| Finding {
        qualifier: Some(run_id.clone()),
        since: unreadable.since,
        what: format!("run record runs/{}/{run_id}.json cannot be read: {}", unreadable.day, unreadable.why),
        hint: Some("delete it; no step depends on run records".into()),
        ..unobservable()
    }));
    found.extend(state.unroutable.iter().filter(|event| now.duration_since(event.at) < UNROUTABLE_FOR).map(|event| {
        Finding {
            qualifier: Some(event.by.clone()),
            since: event.at,
            what: format!("{} could not handle an event without a known step: {}", event.by, event.why),
            hint: Some("check the message, and fix the rule that routed it there".into()),
            ..unobservable()
        }
    }));
    // several unroutable events of one origin are one finding
    found.sort_by_key(Finding::key);
    found.dedup_by_key(|finding| finding.key());
    found
}

fn new_finding(incident_kind: IncidentKind) -> Finding {
    Finding {
        pipeline: None,
        step: None,
        incident_kind,
        qualifier: None,
        since: Timestamp::UNIX_EPOCH,
        count: 1,
        what: String::new(),
        kind: None,
        hint: None,
        scheduled_time: None,
        run_id: None,
        facts: Vec::new(),
        is_tried_again: false,
    }
}

fn unobservable() -> Finding {
    new_finding(IncidentKind::Unobservable)
}

fn pipeline_finding(name: &str) -> Finding {
    Finding { pipeline: Some(name.to_owned()), ..new_finding(IncidentKind::Failed) }
}

/// The findings of one step: the first that applies of failed, dead, unobservable and behind, which explains the others; and independently
/// of these a quarantine spike.
fn step_findings(
    last: &StepState,
    of: &Finding,
    alerts: Option<&Alerts>,
    under_way: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(failing) = &last.failing {
        found.extend(failed(failing, of, now));
    } else if let Some(lost) = dead_run(last, under_way, now) {
        found.push(never_ended(last, lost, of));
    } else if let Some(Unobservable { since, error }) = &last.unobservable {
        found.push(Finding {
            incident_kind: IncidentKind::Unobservable,
            qualifier: Some("log".into()),
            since: *since,
            what: error.message.clone(),
            kind: Some(error.kind),
            hint: error.hint.clone(),
            ..of.clone()
        });
    } else if let Some(since) = last.behind_since {
        let within = alerts.map_or(Alerts::default().caught_up_within_s, |alerts| alerts.caught_up_within_s);
        let has_been_announced = under_way.is_some() || last.announced_at.is_some_and(|at| at >= since);
        if has_been_announced && now.duration_since(since).as_secs() >= i64::try_from(within).unwrap_or(i64::MAX) {
            found.push(behind(since, under_way, of));
        }
    }
    found.extend(last.quarantine_spike.as_ref().map(|spike| quarantine(spike, of, alerts)));
    found
}

fn behind(since: Timestamp, under_way: Option<Timestamp>, of: &Finding) -> Finding {
    let why = match under_way {
        Some(started) => format!("a run of it has been in progress since {}", format_time(started)),
        None => "announcing it again did not help".to_owned(),
    };
    Finding {
        incident_kind: IncidentKind::Behind,
        since,
        what: format!("its input has a newer version, which it has not processed; {why}"),
        is_tried_again: under_way.is_none(),
        ..of.clone()
    }
}

fn failed(failing: &Failing, of: &Finding, now: Timestamp) -> Option<Finding> {
    let error = &failing.error;
    if !failing.is_final && now.duration_since(failing.since) < RETRY_GRACE {
        return None;
    }
    let mut facts = failing.facts.clone();
    facts.push(("Failed runs".to_owned(), thousands(failing.count)));
    Some(Finding {
        incident_kind: if error.over_budget { IncidentKind::OverBudget } else { IncidentKind::Failed },
        since: failing.since,
        count: failing.count,
        what: error.message.clone(),
        kind: Some(error.kind),
        hint: error.hint.clone(),
        scheduled_time: Some(failing.scheduled_time),
        run_id: Some(failing.run_id.clone()).filter(|run_id| !run_id.is_empty()),
        facts,
        is_tried_again: failing.is_tried_again(),
        ..of.clone()
    })
}

/// A run that died: its heartbeat stopped, or it was not continued in time.
pub(crate) fn dead_run(last: &StepState, under_way: Option<Timestamp>, now: Timestamp) -> Option<&RunInProgress> {
    let is_over =
        |run: &&RunInProgress| under_way.is_none() && now.duration_since(run.alive_at) >= MAX_CONTINUATION_DELAY;
    last.lost.as_ref().or_else(|| last.continues.as_ref().filter(is_over))
}

fn never_ended(last: &StepState, run: &RunInProgress, of: &Finding) -> Finding {
    let (began, ended) = (run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC"), run.alive_at.strftime("%H:%M:%S UTC"));
    let is_lost = last.lost.is_some();
    Finding {
        incident_kind: IncidentKind::NeverEnded,
        since: run.started_at,
        what: if is_lost {
            format!(
                "run {} began at {began} and sent its last heartbeat at {ended}; it was killed, or its machine stopped. It \
                 published nothing.",
                run.run_id
            )
        } else {
            format!(
                "run {} began at {began} and saved its progress at {ended}, and has not been continued. It published nothing.",
                run.run_id
            )
        },
        scheduled_time: Some(run.scheduled_time),
        // a killed run has written no record
        run_id: (!is_lost).then(|| run.run_id.clone()),
        is_tried_again: true,
        ..of.clone()
    }
}

/// Steps that do not succeed at present, for whatever reason. Their incidents stay open until they succeed.
pub(crate) fn stuck(state: &WatchState, snapshot: &LakeSnapshot<'_>, found: &[Finding]) -> BTreeSet<StepKey> {
    let is_stuck = |last: &StepState| last.failing.is_some() || last.lost.is_some() || last.continues.is_some();
    let is_there = |key: &StepKey| snapshot.has(key.pipeline.as_str(), &key.step);
    let known = state.steps.iter().filter(|(key, last)| is_stuck(last) && is_there(key)).map(|(key, _)| key.clone());
    known.chain(found.iter().filter_map(Finding::stuck_step)).collect()
}

fn quarantine(spike: &QuarantineSpike, of: &Finding, alerts: Option<&Alerts>) -> Finding {
    let QuarantineSpike { quarantined, rows_in, .. } = *spike;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let share = percent(quarantined as f64 / rows_in.max(1) as f64);
    let against = match (alerts.and_then(|alerts| alerts.max_quarantined), spike.usual) {
        (Some(budget), _) => format!("more than max_quarantined = {budget} of [alerts]"),
        (None, Some(usual)) => format!("usual are {}", percent(usual)),
        (None, None) => "more than usual".to_owned(),
    };
    let (quarantined, rows_in) = (thousands(quarantined), thousands(rows_in));
    Finding {
        incident_kind: IncidentKind::Quarantine,
        since: spike.at,
        what: format!(
            "{quarantined} of {rows_in} records ({share}) went into quarantine; {against}. The others were published."
        ),
        scheduled_time: Some(spike.scheduled_time),
        run_id: Some(spike.run_id.clone()),
        facts: vec![("Rows".to_owned(), format!("{rows_in} in, {quarantined} quarantined"))],
        ..of.clone()
    }
}

/// The scheduled time for which a pipeline should have been started by now, and was not.
pub(crate) fn missed(state: &WatchState, pipeline: &Pipeline, now: Timestamp) -> Option<Timestamp> {
    let schedule = pipeline.schedule.as_ref()?;
    let known = state.pipelines.get(pipeline.name.as_str())?;
    // the platform counts some rates from when the schedule was created, so its times differ from ours by less than a period
    let adrift = schedule.period_s().filter(|_| schedule.expression().is_adrift).unwrap_or_default();
    let within = pipeline.alerts.start_within_s as i64 + adrift;
    let latest = now.checked_sub(SignedDuration::from_secs(within)).ok()?;
    let expected = schedule.previous(latest)?;
    // the missed times are being caught up on; give that the time of a regular start
    if known.catch_up_started_at.is_some_and(|at| at > latest) {
        return None;
    }
    (expected > known.since && known.started.is_none_or(|started| started < expected)).then_some(expected)
}

fn not_started(state: &WatchState, pipeline: &Pipeline, now: Timestamp) -> Option<Finding> {
    let expected = missed(state, pipeline, now)?;
    let schedule = pipeline.schedule.as_ref()?;
    let known = state.pipelines.get(pipeline.name.as_str())?;
    let last =
        known.started.map(|started| format!("; the last start was for {}", format_time(started))).unwrap_or_default();
    Some(Finding {
        incident_kind: IncidentKind::NotStarted,
        since: expected,
        what: format!("its schedule ({schedule}) was due at {}, and it was not started{last}", format_time(expected)),
        hint: Some("check that its schedule exists, is enabled, and may invoke function ingest".into()),
        scheduled_time: Some(expected),
        is_tried_again: true,
        ..pipeline_finding(pipeline.name.as_str())
    })
}

fn broken_definition(broken: &BrokenPipeline, now: Timestamp) -> Finding {
    Finding {
        pipeline: Some(broken.pipeline.clone()),
        qualifier: Some("definition".to_owned()),
        since: now,
        what: broken.error.full_message(),
        kind: Some(broken.error.kind),
        hint: broken.error.hint.clone(),
        ..unobservable()
    }
}

/// Formats a time: `2026-11-26 08:00 UTC`.
pub(crate) fn format_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
