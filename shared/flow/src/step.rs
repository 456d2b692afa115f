//! A step of a pipeline, split into tasks. Decisions (`plan`, `tasks`, `gather`) are pure; I/O happens in `observe`, `run` and `commit`.
//! The executor alone decides where and in which order tasks run.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidemark_lake::{Checkpoint, Outcome};
use tidemark_pipeline::{DatasetName, StepId};

use crate::balance::Balance;
use crate::context::Context;
use crate::drift::Drift;
use crate::error::Error;
use crate::record::{Bytes, Input, Output};
use crate::scope::Scope;
use crate::trigger::Trigger;

/// One step of a pipeline: `observe → plan → (tasks → run …) … → gather → commit`.
pub trait Step: Sync {
    /// The input of planning: heads and files of the logs, the listing of a source.
    type Observed;
    /// The work to be done.
    type Plan;
    /// One independent unit of the work. It names files and positions and contains no rows. It can be run in any order among the tasks of
    /// its stage, more than once, and in another process.
    type Task: Serialize + DeserializeOwned + Sync;
    /// The result of a task: files that no log refers to yet, counts, and rows left for the tasks of a later stage.
    type Receipt: Serialize + DeserializeOwned + Send;
    /// The progress of a task that does not fit one invocation: a position, the completed files, and names of spill objects; never rows.
    type Partial: Serialize + DeserializeOwned + Send;
    /// State that the tasks of one attempt share within a process: a compiled contract, a connection, rows still in memory.
    type Session<'s>: Sync
    where
        Self: 's;
    /// The result to be committed.
    type Draft;

    /// The name of the step's pipeline.
    fn pipeline(&self) -> &str;

    fn id(&self) -> StepId;

    /// Reads the logs and the source. Returns `None` if there is nothing to do, whatever the plan would be.
    fn observe(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Self::Observed>, Error>;

    /// Decides what to do. Returns `None` if there is nothing to do.
    fn plan(&self, observed: Self::Observed, trigger: &Trigger) -> Result<Option<Self::Plan>, Error>;

    /// The amount of work of a plan.
    fn scope(&self, plan: &Self::Plan) -> Scope;

    /// Identifies the checkpoint of a plan that may take several invocations: the dataset it writes, and a text that differs between any
    /// two plans. The text need not include the program's fingerprint.
    fn checkpoint(&self, _: &Self::Plan) -> Option<(DatasetName, String)> {
        None
    }

    /// The tasks of the next stage, given the receipts of all earlier stages in the order of their tasks. An empty list means that the work
    /// is done.
    fn tasks(&self, plan: &Self::Plan, receipts: &[Self::Receipt]) -> Result<Vec<Self::Task>, Error>;

    /// The name of a task within its plan. Two tasks share a name only if they do the same work.
    fn task_name(&self, task: &Self::Task) -> String;

    /// Prepares this process to run tasks of one attempt.
    fn session<'s>(&'s self, context: &Context<'s>, scope: &TaskScope) -> Result<Self::Session<'s>, Error>;

    /// Runs one task, from its beginning or from saved progress. No log refers to the files it writes, so it may be aborted at any point.
    fn run(
        &self,
        context: &Context<'_>,
        session: &Self::Session<'_>,
        task: &Self::Task,
        from: Option<Self::Partial>,
    ) -> Result<TaskOutcome<Self::Receipt, Self::Partial>, Error>;

    /// Makes receipts usable by another process: rows that exist only in this process are written to the lake.
    fn persist(
        &self,
        _: &Context<'_>,
        _: &Self::Session<'_>,
        receipts: Vec<Self::Receipt>,
    ) -> Result<Vec<Self::Receipt>, Error> {
        Ok(receipts)
    }

    /// Bytes of memory that one task needs at least. With less memory for each thread, fewer run at once.
    fn task_memory(&self) -> u64 {
        1
    }

    /// Whether this process has written rows to the checkpoint.
    fn has_spilled(&self, _: &Self::Session<'_>) -> bool {
        false
    }

    /// The spill objects of the checkpoint that a receipt needs.
    fn spill_objects<'r>(&self, _: &'r Self::Receipt) -> Vec<&'r str> {
        Vec::new()
    }

    /// The spill objects of the checkpoint that saved progress needs. Without them the task restarts from the beginning.
    fn spill_objects_of_partial<'r>(&self, _: &'r Self::Partial) -> Vec<&'r str> {
        Vec::new()
    }

    /// Combines the receipts of all tasks into a draft. Returns `None` if the result equals what is already committed.
    fn gather(
        &self,
        plan: Self::Plan,
        receipts: Vec<Self::Receipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, Self::Draft)>, Error>;

    /// Commits the draft atomically. Counts that only the target knows (such as rows it already had) are added to `summary`.
    fn commit(&self, context: &Context<'_>, draft: Self::Draft, summary: &mut DraftSummary) -> Result<Outcome, Error>;
}

/// The outcome of a task.
pub enum TaskOutcome<R, P> {
    Done(R),
    /// The deadline has passed. The progress is `None` if the task has to restart from the beginning.
    Late(Option<P>),
}

/// The run and checkpoint that a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskScope {
    pub run_id: String,
    /// Where rows that must outlive the process are stored.
    pub checkpoint: Option<Checkpoint>,
}

/// Facts about a draft for the run record.
#[derive(Debug, Clone, Default)]
pub struct DraftSummary {
    pub inputs: Vec<Input>,
    /// The first one is the committed dataset; its version is filled in after the commit.
    pub outputs: Vec<Output>,
    pub rows: Balance,
    pub bytes: Bytes,
    pub notes: Vec<String>,
    /// The source has more data than this: the step is due again.
    pub has_more: bool,
    pub drift: Vec<Drift>,
}
