//! Runs a step: plan, tasks, balance, commit, run record, in this order. I/O happens only in `observe`, in the tasks and in `commit`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidemark_lake::{Checkpoint, Outcome, fingerprint};

use crate::activity::Activity;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::heartbeat::Heartbeat;
use crate::panics::panicked;
use crate::price::cost;
use crate::record::{ErrorRecord, RunRecord, Status};
use crate::remote::{self, TaskMessage, TaskReply};
use crate::scope::{ScopeRecord, Size};
use crate::step::{DraftSummary, Step, TaskScope};
use crate::tasks::{Executor, Progress, run_all};
use crate::trigger::Trigger;

/// A step with its associated types erased.
pub trait Runnable: Sync {
    /// Runs the step and writes its run record, unless there was nothing to do and no record of that is wanted. It always returns a record;
    /// a failure is in its `error`.
    fn run(&self, context: &Context<'_>, executor: Executor<'_>, trigger: &Trigger) -> RunRecord;

    /// The size of the work that is due now; `None` if there is nothing to do.
    fn due(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Size>, Error>;

    /// Runs one of its tasks, received from another process.
    fn run_task(&self, context: &Context<'_>, message: &TaskMessage) -> Result<TaskReply, Error>;
}

impl<S: Step> Runnable for S {
    fn run(&self, context: &Context<'_>, executor: Executor<'_>, trigger: &Trigger) -> RunRecord {
        run_step(context, executor, trigger, self)
    }

    fn due(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Size>, Error> {
        let plan = match self.observe(context, trigger)? {
            Some(observed) => self.plan(observed, trigger)?,
            None => None,
        };
        Ok(plan.map(|plan| self.scope(&plan).size))
    }

    fn run_task(&self, context: &Context<'_>, message: &TaskMessage) -> Result<TaskReply, Error> {
        remote::run_task(context, self, message)
    }
}

/// The outcome of an attempt.
enum StepOutcome {
    Nothing,
    Done(DraftSummary),
    /// The deadline has passed; another invocation continues the work.
    Continues,
}

/// How often a step that loses a commit race plans again before it gives up. Each loss means that another run has committed.
const ATTEMPTS: usize = 50;

fn run_step<S: Step>(context: &Context<'_>, executor: Executor<'_>, trigger: &Trigger, step: &S) -> RunRecord {
    let (run_id, started_at, id) = ((context.run_id)(), (context.clock)(), step.id());
    context.progress.begin(step.pipeline(), &id.to_string());
    let before = context.process.meter.requests();
    // a draft that was never committed has no effect, so a panic leaves nothing half done
    let mut scope_record = None;
    let heartbeat = Heartbeat::new(step.pipeline(), &id, trigger, &run_id, started_at);
    let (outcome, has_heartbeat) = heartbeat.beat_while(context, || {
        catch_unwind(AssertUnwindSafe(|| attempt(context, executor, trigger, step, &run_id, &mut scope_record)))
    });
    let outcome = outcome.unwrap_or_else(|panic| Err(panicked(&format!("{id} of {}", step.pipeline()), panic)));
    let mut record = RunRecord::new(run_id, step.pipeline(), Activity::Step(id), trigger, started_at);
    record.finished_at = (context.clock)();
    let lasted = |from| u64::try_from(record.finished_at.duration_since(from).as_millis()).unwrap_or(0);
    record.duration_ms = lasted(started_at);
    let billed_ms = lasted(context.process.billed_from.unwrap_or(started_at));
    record.peak_memory_bytes = (context.process.peak_memory)();
    record.requests = context.process.meter.requests() - before;
    let is_kept = trigger.always_record || !matches!(outcome, Ok(StepOutcome::Nothing));
    // the record cannot count its own writing
    record.requests.put += u64::from(is_kept);
    record.cost_usd = cost(context.process.compute, billed_ms, record.requests);
    match outcome {
        Ok(StepOutcome::Nothing) => {}
        Ok(StepOutcome::Continues) => record.status = Status::Continues,
        Ok(StepOutcome::Done(summary)) => {
            record.status = Status::Done;
            record.inputs = summary.inputs;
            record.outputs = summary.outputs;
            record.rows = summary.rows;
            record.bytes = summary.bytes;
            record.notes = summary.notes;
            record.has_more = summary.has_more;
            record.drift = summary.drift;
        }
        Err(error) => {
            record.status = Status::Failed;
            record.scope = scope_record;
            record.error = Some(ErrorRecord::from(&error));
        }
    }
    if is_kept {
        write_record(context, &mut record);
    }
    if has_heartbeat {
        Heartbeat::delete(context, &record.run_id);
    }
    context.progress.end(&record);
    record
}

/// The beginning of the note in a run record saying that the record could not be written.
pub const NOT_KEPT: &str = "the run record could not be stored";

/// Writes the run record as the last step. The commit is valid without it, so a failure here is only noted.
pub(crate) fn write_record(context: &Context<'_>, record: &mut RunRecord) {
    let day = record.started_at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let written = serde_json::to_vec(record)
        .map_err(|error| Error::new(ErrorKind::Bug, "the run record cannot be written").because(error))
        .and_then(|json| Ok(context.lake.put_run(day, &record.run_id, json)?));
    if let Err(error) = written {
        tracing::warn!(run_id = record.run_id, error = error.full_message(), "the run record could not be stored");
        record.notes.push(format!("{NOT_KEPT}: {}", error.full_message()));
    }
}

fn attempt<S: Step>(
    context: &Context<'_>,
    executor: Executor<'_>,
    trigger: &Trigger,
    step: &S,
    run_id: &str,
    scope_record: &mut Option<ScopeRecord>,
) -> Result<StepOutcome, Error> {
    for _ in 0..ATTEMPTS {
        let Some(observed) = step.observe(context, trigger)? else { return Ok(StepOutcome::Nothing) };
        let Some(plan) = step.plan(observed, trigger)? else { return Ok(StepOutcome::Nothing) };
        let planned = step.scope(&plan);
        context.progress.expect(planned.size.bytes);
        *scope_record = Some(planned.into());
        let checkpoint = step.checkpoint(&plan).map(|(dataset, plan)| {
            let plan = fingerprint(&format!("{} {} {plan}", step.id(), context.process.build));
            Checkpoint { dataset, plan }
        });
        let scope = TaskScope { run_id: run_id.to_owned(), checkpoint };
        let (receipts, has_spilled) = match run_all(context, executor, step, &plan, &scope, trigger.part > 0)? {
            Progress::Complete { receipts, has_spilled } => (receipts, has_spilled),
            Progress::Late => return Ok(StepOutcome::Continues),
        };
        let ended = gather_and_commit(context, step, plan, receipts, run_id);
        // committed, overtaken or without effect: this plan will not be used again
        if let Some(checkpoint) = scope.checkpoint.filter(|_| ended.is_ok() && (has_spilled || trigger.part > 0)) {
            context.lake.delete_checkpoint(&checkpoint);
        }
        match ended? {
            None => return Ok(StepOutcome::Nothing),
            Some((mut summary, Outcome::Committed(version))) => {
                if let Some(output) = summary.outputs.first_mut() {
                    output.version = Some(version);
                }
                return Ok(StepOutcome::Done(summary));
            }
            // another run has committed first: observe again, there may be nothing left to do
            Some((_, Outcome::Lost(version))) => {
                tracing::info!(run_id, version, step = %step.id(), "another run committed first; planning again")
            }
        }
    }
    let message = format!(
        "{} of {} was not committed: another run committed first, {ATTEMPTS} times",
        step.id(),
        step.pipeline()
    );
    Err(Error::new(ErrorKind::Retry, message).hint("run again; other runs of the same step are active"))
}

/// Returns `None` if the result equals what is already committed.
fn gather_and_commit<S: Step>(
    context: &Context<'_>,
    step: &S,
    plan: S::Plan,
    receipts: Vec<S::Receipt>,
    run_id: &str,
) -> Result<Option<(DraftSummary, Outcome)>, Error> {
    let Some((mut summary, draft)) = step.gather(plan, receipts, run_id)? else { return Ok(None) };
    summary.rows.check()?;
    let outcome = step.commit(context, draft, &mut summary)?;
    Ok(Some((summary, outcome)))
}
