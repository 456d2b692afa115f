//! A step of a pipeline, cut into tasks. Deciding (`plan`, `tasks`, `gather`) is pure; reading and writing is in `observe`, `run` and
//! `commit`. Who runs the tasks, in which order and where, is the executor's business and never the step's.

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
    /// All that planning looks at: heads and files of the logs, the listing of a source.
    type Observed;
    /// What is to be done.
    type Plan;
    /// One independent piece of the work. It names files and positions and holds no rows; a task can be run in any order among those of
    /// its stage, twice, and in another process.
    type Task: Serialize + DeserializeOwned + Sync;
    /// What a task has done: files that nothing names yet, counts, and rows it has left for tasks of a later stage.
    type Receipt: Serialize + DeserializeOwned + Send;
    /// How far a task has come that does not fit one invocation: a position and the files that are closed, never rows.
    type Partial: Serialize + DeserializeOwned + Send;
    /// What the tasks of one attempt share within a process: a compiled contract, a connection, rows that are still in memory.
    type Session<'s>: Sync
    where
        Self: 's;
    /// What is to be committed.
    type Draft;

    /// The name of its pipeline.
    fn pipeline(&self) -> &str;

    fn id(&self) -> StepId;

    /// Looks at the logs and the source. `None`: there is nothing to be done, whatever the plan.
    fn observe(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Self::Observed>, Error>;

    /// Decides what is to be done; `None` if nothing is.
    fn plan(&self, observed: Self::Observed, trigger: &Trigger) -> Result<Option<Self::Plan>, Error>;

    /// What a plan is about.
    fn scope(&self, plan: &Self::Plan) -> Scope;

    /// Where the receipts of a plan are kept, where it can be done in several invocations: the dataset it is for, and a text that
    /// differs between any two plans. The program itself need not be part of it.
    fn checkpoint(&self, _: &Self::Plan) -> Option<(DatasetName, String)> {
        None
    }

    /// The tasks of the next stage, given the receipts of all stages before it in the order of their tasks; none: the work is done.
    fn tasks(&self, plan: &Self::Plan, receipts: &[Self::Receipt]) -> Result<Vec<Self::Task>, Error>;

    /// Names a task within its plan. Two tasks have the same name only if they do the same.
    fn task_name(&self, task: &Self::Task) -> String;

    /// Prepares for running tasks of one attempt in this process.
    fn session<'s>(&'s self, context: &Context<'s>, scope: &TaskScope) -> Result<Self::Session<'s>, Error>;

    /// Does one task, from its beginning or from where it was left. It writes what nothing names yet, and may be thrown away at any
    /// point.
    fn run(
        &self,
        context: &Context<'_>,
        session: &Self::Session<'_>,
        task: &Self::Task,
        from: Option<Self::Partial>,
    ) -> Result<TaskOutcome<Self::Receipt, Self::Partial>, Error>;

    /// Makes receipts good for another process: rows of theirs that are only in this one go to the lake.
    fn persist(
        &self,
        _: &Context<'_>,
        _: &Self::Session<'_>,
        receipts: Vec<Self::Receipt>,
    ) -> Result<Vec<Self::Receipt>, Error> {
        Ok(receipts)
    }

    /// Whether rows of this process have gone to the checkpoint.
    fn has_spilled(&self, _: &Self::Session<'_>) -> bool {
        false
    }

    /// The spill objects of the checkpoint that a receipt needs.
    fn spill_objects<'r>(&self, _: &'r Self::Receipt) -> Vec<&'r str> {
        Vec::new()
    }

    /// What all tasks together have come to; `None`: it is what stands already.
    fn gather(
        &self,
        plan: Self::Plan,
        receipts: Vec<Self::Receipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, Self::Draft)>, Error>;

    /// Makes the draft visible, whole or not at all. What only a target can count (rows it had already) it adds to `summary`.
    fn commit(&self, context: &Context<'_>, draft: Self::Draft, summary: &mut DraftSummary) -> Result<Outcome, Error>;
}

/// How a task ended.
pub enum TaskOutcome<R, P> {
    Done(R),
    /// The deadline has passed. `None`: there is nothing to go on with, the task has to begin again.
    Late(Option<P>),
}

/// What a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskScope {
    pub run_id: String,
    /// Where rows go that have to outlast the process.
    pub checkpoint: Option<Checkpoint>,
}

/// What a draft says of itself.
#[derive(Debug, Clone, Default)]
pub struct DraftSummary {
    pub inputs: Vec<Input>,
    /// The first is what is committed; its version is filled in by the commit.
    pub outputs: Vec<Output>,
    pub rows: Balance,
    pub bytes: Bytes,
    pub notes: Vec<String>,
    /// The source is known to have more than this: the step is due again.
    pub has_more: bool,
    pub drift: Vec<Drift>,
}
