//! Implements [`Step`] for step `clean`.

use tidemark_flow::{Context, DraftSummary, Error, Scope, Step, TaskOutcome, TaskScope, Trigger};
use tidemark_lake::Outcome;
use tidemark_pipeline::{DatasetName, StepId};

use super::definition::Clean;
use super::draft::Drafts;
use super::plan::{self, Observed, Plan};
use super::receipts::{Receipt, Task};
use super::run::Session;
use super::tasks;
use crate::spill::SpillBuffer;

impl Step for Clean<'_> {
    type Observed = Observed;
    type Plan = Plan;
    type Task = Task;
    type Receipt = Receipt;
    type Partial = ();
    type Session<'s>
        = Session<'s>
    where
        Self: 's;
    type Draft = Drafts;

    fn pipeline(&self) -> &str {
        self.pipeline.name.as_str()
    }

    fn id(&self) -> StepId {
        StepId::Clean
    }

    fn observe(&self, context: &Context<'_>, trigger: &Trigger) -> Result<Option<Observed>, Error> {
        self.observe_logs(context, trigger)
    }

    fn plan(&self, observed: Observed, trigger: &Trigger) -> Result<Option<Plan>, Error> {
        Ok(Some(self.decide(observed, trigger)))
    }

    fn scope(&self, plan: &Plan) -> Scope {
        plan::scope(plan)
    }

    fn checkpoint(&self, plan: &Plan) -> Option<(DatasetName, String)> {
        Some((self.contract.dataset.clone(), plan::text(self, plan)))
    }

    fn tasks(&self, plan: &Plan, receipts: &[Receipt]) -> Result<Vec<Task>, Error> {
        self.stage(plan, receipts)
    }

    fn task_name(&self, task: &Task) -> String {
        tasks::name(task)
    }

    fn session<'s>(&'s self, context: &Context<'s>, scope: &TaskScope) -> Result<Session<'s>, Error> {
        Session::new(self, SpillBuffer::new(context, scope))
    }

    fn run(
        &self,
        context: &Context<'_>,
        session: &Session<'_>,
        task: &Task,
        _: Option<()>,
    ) -> Result<TaskOutcome<Receipt, ()>, Error> {
        session.run(context, task).map(TaskOutcome::Done)
    }

    fn persist(
        &self,
        _: &Context<'_>,
        session: &Session<'_>,
        mut receipts: Vec<Receipt>,
    ) -> Result<Vec<Receipt>, Error> {
        session.buffer.persist(receipts.iter_mut().flat_map(Receipt::chunks_mut))?;
        Ok(receipts)
    }

    fn has_spilled(&self, session: &Session<'_>) -> bool {
        session.buffer.is_in_lake()
    }

    fn spill_objects<'r>(&self, receipt: &'r Receipt) -> Vec<&'r str> {
        receipt.objects()
    }

    fn gather(
        &self,
        plan: Plan,
        receipts: Vec<Receipt>,
        run_id: &str,
    ) -> Result<Option<(DraftSummary, Drafts)>, Error> {
        self.draft(plan, receipts, run_id).map(Some)
    }

    fn commit(&self, context: &Context<'_>, draft: Drafts, _: &mut DraftSummary) -> Result<Outcome, Error> {
        draft.commit(context)
    }
}
