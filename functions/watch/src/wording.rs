//! The texts of messages: what is wrong, what happens next automatically, and what to do if that is not enough.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::ErrorKind;
use tidemark_pipeline::{IncidentKind, StepId};

use crate::evaluate::format_time;
use crate::incident::{Finding, Incident};
use crate::incident_store::IncidentStore;
use crate::message::{Message, State};

/// Builds the message on an incident.
pub fn message(incident: &Incident, state: State, store: &IncidentStore<'_>) -> Message {
    let finding = &incident.finding;
    let pipeline = finding.pipeline.clone().unwrap_or_else(|| NO_PIPELINE.to_owned());
    let is_over = state == State::Resolved;
    Message {
        state,
        severity: incident.severity,
        incident: incident.id(),
        title: title(finding),
        what: if is_over { resolution(incident, store) } else { problem(incident, state) },
        facts: facts(finding),
        next: if is_over { String::new() } else { next(finding, store) },
        command: if is_over { None } else { command(finding, store) },
        record: finding.run_id.as_deref().and_then(|run_id| record(run_id, store)),
        opened_at: finding.since,
        resolved_at: incident.resolved_at.filter(|_| is_over),
        step: finding.step.clone(),
        pipeline,
    }
}

/// Stands for the pipeline if an incident belongs to none.
const NO_PIPELINE: &str = "tidemark";

/// The title: what is wrong, in one line. It stays the same while the incident lasts.
pub fn title(finding: &Finding) -> String {
    format!("{}: {}", finding.pipeline.as_deref().unwrap_or(NO_PIPELINE), problem_title(finding))
}

fn problem_title(finding: &Finding) -> String {
    let step = finding.step.as_ref().map(StepId::to_string).unwrap_or_default();
    match finding.incident_kind {
        IncidentKind::Failed => format!("{step} failed"),
        IncidentKind::OverBudget => format!("{step} is over its error budget, nothing published"),
        IncidentKind::Quarantine => format!("{step} put many records into quarantine"),
        IncidentKind::NotStarted => "did not start on schedule".to_owned(),
        IncidentKind::Behind => format!("{step} is behind its input"),
        IncidentKind::NeverEnded => format!("{step} started and never ended"),
        IncidentKind::Unobservable => match (&finding.pipeline, &finding.qualifier) {
            (Some(_), Some(of)) if of == "definition" => "its pipeline file is invalid, so it does not run".to_owned(),
            (Some(_), _) => format!("{step} cannot be watched"),
            (None, _) => "something cannot be watched".to_owned(),
        },
    }
}

fn problem(incident: &Incident, state: State) -> String {
    let finding = &incident.finding;
    let mut text = finding.what.clone();
    if let Some(hint) = &finding.hint {
        text = format!("{text}\n→ {hint}");
    }
    match state {
        State::Flapping => format!(
            "It has opened {} times within a day. Its notifications are paused until it has been stable for 6 hours.\n{text}",
            incident.flap_count()
        ),
        _ => text,
    }
}

fn resolution(incident: &Incident, store: &IncidentStore<'_>) -> String {
    let finding = &incident.finding;
    let resolved_at = incident.resolved_at.unwrap_or(incident.opened_at);
    let lasted = lasted(resolved_at.duration_since(finding.since));
    let is_removed = |pipeline: &String| match &finding.step {
        Some(step) => !store.snapshot.has(pipeline, step),
        None => !store.snapshot.knows(pipeline),
    };
    let by = match finding.incident_kind {
        _ if finding.pipeline.as_ref().is_some_and(is_removed) => "It no longer exists",
        IncidentKind::Failed | IncidentKind::OverBudget | IncidentKind::NeverEnded => "The step has succeeded again",
        IncidentKind::Quarantine => "The next run quarantined few records",
        IncidentKind::NotStarted => "The pipeline has been started, or its schedule has changed",
        IncidentKind::Behind => "The step has caught up with its input",
        IncidentKind::Unobservable => "It can be watched again",
    };
    format!("{by}; it lasted {lasted}. What was wrong: {}", finding.what)
}

/// Facts of a message, in addition to the times that every message has.
fn facts(finding: &Finding) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(at) = finding.scheduled_time {
        fact("Scheduled", format_time(at));
    }
    if let Some(kind) = finding.kind {
        fact("Kind", format!("{kind} ({})", meaning(kind)));
    }
    facts.extend(finding.facts.iter().cloned());
    facts
}

fn meaning(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retry => "temporary, may resolve by itself",
        ErrorKind::Definition => "the pipeline file, or something it refers to, must be corrected",
        ErrorKind::Data => "the data must be corrected",
        ErrorKind::Refused => "too large, or not allowed",
        ErrorKind::Bug => "a bug in Tidemark",
    }
}

fn next(finding: &Finding, store: &IncidentStore<'_>) -> String {
    let pipeline = finding.pipeline.as_deref().and_then(|name| store.snapshot.pipeline(name));
    let schedule = pipeline.and_then(|pipeline| pipeline.schedule.as_ref());
    let scheduled = schedule.and_then(|schedule| schedule.next(store.now)).map(format_time);
    let at = scheduled.map(|at| format!(" at {at}")).unwrap_or_default();
    match finding.incident_kind {
        IncidentKind::NotStarted => format!(
            "The watcher has started it now for this time, and repeats this every half hour until it runs. The schedule is next due{at}."
        ),
        IncidentKind::Quarantine => "Nothing: valid records were published, invalid ones are in quarantine.".to_owned(),
        IncidentKind::Unobservable if finding.pipeline.is_some() => "Nothing, until it is fixed.".to_owned(),
        IncidentKind::Unobservable => "Everything else is still watched.".to_owned(),
        _ if finding.is_tried_again && at.is_empty() => "It is tried again every half hour.".to_owned(),
        _ if finding.is_tried_again => {
            format!("It is tried again every half hour, and with the next scheduled run{at}.")
        }
        _ if at.is_empty() => "Nothing, until it is run again.".to_owned(),
        _ => format!(
            "It runs again{at}, and will fail the same way if nothing has been fixed. What was published before is unchanged."
        ),
    }
}

/// The command to run in a terminal, in the folder of the pipelines.
fn command(finding: &Finding, store: &IncidentStore<'_>) -> Option<String> {
    let place = store.context.lake.store().place();
    let lake = if place == "lake" { String::new() } else { format!(" --lake {}", quoted(place)) };
    let arguments = &store.snapshot.arguments;
    let pipeline = finding.pipeline.as_deref();
    match finding.incident_kind {
        IncidentKind::Quarantine => {
            let pipeline = store.snapshot.pipeline(pipeline?)?;
            let dataset = &pipeline.contract.as_ref()?.dataset;
            Some(format!("tidemark quarantine list {dataset}{lake}"))
        }
        IncidentKind::Unobservable if finding.qualifier.as_deref() == Some("definition") => {
            Some(format!("tidemark check{arguments}"))
        }
        IncidentKind::Unobservable => None,
        _ => {
            let at = finding.scheduled_time.map(|at| format!(" --at {at}")).unwrap_or_default();
            Some(format!("tidemark run {}{at}{lake}{arguments}", pipeline?))
        }
    }
}

/// Quotes a text for a shell, if necessary.
pub fn quoted(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-:=@%+,".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn record(run_id: &str, store: &IncidentStore<'_>) -> Option<String> {
    let day = run_id.get(..8)?;
    let day = format!("{}-{}-{}", day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    Some(format!("{}/runs/{day}/{run_id}.json", store.context.lake.store().place()))
}

/// Formats a duration: `2 h 05 min`.
pub fn lasted(duration: SignedDuration) -> String {
    let minutes = duration.as_mins().max(0);
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A sample message, which shows what an alert looks like.
pub fn sample(pipeline: &str, now: Timestamp, place: &str) -> Message {
    Message {
        state: State::Sample,
        severity: tidemark_pipeline::Severity::Warning,
        incident: format!("{pipeline}.sample#1"),
        pipeline: pipeline.to_owned(),
        step: Some(StepId::Clean),
        title: format!("{pipeline}: this is what an alert looks like"),
        what: "Nothing is wrong: this is a test by `tidemark alerts test`. A real message describes here what failed, and why."
            .to_owned(),
        facts: vec![
            ("Scheduled".to_owned(), format_time(now)),
            ("Rows".to_owned(), "1,204 in, 17 quarantined".to_owned()),
        ],
        next: "Nothing. A real message describes here what happens next automatically.".to_owned(),
        command: Some(format!("tidemark run {pipeline}")),
        record: Some(format!("{place}/runs")),
        opened_at: now,
        resolved_at: None,
    }
}
