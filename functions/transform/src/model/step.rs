//! Implements [`Step`] for step `model`.

use tidemark_flow::{Context, DraftSummary, Error, Scope, Step, TaskOutcome, TaskScope, Trigger};
use tidemark_lake::Outcome;
use tidemark_pipeline::{DatasetName, StepId};

use super::definition::Model;
use super::draft::ModelDraft;
use super::plan::{self, Observed, Plan};
use super::receipts::{Receipt, Task};
use crate::tables::Tables;

impl Step for Model<'_> {
    type Observed = Observed;
    type Plan = Plan;
    type Task = Task;
    type Receipt = Receipt;
    type Partial = ();
    type Session<'s>
        = Tables
    where
        Self: 's;
    type Draft = ModelDraft;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Model(self.model.name.clone())
    }

    fn observe(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Observed>, Error> {
        self.observe_logs(context, trigger)
    }

    fn plan(&self, observed: Observed, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        self.decide(observed, trigger)
    }

    fn scope(&self, plan: &Plan) -> Scope {
        plan::scope(plan)
    }

    fn checkpoint(&self, plan: &Plan) -> Option<(DatasetName, String)> {
        Some((self.model.name.clone(), plan::text(self, plan)))
    }

    fn tasks(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        self.stage(plan, receipts)
    }

    fn task_name(&self, task: &Task) -> String {
        plan::name(task)
    }

    fn session<'s>(&'s self, _: &Context<'s>, _: &TaskScope) -> Result<Tables, Error> {
        Ok(Tables::default())
    }

    fn run(
        &self,
        context: &Context<'_>,
        tables: &Tables,
        task: &Task,
        _: Option<()>,
    ) -> Result<TaskOutcome<Receipt, ()>, Error> {
        self.compute(context, tables, task).map(TaskOutcome::Done)
    }

    fn gather(
        &self,
        plan: Plan,
        receipts: Vec<Receipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, Self::Draft)>, Error> {
        self.draft(plan, receipts, run_id)
    }

    fn commit(
        &self,
        context: &Context<'_>,
        (base, draft): Self::Draft,
        _: &mut DraftSummary,
    ) -> Result<Outcome, Error> {
        Ok(draft.commit(context.lake, base.as_ref())?)
    }
}
