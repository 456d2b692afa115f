//! Runs the step that an event selects, and announces the steps that may have become due by its commit. One function handles one event by
//! running one step.
//!
//! The dataset logs decide what is to be done; events only wake steps. A step that finds nothing to do still announces the steps
//! downstream. That repairs an announcement that was lost in a crash, and a duplicate announcement finds nothing to do.

use jiff::Timestamp;
use tidemark_lake::Lake;
use tidemark_pipeline::{DatasetName, Graph, Pipeline, PipelineName, Source, StepId, graph};

use crate::activity::Activity;
use crate::context::{Context, Environment};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, StepDue, decoded};
use crate::executor::{Runnable, write_record};
use crate::price::price_of_events;
use crate::record::{RunRecord, Status};
use crate::tasks::Executor;
use crate::trigger::{Cause, Trigger};

/// Builds a step of a pipeline. Returns an error that names the right function if the step belongs to another one.
pub type StepFactory =
    for<'a> fn(&'a dyn Environment, &'a Graph, &'a Pipeline, &StepId) -> Result<Box<dyn Runnable + 'a>, Error>;

/// The bus that carries announcements.
pub trait Bus {
    /// Announces all of them. If it fails, some may have been announced; duplicates are harmless.
    fn announce(&self, due: &[StepDue]) -> Result<(), Error>;
}

/// The name of the function that runs a step.
pub fn function_of(step: &StepId) -> &'static str {
    match step {
        StepId::Ingest => "ingest",
        StepId::Clean | StepId::Model(_) => "transform",
        StepId::Load(_) => "load",
    }
}

/// The result of handling an event.
pub struct EventOutcome {
    pub record: RunRecord,
    /// The announcements that were sent.
    pub due: Vec<StepDue>,
}

/// One function: the steps it runs, and the bus to which it announces due steps.
pub struct Dispatcher<'a> {
    pub environment: &'a dyn Environment,
    pub graph: &'a Graph,
    pub bus: &'a dyn Bus,
    pub executor: Executor<'a>,
    /// `ingest`, `transform` or `load`.
    pub function: &'a str,
    pub steps: StepFactory,
}

impl Dispatcher<'_> {
    /// Handles one event: runs the step it selects, and announces the steps that may have become due.
    ///
    /// # Errors
    /// The event is not one of Tidemark's, selects a step of another function, or due steps cannot be announced. The failure of a step is
    /// no error here: its record has it. Sending the same event again is harmless and repairs missing announcements.
    pub fn handle(&self, context: &Context<'_>, event: &Event, correlation_id: &str) -> Result<EventOutcome, Error> {
        let Dispatcher { graph, bus, function, .. } = *self;
        let nothing = |pipeline: &str, activity, trigger: &Trigger| {
            let now = (context.clock)();
            let mut record = RunRecord::new((context.run_id)(), pipeline, activity, trigger, now);
            record.peak_memory_bytes = (context.process.peak_memory)();
            record
        };
        let (pipeline, step, trigger) = match resolve(context, graph, bus, event, correlation_id)? {
            ResolvedEvent::Step(pipeline, step, trigger) => (pipeline, step, trigger),
            ResolvedEvent::Announced(pipeline, trigger) => {
                let mut record = nothing(pipeline.name.as_str(), Activity::Started, &trigger);
                if trigger.always_record {
                    write_record(context, &mut record);
                }
                return Ok(EventOutcome { record, due: Vec::new() });
            }
            ResolvedEvent::Nothing => {
                let trigger = Trigger::at((context.clock)(), correlation_id);
                let record = nothing(function, activity_of(event), &trigger);
                return Ok(EventOutcome { record, due: Vec::new() });
            }
        };
        if function_of(&step) != function {
            let message = format!(
                "step {step} of {} is not run by function {function}, but by {}",
                pipeline.name,
                function_of(&step)
            );
            return Err(Error::new(ErrorKind::Refused, message).hint("fix the rule that routed the event here"));
        }
        if let Some(before) = waits_for(context.lake, pipeline, &step)? {
            let mut record = nothing(pipeline.name.as_str(), step.into(), &trigger);
            record.notes.push(format!("waits for {before}, which will announce it"));
            return Ok(EventOutcome { record, due: Vec::new() });
        }
        let run = (self.steps)(self.environment, graph, pipeline, &step)?;
        let mut record = run.run(context, self.executor, &trigger);
        if record.status == Status::Failed {
            return Ok(EventOutcome { record, due: Vec::new() });
        }
        let due = due_after(context.lake, graph, pipeline, &step, &trigger, &record)?;
        bus.announce(&due)?;
        // the stored record was written before these were announced
        record.requests.events += due.len() as u64;
        record.cost_usd += price_of_events(due.len());
        Ok(EventOutcome { record, due })
    }
}

/// The step or pipeline that an event selects.
enum ResolvedEvent<'g> {
    Step(&'g Pipeline, StepId, Trigger),
    /// A pipeline without a source. All of its steps have been announced, and each checks for itself whether it has work.
    Announced(&'g Pipeline, Trigger),
    /// No step, which is not an error.
    Nothing,
}

/// The activity recorded for an event that selects no step.
fn activity_of(event: &Event) -> Activity {
    let name = match event {
        Event::Test => "test event",
        Event::Object { .. } => "object that no source reads",
        _ => "announced",
    };
    Activity::Event(name.to_owned())
}

/// Finds the step that an event selects. If several pipelines read an object, one of them is returned and the others are announced.
fn resolve<'g>(
    context: &Context<'_>,
    graph: &'g Graph,
    bus: &dyn Bus,
    event: &Event,
    correlation_id: &str,
) -> Result<ResolvedEvent<'g>, Error> {
    let known = |name: &PipelineName| {
        graph.pipeline(name.as_str()).map_err(|unknown| Error::new(ErrorKind::Definition, unknown.to_string()))
    };
    let first = |pipeline: &'g Pipeline, trigger: Trigger| -> Result<ResolvedEvent<'g>, Error> {
        if pipeline.source.is_some() {
            return Ok(ResolvedEvent::Step(pipeline, StepId::Ingest, trigger));
        }
        let all: Vec<_> = graph.steps_of(&pipeline.name).map(|step| due(pipeline, step, &trigger)).collect();
        bus.announce(&all)?;
        Ok(ResolvedEvent::Announced(pipeline, trigger))
    };
    let start = |at: Timestamp| Trigger { always_record: true, ..Trigger::at(at, correlation_id) };
    Ok(match event {
        Event::Test => ResolvedEvent::Nothing,
        Event::Schedule { pipeline, scheduled_time } => first(known(pipeline)?, start(*scheduled_time))?,
        Event::Rule { rules, scheduled_time } => first(pipeline_of_rule(graph, rules)?, start(*scheduled_time))?,
        Event::Range { pipeline, days } => {
            let trigger =
                Trigger { days: Some(*days), cause: Cause::Manual, ..Trigger::at((context.clock)(), correlation_id) };
            first(known(pipeline)?, trigger)?
        }
        Event::StepDue(due) => {
            let pipeline = known(&due.pipeline)?;
            if !graph.steps_of(&pipeline.name).any(|step| *step == due.step) {
                let message = format!("pipeline {} has no step {}", pipeline.name, due.step);
                return Err(Error::new(ErrorKind::Definition, message).hint(
                    "the pipeline file has changed since the event was sent; discard the event, no data is lost",
                ));
            }
            let StepDue { scheduled_time, full, days, part, always_record, .. } = due.clone();
            let (correlation_id, cause) = (due.correlation_id.clone(), Cause::Due);
            let trigger = Trigger { scheduled_time, full, days, part, correlation_id, cause, always_record };
            ResolvedEvent::Step(pipeline, due.step.clone(), trigger)
        }
        Event::DeadLetters(_) => {
            return Err(Error::new(ErrorKind::Refused, "dead letters are handled by the watcher")
                .hint("set the function watch as the destination of failed events"));
        }
        Event::Object { bucket, key, at } => pipeline_of_object(graph, bus, bucket, key, *at, correlation_id)?,
    })
}

/// Finds the pipeline of a rule. The name of the rule ends with the name of the pipeline, after any prefix: `tidemark-prod-daily-sales`.
fn pipeline_of_rule<'g>(graph: &'g Graph, rules: &[String]) -> Result<&'g Pipeline, Error> {
    let names =
        |rule: &str, name: &str| rule.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
    let named =
        graph.pipelines().iter().filter(|pipeline| rules.iter().any(|rule| names(rule, pipeline.name.as_str())));
    named.max_by_key(|pipeline| pipeline.name.as_str().len()).ok_or_else(|| {
        Error::new(
            ErrorKind::Refused,
            format!("the name of rule {} does not end with the name of a pipeline", rules.join(", ")),
        )
        .hint(
            "let the rule's name end with that of the pipeline, or set its input to {\"pipeline\", \"scheduled_time\"}",
        )
    })
}

fn pipeline_of_object<'g>(
    graph: &'g Graph,
    bus: &dyn Bus,
    bucket: &str,
    key: &str,
    at: Timestamp,
    correlation_id: &str,
) -> Result<ResolvedEvent<'g>, Error> {
    let (readers, is_ours) = readers(graph, bucket, key);
    if !is_ours {
        return Err(Error::new(ErrorKind::Refused, format!("no pipeline reads bucket {bucket}"))
            .hint("remove the bucket from the rule, or add a pipeline that reads it"));
    }
    let object = format!("s3://{bucket}/{}", decoded(key).as_deref().unwrap_or(key));
    let trigger = Trigger { cause: Cause::Object(object), ..Trigger::at(at, correlation_id) };
    let mut readers = readers.into_iter();
    let Some(first) = readers.next() else { return Ok(ResolvedEvent::Nothing) };
    let others: Vec<_> = readers.map(|pipeline| due(pipeline, &StepId::Ingest, &trigger)).collect();
    bus.announce(&others)?;
    Ok(ResolvedEvent::Step(first, StepId::Ingest, trigger))
}

/// The pipelines whose source may contain an object, and whether any pipeline has a source in the object's bucket.
fn readers<'g>(graph: &'g Graph, bucket: &str, key: &str) -> (Vec<&'g Pipeline>, bool) {
    let keys: Vec<String> = std::iter::once(key.to_owned()).chain(decoded(key).filter(|other| other != key)).collect();
    let (mut readers, mut is_ours) = (Vec::new(), false);
    for pipeline in graph.pipelines() {
        let Some(Source::Files(files)) = &pipeline.source else { continue };
        let Some((of, path)) =
            files.path.strip_prefix("s3://").and_then(|rest| rest.split_once('/').or(Some((rest, ""))))
        else {
            continue;
        };
        if of == bucket {
            is_ours = true;
            // compare only the part before the first wildcard; the step's own listing decides
            let plain = path.split(['*', '?', '[', '{']).next().unwrap_or_default();
            if keys.iter().any(|key| key.starts_with(plain)) {
                readers.push(pipeline);
            }
        }
    }
    (readers, is_ours)
}

/// The steps that an event wakes directly. Empty if the event names no existing step.
pub fn wakes<'g>(graph: &'g Graph, event: &Event) -> Vec<(&'g Pipeline, &'g StepId)> {
    let first = |pipeline: &'g Pipeline| Some((pipeline, graph.steps_of(&pipeline.name).next()?));
    match event {
        Event::StepDue(due) => {
            graph.steps().filter(|(pipeline, step)| (&pipeline.name, *step) == (&due.pipeline, &due.step)).collect()
        }
        Event::Schedule { pipeline, .. } | Event::Range { pipeline, .. } => {
            graph.pipeline(pipeline.as_str()).ok().and_then(first).into_iter().collect()
        }
        Event::Rule { rules, .. } => pipeline_of_rule(graph, rules).ok().and_then(first).into_iter().collect(),
        Event::Object { bucket, key, .. } => readers(graph, bucket, key).0.into_iter().filter_map(first).collect(),
        Event::Test | Event::DeadLetters(_) => Vec::new(),
    }
}

/// Builds the announcement of a step with the parameters of a trigger.
pub fn due(pipeline: &Pipeline, step: &StepId, trigger: &Trigger) -> StepDue {
    StepDue {
        pipeline: pipeline.name.clone(),
        step: step.clone(),
        function: function_of(step).to_owned(),
        scheduled_time: trigger.scheduled_time,
        correlation_id: trigger.correlation_id.clone(),
        full: trigger.full,
        days: trigger.days,
        part: 0,
        always_record: false,
    }
}

/// The announcements after a run: the step itself if it has more to do, otherwise the steps that read its outputs. Readers that are known
/// to be up to date are left out.
fn due_after(
    lake: &Lake,
    graph: &Graph,
    pipeline: &Pipeline,
    step: &StepId,
    trigger: &Trigger,
    record: &RunRecord,
) -> Result<Vec<StepDue>, Error> {
    let status = record.status;
    if status == Status::Continues {
        let part = trigger.part + 1;
        return Ok(vec![StepDue { part, always_record: trigger.always_record, ..due(pipeline, step, trigger) }]);
    }
    let mut found: Vec<StepDue> = Vec::new();
    let has_waited = trigger.part > 0 && matches!(pipeline.source, Some(Source::Files(_)));
    if *step == StepId::Ingest && (has_waited || record.has_more) {
        // objects that arrived while files were read have not been listed yet; the rest of an API is continued, not restarted
        found.push(StepDue { full: trigger.full && !record.has_more, ..due(pipeline, step, trigger) });
    }
    for dataset in graph::outputs(pipeline, step) {
        for (of, reader) in graph.consumers(&dataset) {
            let more = due(of, reader, trigger);
            if found.contains(&more) {
                continue;
            }
            // a request for days means the last step, even if nothing changes in the steps before it
            if status == Status::Done || trigger.days.is_some() || is_behind(lake, of, reader)? {
                found.push(more);
            }
        }
    }
    Ok(found)
}

/// Whether a step has not yet consumed the current versions of its inputs. Always true for ingests and loads, since only the step itself
/// can tell.
pub fn is_behind(lake: &Lake, pipeline: &Pipeline, step: &StepId) -> Result<bool, Error> {
    let Some(output) = output(pipeline, step) else { return Ok(true) };
    let table = lake.table(&output)?;
    for input in graph::inputs(pipeline, step) {
        let Some(now) = lake.table(&input)? else { continue };
        let consumed = table.as_ref().map(|table| table.consumed(lake, input.as_str())).transpose()?.flatten();
        if consumed != Some(now.version()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The dataset whose log records what a step has consumed.
fn output(pipeline: &Pipeline, step: &StepId) -> Option<DatasetName> {
    match step {
        StepId::Ingest | StepId::Load(_) => None,
        StepId::Clean => pipeline.contract.as_ref().map(|contract| contract.dataset.clone()),
        StepId::Model(name) => Some(name.clone()),
    }
}

/// Finds an upstream step of the same pipeline that has not consumed its inputs yet. Its output belongs to what this step reads, and it
/// wakes this step when it is done. So a report never combines current and outdated models.
fn waits_for(lake: &Lake, pipeline: &Pipeline, step: &StepId) -> Result<Option<StepId>, Error> {
    let mut ahead = vec![step.clone()];
    let mut seen = vec![step.clone()];
    while let Some(step) = ahead.pop() {
        let inputs = graph::inputs(pipeline, &step);
        let models = pipeline.models.iter().map(|model| StepId::Model(model.name.clone()));
        for before in std::iter::once(StepId::Clean).chain(models) {
            let makes = graph::outputs(pipeline, &before).iter().any(|output| inputs.contains(output));
            if makes && !seen.contains(&before) {
                if is_behind(lake, pipeline, &before)? {
                    return Ok(Some(before));
                }
                seen.push(before.clone());
                ahead.push(before);
            }
        }
    }
    Ok(None)
}
