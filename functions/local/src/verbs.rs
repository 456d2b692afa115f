//! Dispatches the verbs.

use tidemark_flow::{Error, ErrorKind};

use crate::args::{AlertsVerb, Cli, QuarantineVerb, Verb};
use crate::exit::Exit;
use crate::quarantine::reasons::Filter;
use crate::{alerts, demo, dev, inspect, new, plan, quarantine, run, schedules, status, verify};

/// # Errors
/// The verb could not be executed. Failures that it found and reported itself are in its [`Exit`].
pub fn act(cli: Cli) -> anyhow::Result<Exit> {
    let common = &cli.common;
    match cli.verb {
        Verb::Run { names, at, full } => run::run(common, &names, at, full),
        Verb::Plan { names, at } => plan::plan(common, &names, at),
        Verb::New { name, from } => new::new(common, &name, &from),
        Verb::Check => inspect::check(common),
        Verb::Schedules { check } => schedules::schedules(common, check),
        Verb::Status => status::status(common),
        Verb::Runs { pipeline, failed, limit } => inspect::runs(common, pipeline.as_deref(), failed, limit),
        Verb::Show { dataset, limit, history: false } => inspect::show(common, &dataset, limit),
        Verb::Show { dataset, limit, history: true } => inspect::history(common, &dataset, limit),
        Verb::Quarantine { verb: QuarantineVerb::List { dataset, reason, since, healed, limit } } => {
            quarantine::list::list(common, dataset.as_deref(), &Filter { reason, since, healed }, limit)
        }
        Verb::Quarantine { verb: QuarantineVerb::Replay { dataset, at } } => {
            quarantine::replay::replay(common, dataset.as_deref(), at)
        }
        Verb::Verify { names } => verify::verify(common, &names),
        Verb::Dev => dev::dev(common),
        Verb::Alerts { verb: AlertsVerb::Test { pipeline } } => alerts::test(common, &pipeline),
        Verb::Silence { pipeline: Some(pipeline), end: true, .. } => alerts::end_silence(common, &pipeline),
        Verb::Silence { pipeline: Some(pipeline), lasts: Some(lasts), reason, .. } => {
            alerts::silence(common, &pipeline, &lasts, reason)
        }
        Verb::Silence { pipeline: Some(_), .. } => {
            Err(Error::new(ErrorKind::Definition, "the duration is missing").hint("write --for 2h, or --end").into())
        }
        Verb::Silence { pipeline: None, .. } => alerts::silences(common),
        Verb::Sql { query } => inspect::sql(common, &query),
        Verb::Demo { folder } => demo::demo(common, &folder),
    }
}
