//! The corridor. Every step walks it once, in one direction; I/O is at its two ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use tidemark_lake::{Outcome, Work};
use tidemark_pipeline::StepId;

use crate::balance::Balance;
use crate::context::Context;
use crate::drift::Drift;
use crate::failure::{Failure, Kind, panicked};
use crate::mark::Mark;
use crate::price::cost;
use crate::record::{About, ErrorRecord, Input, Output, RunRecord, Status};
use crate::trigger::Trigger;

/// One step of a pipeline.
pub trait Step {
    /// What is to be done, decided from the logs alone.
    type Plan;
    /// What has been computed: files that nothing names yet.
    type Draft;

    fn pipeline(&self) -> &str;

    fn id(&self) -> StepId;

    /// Looks at the logs. `None`: nothing is to be done.
    fn plan(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Self::Plan>, Failure>;

    /// What of a plan a person would want to hear named: its partitions, the objects of a source.
    fn partitions(&self, _: &Self::Plan) -> Vec<String> {
        Vec::new()
    }

    /// How much a plan is.
    fn size(&self, plan: &Self::Plan) -> Size;

    /// Under what name parts of this plan's work are kept, where it can be done in parts. It must be another one for another plan.
    fn work(&self, _: &Self::Plan) -> Option<Work> {
        None
    }

    /// Computes and writes what nothing names yet. May be thrown away at any point. `kept` is what an earlier invocation has put down of
    /// the same plan ([`Drafting::Part`]); what comes out in the end is the same to the byte, in however many parts it was done.
    fn draft(
        &self,
        context: &Context<'_>,
        plan: Self::Plan,
        run_id: &str,
        kept: Option<Bytes>,
    ) -> Result<Drafting<Self::Draft>, Failure>;

    /// Makes the draft visible, whole or not at all. What only the target can count (rows it had already) it adds to `drafted`.
    fn commit(&self, context: &Context<'_>, draft: Self::Draft, drafted: &mut Drafted) -> Result<Outcome, Failure>;
}

/// How far the drafting has come.
pub enum Drafting<D> {
    /// The result is what stands already.
    Same,
    Whole(Drafted, D),
    /// [`Context::is_late`], and this is what it takes to go on: positions and receipts of files, not rows.
    Part(Bytes),
}

/// What a step would take in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Partitions, objects of a source, or files of a report.
    pub partitions: u64,
    /// `None` where only reading would tell.
    pub rows: Option<u64>,
    pub bytes: u64,
    /// By which way, where there are several.
    pub how: Option<&'static str>,
}

/// What a draft says of itself.
#[derive(Debug, Clone, Default)]
pub struct Drafted {
    pub inputs: Vec<Input>,
    /// The first is what is committed; its version is filled in by the commit.
    pub outputs: Vec<Output>,
    pub rows: Balance,
    pub bytes: crate::record::Bytes,
    pub notes: Vec<String>,
    /// The source is known to have more than this: the step is due again.
    pub goes_on: bool,
    pub drift: Vec<Drift>,
}

/// How often a step that loses the race plans anew before it gives up; each loss means that another run has got ahead.
const ATTEMPTS: usize = 50;

enum Walked {
    Nothing,
    Done(Drafted),
    Continues,
}

/// Walks one step through the corridor and writes its run record, unless there was nothing to do and nobody looks for it.
///
/// The outcome is always a record; what failed is in its `error`.
pub fn walk<S: Step>(context: &Context<'_>, trigger: &Trigger, step: &S) -> RunRecord {
    let run_id = (context.run_id)();
    let started_at = (context.clock)();
    context.progress.begin(step.pipeline(), &step.id().to_string());
    let before = context.meter.requests();
    // a draft that was never committed is nothing, so whatever was being done, nothing is half done
    let mut about = None;
    let mark = Mark::of(step, trigger, &run_id, started_at);
    let (walked, has_mark) = mark.while_under_way(context, || {
        catch_unwind(AssertUnwindSafe(|| attempt(context, trigger, step, &run_id, &mut about)))
    });
    let walked = walked.unwrap_or_else(|panic| Err(panicked(&format!("{} of {}", step.id(), step.pipeline()), panic)));
    let finished_at = (context.clock)();
    let duration_ms = u64::try_from(finished_at.duration_since(started_at).as_millis()).unwrap_or(0);
    let billed_ms = u64::try_from(finished_at.duration_since(context.billed_from.unwrap_or(started_at)).as_millis());
    let billed_ms = billed_ms.unwrap_or(duration_ms);
    let mut requests = context.meter.requests() - before;
    let is_kept = trigger.looked_for || !matches!(walked, Ok(Walked::Nothing));
    if is_kept {
        // the record, which cannot count its own writing
        requests.put += 1;
    }
    let mut record = RunRecord {
        run_id,
        pipeline: step.pipeline().to_owned(),
        step: step.id().into(),
        trigger: trigger.to_string(),
        scheduled_time: trigger.scheduled_time,
        days: trigger.days,
        full: trigger.full,
        chain: trigger.chain.clone(),
        status: Status::NothingToDo,
        started_at,
        finished_at,
        duration_ms,
        inputs: Vec::new(),
        outputs: Vec::new(),
        rows: Balance::default(),
        bytes: crate::record::Bytes::default(),
        peak_memory_bytes: (context.peak_memory)(),
        requests,
        cost_usd: cost(context.machine, billed_ms, requests),
        notes: Vec::new(),
        goes_on: false,
        drift: Vec::new(),
        error: None,
        about: None,
    };
    match walked {
        Ok(Walked::Nothing) => {}
        Ok(Walked::Continues) => record.status = Status::Continues,
        Ok(Walked::Done(drafted)) => {
            record.status = Status::Done;
            record.inputs = drafted.inputs;
            record.outputs = drafted.outputs;
            record.rows = drafted.rows;
            record.bytes = drafted.bytes;
            record.notes = drafted.notes;
            record.goes_on = drafted.goes_on;
            record.drift = drafted.drift;
        }
        Err(failure) => {
            record.status = Status::Failed;
            record.about = about;
            record.error = Some(ErrorRecord::from(&failure));
        }
    }
    if is_kept {
        remember(context, &mut record);
    }
    if has_mark {
        Mark::take_away(context, &record.run_id);
    }
    context.progress.end(&record);
    record
}

/// How the note begins that says so of a run record.
pub const NOT_KEPT: &str = "the run record was not kept";

/// The run record is the last thing written. The commit stands without it, so a failure here is told and not counted.
pub(crate) fn remember(context: &Context<'_>, record: &mut RunRecord) {
    let day = record.started_at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let written = serde_json::to_vec(record)
        .map_err(|error| Failure::new(Kind::Bug, "the run record cannot be written").because(error))
        .and_then(|json| Ok(context.lake.put_run(day, &record.run_id, json)?));
    if let Err(failure) = written {
        tracing::warn!(run_id = record.run_id, error = failure.chain(), "the run record was not kept");
        record.notes.push(format!("{NOT_KEPT}: {}", failure.chain()));
    }
}

fn attempt<S: Step>(
    context: &Context<'_>,
    trigger: &Trigger,
    step: &S,
    run_id: &str,
    about: &mut Option<About>,
) -> Result<Walked, Failure> {
    for _ in 0..ATTEMPTS {
        let Some(plan) = step.plan(context, trigger)? else { return Ok(Walked::Nothing) };
        *about = Some(About::of(step.partitions(&plan), step.size(&plan)));
        let work = step.work(&plan);
        let kept = match (&work, trigger.part) {
            (Some(work), part @ 1..) => context.lake.part(work, part)?,
            _ => None,
        };
        let (mut drafted, draft) = match step.draft(context, plan, run_id, kept.clone())? {
            Drafting::Same => return Ok(Walked::Nothing),
            Drafting::Whole(drafted, draft) => (drafted, draft),
            Drafting::Part(done) => {
                // an invocation that came no further than the one before it: so would the next
                let work = work.filter(|_| kept.as_ref() != Some(&done)).ok_or_else(|| {
                    let message = format!("{} of {} gets nowhere in one invocation", step.id(), step.pipeline());
                    Failure::new(Kind::Refused, message).hint("give the function a longer timeout or more memory")
                })?;
                context.lake.put_part(&work, trigger.part + 1, done)?;
                return Ok(Walked::Continues);
            }
        };
        drafted.rows.check()?;
        match step.commit(context, draft, &mut drafted)? {
            Outcome::Committed(version) => {
                if let Some(output) = drafted.outputs.first_mut() {
                    output.version = Some(version);
                }
                if let (Some(work), true) = (&work, trigger.part > 0) {
                    context.lake.forget_work(work);
                }
                return Ok(Walked::Done(drafted));
            }
            // somebody else was first: look again, there may be nothing left to do
            Outcome::Lost(version) => {
                tracing::info!(run_id, version, step = %step.id(), "lost the race; planning anew")
            }
        }
    }
    let message = format!("{} of {} lost the race {ATTEMPTS} times", step.id(), step.pipeline());
    Err(Failure::new(Kind::Retry, message).hint("other runs of the same step are getting ahead; run again"))
}
