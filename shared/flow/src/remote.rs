//! Tasks as messages: what another process needs to run a task, and its reply. A Distributed Map carries exactly these.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_lake::Checkpoint;
use tidemark_pipeline::{DatasetName, PipelineName, StepId};

use crate::checkpoint::FORMAT;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::step::{Step, TaskOutcome, TaskScope};

/// Runs tasks in other processes.
pub trait RemoteTasks: Sync {
    /// Runs the tasks of one stage, in any order, each at least once. The answers are in the order of the messages.
    ///
    /// # Errors
    /// A task failed, or could not be handed over.
    fn run(&self, tasks: &[TaskMessage]) -> Result<Vec<TaskReply>, Error>;
}

/// A task to be run in another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskMessage {
    format: u32,
    /// Fingerprint of the program that created the task. Another program may split the work or compute differently.
    build: String,
    pub pipeline: PipelineName,
    pub step: StepId,
    run_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<DatasetName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    task: Value,
}

/// The result of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskReply {
    format: u32,
    build: String,
    receipt: Value,
}

impl TaskMessage {
    pub(crate) fn new<S: Step>(
        context: &Context<'_>,
        step: &S,
        scope: &TaskScope,
        task: &S::Task,
    ) -> Result<TaskMessage, Error> {
        let unwritten = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Bug, "a task cannot be written").because(error)
        };
        Ok(TaskMessage {
            format: FORMAT,
            build: context.process.build.to_owned(),
            pipeline: step.pipeline().parse::<PipelineName>().map_err(|error| unwritten(error.into()))?,
            step: step.id(),
            run_id: scope.run_id.clone(),
            dataset: scope.checkpoint.as_ref().map(|checkpoint| checkpoint.dataset.clone()),
            plan: scope.checkpoint.as_ref().map(|checkpoint| checkpoint.plan.clone()),
            task: serde_json::to_value(task).map_err(|error| unwritten(error.into()))?,
        })
    }
}

impl TaskReply {
    pub(crate) fn receipt<S: Step>(self, context: &Context<'_>) -> Result<S::Receipt, Error> {
        is_readable(context, self.format, &self.build)?;
        serde_json::from_value(self.receipt)
            .map_err(|error| Error::new(ErrorKind::Bug, "a receipt cannot be read").because(error))
    }
}

/// Runs the task of a message in this process.
pub(crate) fn run_task<S: Step>(context: &Context<'_>, step: &S, message: &TaskMessage) -> Result<TaskReply, Error> {
    let TaskMessage { format, build, run_id, dataset, plan, task, .. } = message;
    is_readable(context, *format, build)?;
    let task: S::Task = S::Task::deserialize(task)
        .map_err(|error| Error::new(ErrorKind::Bug, "a task cannot be read").because(error))?;
    let checkpoint = dataset.clone().zip(plan.clone()).map(|(dataset, plan)| Checkpoint { dataset, plan });
    let scope = TaskScope { run_id: run_id.clone(), checkpoint };
    let session = step.session(context, &scope)?;
    let receipt = match step.run(context, &session, &task, None)? {
        TaskOutcome::Done(receipt) => receipt,
        TaskOutcome::Late(_) => {
            let message =
                format!("task {} of {} cannot be finished within one invocation", step.task_name(&task), step.id());
            return Err(Error::new(ErrorKind::Refused, message).hint("give the function a longer timeout"));
        }
    };
    let receipt = step.persist(context, &session, vec![receipt])?.pop();
    let receipt = serde_json::to_value(receipt)
        .map_err(|error| Error::new(ErrorKind::Bug, "a receipt cannot be written").because(error))?;
    Ok(TaskReply { format: FORMAT, build: context.process.build.to_owned(), receipt })
}

fn is_readable(context: &Context<'_>, format: u32, build: &str) -> Result<(), Error> {
    if format == FORMAT && build == context.process.build {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Retry, "the task is from another version of this program")
        .hint("run again once all functions have the same version"))
}
