//! `tidemark alerts test` and `tidemark silence`: whether anybody would hear, and that nobody shall for a while.

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

/// Sends a sample to every channel of a pipeline.
pub(crate) fn test(common: &Common, name: &str) -> anyhow::Result<Exit> {
    let graph = load(common, Selection::CheckOnly)?;
    let pipeline = graph.pipeline(name).map_err(|unknown| Error::new(ErrorKind::Definition, unknown.to_string()))?;
    let addresses = watch::recipients(&pipeline.alerts);
    if addresses.is_empty() {
        return Err(Error::new(ErrorKind::Definition, format!("{name} names nobody in [alerts]"))
            .hint("write [alerts] with slack = { secret = \"slack-webhook\" } or email = \"you@example.com\" into its file")
            .into());
    }
    let world = LocalEnvironment::new()?;
    let lake = world.empty_lake()?;
    let message = watch::sample(name, host::now(), &common.lake);
    let (mut sent, mut exit) = (Vec::new(), Exit::Done);
    for (address, least) in addresses {
        let result = world.with_context(&lake, &Quiet, |context| {
            let message = std::slice::from_ref(&message);
            let environment = ChannelEnvironment { secrets: &world, mailer: None, handle: world.handle() };
            watch::with_channels(context, environment, |channels| channels.send(&address, message))
        });
        // nobody sends a sample again
        let result = result.map_err(|failure| match failure.kind {
            ErrorKind::Retry => failure.hint("look whether it is there, and try again"),
            _ => failure,
        });
        let of = if least == tidemark_pipeline::Severity::Critical { "what is critical" } else { "everything" };
        match &result {
            Ok(()) if !common.json => print::line(&format!("{} {address}  sent; it is told of {of}", print::tick())),
            Err(failure) if !common.json => {
                let hint = failure.hint.as_ref().map(|hint| format!("\n    → {hint}")).unwrap_or_default();
                print::line(&format!("{} {address}  {}{hint}", print::cross(), failure.full_message()));
            }
            _ => {}
        }
        if let Err(failure) = &result {
            exit = exit.max(Exit::from(failure.kind));
        }
        let error = result.err().map(|failure| tidemark_flow::ErrorRecord::from(&failure));
        sent.push(json!({"address": address.to_string(), "severity": least, "sent": error.is_none(), "error": error}));
    }
    if common.json {
        print::json(&json!({"pipeline": name, "channels": sent}))?;
    }
    Ok(exit)
}

/// Nobody is told of a pipeline until a while is over.
pub(crate) fn silence(common: &Common, name: &str, lasts: &str, reason: Option<String>) -> anyhow::Result<Exit> {
    let pipeline = known(common, name)?;
    // it is shown in a line of a table
    let reason = reason.map(|reason| reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>());
    let world = LocalEnvironment::new()?;
    let lake = world.existing_lake(&common.lake)?;
    let now = host::now();
    let until = end(now, lasts)?;
    watch::silence(&lake, &pipeline, &Silence { until, since: now, reason: reason.clone() })?;
    if common.json {
        print::json(&json!({"pipeline": name, "since": now, "until": until, "reason": reason}))?;
    } else {
        print::line(&format!(
            "{name}: nobody is told anything until {}; incidents are kept all the same\nend it with: tidemark silence {name} --end",
            until.strftime("%Y-%m-%d %H:%M UTC")
        ));
    }
    Ok(Exit::Done)
}

pub(crate) fn end_silence(common: &Common, name: &str) -> anyhow::Result<Exit> {
    let pipeline: PipelineName =
        name.parse().map_err(|error| Error::new(ErrorKind::Definition, "no pipeline").because(error))?;
    let world = LocalEnvironment::new()?;
    let lake = world.existing_lake(&common.lake)?;
    if lake.silence(&pipeline).map_err(Error::from)?.is_none() {
        // a name that was mistyped is told
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

/// The silences that last.
pub(crate) fn silences(common: &Common) -> anyhow::Result<Exit> {
    let world = LocalEnvironment::new()?;
    let lake = world.existing_lake(&common.lake)?;
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

/// A pipeline of which nobody wants to hear for longer is better changed.
const LONGEST: jiff::SignedDuration = jiff::SignedDuration::from_hours(366 * 24);

/// `2h`, `90m`, `1d 12h`
fn end(now: Timestamp, lasts: &str) -> anyhow::Result<Timestamp> {
    let wrong = || {
        Error::new(ErrorKind::Definition, format!("{lasts:?} is no duration of a silence"))
            .hint("write --for 2h, 90m or 1d; a year at most")
    };
    let span: jiff::Span = lasts.parse().map_err(|_: jiff::Error| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| wrong().because(error))?;
    if duration <= jiff::SignedDuration::ZERO || duration > LONGEST {
        return Err(wrong().into());
    }
    now.checked_add(duration).context("the end of the silence")
}
