//! What is said of an incident: what is wrong, what happens next by itself, and what to do if that is not enough.

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::ErrorKind;
use tidemark_pipeline::{IncidentKind, StepId};

use crate::evaluate::shown;
use crate::incident::{Finding, Incident};
use crate::incident_store::IncidentStore;
use crate::message::{Message, State};

/// The message on an incident.
pub fn message(incident: &Incident, state: State, register: &IncidentStore<'_>) -> Message {
    let finding = &incident.finding;
    let pipeline = finding.pipeline.clone().unwrap_or_else(|| NOBODY.to_owned());
    let is_over = state == State::Resolved;
    Message {
        state,
        severity: incident.severity,
        incident: incident.id(),
        title: title(finding),
        what: if is_over { over(incident, register) } else { wrong(incident, state) },
        facts: facts(finding),
        next: if is_over { String::new() } else { next(finding, register) },
        command: if is_over { None } else { command(finding, register) },
        record: finding.run_id.as_deref().and_then(|run_id| record(run_id, register)),
        opened_at: finding.since,
        resolved_at: incident.resolved_at.filter(|_| is_over),
        step: finding.step.clone(),
        pipeline,
    }
}

/// In place of a pipeline, where it is none's.
const NOBODY: &str = "tidemark";

/// What is wrong, in one line, the same for as long as it is.
pub fn title(finding: &Finding) -> String {
    format!("{}: {}", finding.pipeline.as_deref().unwrap_or(NOBODY), trouble(finding))
}

fn trouble(finding: &Finding) -> String {
    let step = finding.step.as_ref().map(StepId::to_string).unwrap_or_default();
    match finding.incident_kind {
        IncidentKind::Failed => format!("{step} failed"),
        IncidentKind::OverBudget => format!("{step} is over its error budget, nothing published"),
        IncidentKind::Quarantine => format!("{step} put many records into quarantine"),
        IncidentKind::NotStarted => "did not start on schedule".to_owned(),
        IncidentKind::Behind => format!("{step} is behind its input"),
        IncidentKind::NeverEnded => format!("{step} started and never ended"),
        IncidentKind::Blind => match (&finding.pipeline, &finding.of) {
            (Some(_), Some(of)) if of == "definition" => "its pipeline file is broken, nothing of it runs".to_owned(),
            (Some(_), _) => format!("{step} cannot be watched"),
            (None, _) => "something cannot be watched".to_owned(),
        },
    }
}

fn wrong(incident: &Incident, state: State) -> String {
    let finding = &incident.finding;
    let mut text = finding.what.clone();
    if let Some(hint) = &finding.hint {
        text = format!("{text}\n→ {hint}");
    }
    match state {
        State::Flapping => format!(
            "It has opened {} times within a day. From now on nothing more is told of it until it has been steady for 6 hours.\n{text}",
            incident.flaps()
        ),
        _ => text,
    }
}

fn over(incident: &Incident, register: &IncidentStore<'_>) -> String {
    let finding = &incident.finding;
    let resolved_at = incident.resolved_at.unwrap_or(incident.opened_at);
    let lasted = lasted(resolved_at.duration_since(finding.since));
    let is_gone = |pipeline: &String| match &finding.step {
        Some(step) => !register.view.has(pipeline, step),
        None => !register.view.knows(pipeline),
    };
    let by = match finding.incident_kind {
        _ if finding.pipeline.as_ref().is_some_and(is_gone) => "It is not there any more",
        IncidentKind::Failed | IncidentKind::OverBudget | IncidentKind::NeverEnded => "The step has succeeded again",
        IncidentKind::Quarantine => "The next run put few aside",
        IncidentKind::NotStarted => "The pipeline has been started, or its schedule has changed",
        IncidentKind::Behind => "The step has caught up with its input",
        IncidentKind::Blind => "It can be seen again",
    };
    format!("{by}; it lasted {lasted}. What was wrong: {}", finding.what)
}

/// Beside since when, which every message says.
fn facts(finding: &Finding) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(at) = finding.scheduled_time {
        fact("Scheduled", shown(at));
    }
    if let Some(kind) = finding.kind {
        fact("Kind", format!("{kind} ({})", meaning(kind)));
    }
    facts.extend(finding.facts.iter().cloned());
    facts
}

fn meaning(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retry => "may go by itself",
        ErrorKind::Definition => "the pipeline file, or what it names, has to be mended",
        ErrorKind::Data => "the data has to be mended",
        ErrorKind::Refused => "too large, or not allowed",
        ErrorKind::Bug => "a mistake of Tidemark's",
    }
}

fn next(finding: &Finding, register: &IncidentStore<'_>) -> String {
    let pipeline = finding.pipeline.as_deref().and_then(|name| register.view.pipeline(name));
    let schedule = pipeline.and_then(|pipeline| pipeline.schedule.as_ref());
    let scheduled = schedule.and_then(|schedule| schedule.next(register.now)).map(shown);
    let at = scheduled.map(|at| format!(" at {at}")).unwrap_or_default();
    match finding.incident_kind {
        IncidentKind::NotStarted => format!(
            "The watcher has started it now for this time, and does so again every half hour until it has. The schedule is next due{at}."
        ),
        IncidentKind::Quarantine => {
            "Nothing: what is good was published, and what is not waits in quarantine.".to_owned()
        }
        IncidentKind::Blind if finding.pipeline.is_some() => "Nothing, until it is mended.".to_owned(),
        IncidentKind::Blind => "The rest is watched all the same.".to_owned(),
        _ if finding.is_tried_again && at.is_empty() => "It is tried again every half hour.".to_owned(),
        _ if finding.is_tried_again => {
            format!("It is tried again every half hour, and with the next scheduled run{at}.")
        }
        _ if at.is_empty() => "Nothing, until it is run again.".to_owned(),
        _ => format!(
            "It runs again{at}, and will fail the same way if nothing has been mended. What was published before stands."
        ),
    }
}

/// For a terminal in the folder of the pipelines.
fn command(finding: &Finding, register: &IncidentStore<'_>) -> Option<String> {
    let place = register.context.lake.store().place();
    let lake = if place == "lake" { String::new() } else { format!(" --lake {}", quoted(place)) };
    let arguments = &register.view.arguments;
    let pipeline = finding.pipeline.as_deref();
    match finding.incident_kind {
        IncidentKind::Quarantine => {
            let pipeline = register.view.pipeline(pipeline?)?;
            let dataset = &pipeline.contract.as_ref()?.dataset;
            Some(format!("tidemark quarantine list {dataset}{lake}"))
        }
        IncidentKind::Blind if finding.of.as_deref() == Some("definition") => {
            Some(format!("tidemark check{arguments}"))
        }
        IncidentKind::Blind => None,
        _ => {
            let at = finding.scheduled_time.map(|at| format!(" --at {at}")).unwrap_or_default();
            Some(format!("tidemark run {}{at}{lake}{arguments}", pipeline?))
        }
    }
}

/// As a shell takes it for one word.
pub fn quoted(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-:=@%+,".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn record(run_id: &str, register: &IncidentStore<'_>) -> Option<String> {
    let day = run_id.get(..8)?;
    let day = format!("{}-{}-{}", day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    Some(format!("{}/runs/{day}/{run_id}.json", register.context.lake.store().place()))
}

/// `2 h 05 min`
pub fn lasted(duration: SignedDuration) -> String {
    let minutes = duration.as_mins().max(0);
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Of no incident: what a message looks like.
pub fn sample(pipeline: &str, now: Timestamp, place: &str) -> Message {
    Message {
        state: State::Sample,
        severity: tidemark_pipeline::Severity::Warning,
        incident: format!("{pipeline}.sample#1"),
        pipeline: pipeline.to_owned(),
        step: Some(StepId::Clean),
        title: format!("{pipeline}: this is what an alert looks like"),
        what: "Nothing is wrong: somebody ran `tidemark alerts test`. Here a message says what failed, and why."
            .to_owned(),
        facts: vec![("Scheduled".to_owned(), shown(now)), ("Rows".to_owned(), "1,204 in, 17 quarantined".to_owned())],
        next: "Nothing. Here it says what happens next by itself.".to_owned(),
        command: Some(format!("tidemark run {pipeline}")),
        record: Some(format!("{place}/runs")),
        opened_at: now,
        resolved_at: None,
    }
}
