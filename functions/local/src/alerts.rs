//! `tidemark alerts test` sends a sample message to the channels of a pipeline; `tidemark silence` suspends its notifications for a while.

use anyhow::Context as _;
use jiff::{SpanRelativeTo, Timestamp};
use serde_json::json;
use tidemark_flow::{Error, ErrorKind, Quiet, Selection, host};
use tidemark_pipeline::PipelineName;
use watch::{ChannelEnvironment, Silence, Silences};

use crate::args::Common;
use crate::definitions::load;
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;

/// Sends a sample message to every channel of a pipeline.
pub(crate) fn test(common: &Common, name: &str) -> anyhow::Result<Exit> {
    let graph = load(common, Selection::CheckOnly)?;
    let pipeline = graph.pipeline(name).map_err(|unknown| Error::new(ErrorKind::Definition, unknown.to_string()))?;
    let addresses = watch::recipients(&pipeline.alerts);
    if addresses.is_empty() {
        return Err(Error::new(ErrorKind::Definition, format!("{name} has no recipients in [alerts]"))
            .hint("add [alerts] with slack = { secret = \"slack-webhook\" } or email = \"you@example.com\" to its file")
            .into());
    }
    let local = LocalEnvironment::new()?;
    let lake = local.empty_lake()?;
    let message = watch::sample(name, host::now(), &common.lake);
    let (mut sent, mut exit) = (Vec::new(), Exit::Done);
    for (address, least) in addresses {
        let result = local.with_context(&lake, &Quiet, |context| {
            let message = std::slice::from_ref(&message);
            let environment = ChannelEnvironment { secrets: &local, mailer: None, handle: local.handle() };
            watch::with_channels(context, environment, |channels| channels.send(&address, message))
        });
        // a sample is not retried automatically
        let result = result.map_err(|error| match error.kind {
            ErrorKind::Retry => error.hint("check whether it has arrived, and try again"),
            _ => error,
        });
        let of = if least == tidemark_pipeline::Severity::Critical { "critical incidents" } else { "all incidents" };
        match &result {
            Ok(()) if !common.json => {
                print::line(&format!("{} {address}  sent; it is notified of {of}", print::tick()))
            }
            Err(error) if !common.json => {
                let hint = error.hint.as_ref().map(|hint| format!("\n    → {hint}")).unwrap_or_default();
                print::line(&format!("{} {address}  {}{hint}", print::cross(), error.full_message()));
            }
            _ => {}
        }
        if let Err(error) = &result {
            exit = exit.max(Exit::from(error.kind));
        }
        let error = result.err().map(|error| tidemark_flow::ErrorRecord::from(&error));
        sent.push(json!({"address": address.to_string(), "severity": least, "sent": error.is_none(), "error": error}));
    }
    if common.json {
        print::json(&json!({"pipeline": name, "channels": sent}))?;
    }
    Ok(exit)
}

/// Suspends the notifications of a pipeline for a duration.
pub(crate) fn silence(common: &Common, name: &str, lasts: &str, reason: Option<String>) -> anyhow::Result<Exit> {
    let pipeline = known(common, name)?;
    // it is shown on one line of a table
    let reason = reason.map(|reason| reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>());
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let now = host::now();
    let until = end(now, lasts)?;
    watch::silence(&lake, &pipeline, &Silence { until, since: now, reason: reason.clone() })?;
    if common.json {
        print::json(&json!({"pipeline": name, "since": now, "until": until, "reason": reason}))?;
    } else {
        print::line(&format!(
            "{name}: no notifications until {}; incidents are still recorded\nend it with: tidemark silence {name} --end",
            until.strftime("%Y-%m-%d %H:%M UTC")
        ));
    }
    Ok(Exit::Done)
}

pub(crate) fn end_silence(common: &Common, name: &str) -> anyhow::Result<Exit> {
    let pipeline: PipelineName =
        name.parse().map_err(|error| Error::new(ErrorKind::Definition, "no pipeline").because(error))?;
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    if lake.silence(&pipeline).map_err(Error::from)?.is_none() {
        // without a silence, a mistyped name is reported
        known(common, name)?;
    }
    lake.delete_silence(&pipeline).map_err(Error::from)?;
    if common.json {
        print::json(&json!({"pipeline": name, "until": null}))?;
    } else {
        print::line(&format!("{name}: the silence is over"));
    }
    Ok(Exit::Done)
}

/// Lists the current silences.
pub(crate) fn silences(common: &Common) -> anyhow::Result<Exit> {
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let now = host::now();
    let names = lake.watched().map_err(Error::from)?.silences;
    let silences = Silences::read(&lake, &names, now)?;
    if common.json {
        let all: Vec<_> = silences
            .iter()
            .map(|(name, silence)| json!({"pipeline": name, "since": silence.since, "until": silence.until, "reason": silence.reason}))
            .collect();
        print::json(&json!({"silences": all}))?;
        return Ok(Exit::Done);
    }
    let lines: Vec<_> = silences
        .iter()
        .map(|(name, silence)| {
            let left = watch::lasted(silence.until.duration_since(now));
            let until = silence.until.strftime("%Y-%m-%d %H:%M UTC").to_string();
            vec![name.to_owned(), until, left, silence.reason.clone().unwrap_or_default()]
        })
        .collect();
    match lines.is_empty() {
        true => print::line("no pipeline is silenced"),
        false => print::table(&["PIPELINE", "UNTIL", "LEFT", "REASON"], &[], lines),
    }
    Ok(Exit::Done)
}

fn known(common: &Common, name: &str) -> Result<PipelineName, Error> {
    let graph = load(common, Selection::CheckOnly)?;
    let pipeline = graph.pipeline(name).map_err(|unknown| Error::new(ErrorKind::Definition, unknown.to_string()))?;
    Ok(pipeline.name.clone())
}

/// Maximum duration of a silence.
const LONGEST: jiff::SignedDuration = jiff::SignedDuration::from_hours(366 * 24);

/// `2h`, `90m`, `1d 12h`
fn end(now: Timestamp, lasts: &str) -> anyhow::Result<Timestamp> {
    let invalid = || {
        Error::new(ErrorKind::Definition, format!("{lasts:?} is not a valid duration of a silence"))
            .hint("write --for 2h, 90m or 1d; a year at most")
    };
    let span: jiff::Span = lasts.parse().map_err(|_: jiff::Error| invalid())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| invalid().because(error))?;
    if duration <= jiff::SignedDuration::ZERO || duration > LONGEST {
        return Err(invalid().into());
    }
    now.checked_add(duration).context("the end of the silence")
}
