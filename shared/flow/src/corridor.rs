//! The corridor. Every step walks it once, in one direction; I/O is at its two ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidemark_lake::Outcome;

use crate::balance::Balance;
use crate::failure::{Failure, Kind};
use crate::ports::Ports;
use crate::price::{Tally, cost};
use crate::record::{Bytes, ErrorRecord, Input, Output, RunRecord, Status};
use crate::trigger::Trigger;

/// One step of a pipeline.
pub trait Step {
    /// What is to be done, decided from the logs alone.
    type Plan;
    /// What has been computed: files that nothing names yet.
    type Draft;

    fn pipeline(&self) -> &str;

    /// `ingest`, `clean`, `model <name>`, `load <target>`
    fn name(&self) -> String;

    /// Looks at the logs. `None`: nothing is to be done.
    fn plan(&self, ports: &Ports<'_>, trigger: &Trigger) -> Result<Option<Self::Plan>, Failure>;

    /// How much a plan is.
    fn size(&self, plan: &Self::Plan) -> Size;

    /// Computes and writes what nothing names yet. May be thrown away at any point. `None`: the result is what stands already.
    fn draft(
        &self,
        ports: &Ports<'_>,
        plan: Self::Plan,
        run_id: &str,
    ) -> Result<Option<(Drafted, Self::Draft)>, Failure>;

    /// Makes the draft visible, whole or not at all. What only the target can count (rows it had already) it adds to `drafted`.
    fn commit(&self, ports: &Ports<'_>, draft: Self::Draft, drafted: &mut Drafted) -> Result<Outcome, Failure>;
}

/// What a step would take in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Partitions, objects of a source, or files of a report.
    pub partitions: u64,
    /// `None` where only reading would tell.
    pub rows: Option<u64>,
    pub bytes: u64,
}

/// What a draft says of itself.
#[derive(Debug, Clone, Default)]
pub struct Drafted {
    pub inputs: Vec<Input>,
    /// The version of the output is filled in by the commit.
    pub output: String,
    pub partitions: u64,
    pub rows: Balance,
    pub bytes: Bytes,
    pub notes: Vec<String>,
}

/// How often a step that loses the race plans anew before it gives up; each loss means that another run has got ahead.
const ATTEMPTS: usize = 50;

/// Walks one step through the corridor and writes its run record, unless there was nothing to do.
///
/// The outcome is always a record; what failed is in its `error`.
pub fn walk<S: Step>(ports: &Ports<'_>, trigger: &Trigger, step: &S) -> RunRecord {
    let run_id = (ports.run_id)();
    let started_at = (ports.clock)();
    ports.progress.begin(step.pipeline(), &step.name());
    let before = Tally::of(ports.lake.store());
    let walked = catch_unwind(AssertUnwindSafe(|| attempt(ports, trigger, step, &run_id))).unwrap_or_else(|panic| {
        // a draft that was never committed is nothing, so whatever was being done, nothing is half done
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let message = format!("{} of {} panicked", step.name(), step.pipeline());
        let failure = Failure::new(Kind::Bug, message).hint("nothing was committed; please report this");
        Err(failure.because(text.unwrap_or("without a message")))
    });
    let finished_at = (ports.clock)();
    let duration_ms = u64::try_from(finished_at.duration_since(started_at).as_millis()).unwrap_or(0);
    let mut record = RunRecord {
        run_id,
        pipeline: step.pipeline().to_owned(),
        step: step.name(),
        trigger: trigger.to_string(),
        status: Status::NothingToDo,
        started_at,
        finished_at,
        duration_ms,
        inputs: Vec::new(),
        outputs: Vec::new(),
        rows: Balance::default(),
        bytes: Bytes::default(),
        peak_memory_bytes: (ports.peak_memory)(),
        cost_usd: cost(duration_ms, before, Tally::of(ports.lake.store())),
        notes: Vec::new(),
        error: None,
    };
    match walked {
        Ok(None) => {}
        Ok(Some((drafted, version))) => {
            record.status = Status::Done;
            record.inputs = drafted.inputs;
            record.outputs = vec![Output { dataset: drafted.output, version, partitions: drafted.partitions }];
            record.rows = drafted.rows;
            record.bytes = drafted.bytes;
            record.notes = drafted.notes;
        }
        Err(failure) => {
            record.status = Status::Failed;
            record.error = Some(ErrorRecord::from(&failure));
        }
    }
    if record.status != Status::NothingToDo {
        remember(ports, &mut record);
    }
    ports.progress.end(&record);
    record
}

/// The run record is the last thing written. The commit stands without it, so a failure here is told and not counted.
fn remember(ports: &Ports<'_>, record: &mut RunRecord) {
    let day = record.started_at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let written = serde_json::to_vec(record)
        .map_err(|error| Failure::new(Kind::Bug, "the run record cannot be written").because(error))
        .and_then(|json| Ok(ports.lake.put_run(day, &record.run_id, json)?));
    if let Err(failure) = written {
        tracing::warn!(run_id = record.run_id, error = failure.chain(), "the run record was not kept");
        record.notes.push(format!("the run record was not kept: {}", failure.chain()));
    }
}

fn attempt<S: Step>(
    ports: &Ports<'_>,
    trigger: &Trigger,
    step: &S,
    run_id: &str,
) -> Result<Option<(Drafted, Option<i64>)>, Failure> {
    for _ in 0..ATTEMPTS {
        let Some(plan) = step.plan(ports, trigger)? else { return Ok(None) };
        let Some((mut drafted, draft)) = step.draft(ports, plan, run_id)? else { return Ok(None) };
        drafted.rows.check()?;
        match step.commit(ports, draft, &mut drafted)? {
            Outcome::Committed(version) => return Ok(Some((drafted, Some(version)))),
            // somebody else was first: look again, there may be nothing left to do
            Outcome::Lost(version) => {
                tracing::info!(run_id, version, step = step.name(), "lost the race; planning anew")
            }
        }
    }
    let message = format!("{} of {} lost the race {ATTEMPTS} times", step.name(), step.pipeline());
    Err(Failure::new(Kind::Retry, message).hint("other runs of the same step are getting ahead; run again"))
}
