//! Decides which steps may run: a step may run when all steps that it depends on, and the earlier steps of its pipeline, are over.

use std::collections::BTreeSet;

use tidemark_pipeline::{Pipeline, StepId, graph};

/// Steps in the order of the graph, with their states.
pub(super) struct Order<'g> {
    steps: Vec<Planned<'g>>,
    /// Pipelines with a failed step: their later steps do not run.
    failed: BTreeSet<&'g str>,
}

struct Planned<'g> {
    pipeline: &'g Pipeline,
    id: &'g StepId,
    /// Indices of the steps that have to be over before.
    after: Vec<usize>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Over,
}

impl<'g> Order<'g> {
    /// `steps` must be in topological order.
    pub(super) fn new(steps: Vec<(&'g Pipeline, &'g StepId)>) -> Order<'g> {
        let mut planned: Vec<Planned<'g>> = Vec::new();
        // the depth of each step within its own pipeline
        let mut depths: Vec<usize> = Vec::new();
        for (pipeline, id) in steps {
            let inputs = graph::inputs(pipeline, id);
            let reads = |earlier: &Planned<'_>| {
                graph::outputs(earlier.pipeline, earlier.id).iter().any(|output| inputs.contains(output))
            };
            let own = |earlier: &Planned<'_>| earlier.pipeline.name == pipeline.name;
            let before = planned.iter().zip(&depths).filter(|(earlier, _)| own(earlier) && reads(earlier));
            let depth = before.map(|(_, depth)| depth + 1).max().unwrap_or_default();
            let is_before = |(earlier, of): &(&Planned<'_>, &usize)| reads(earlier) || own(earlier) && **of < depth;
            let after = planned.iter().zip(&depths).enumerate().filter(|(_, step)| is_before(step));
            let after = after.map(|(nth, _)| nth).collect();
            planned.push(Planned { pipeline, id, after, state: State::Waiting });
            depths.push(depth);
        }
        Order { steps: planned, failed: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn step(&self, nth: usize) -> (&'g Pipeline, &'g StepId) {
        (self.steps[nth].pipeline, self.steps[nth].id)
    }

    /// Takes the first step that may run now.
    pub(super) fn take(&mut self) -> Option<usize> {
        for nth in 0..self.steps.len() {
            let is_free = self.steps[nth].after.iter().all(|before| self.steps[*before].state == State::Over);
            let step = &mut self.steps[nth];
            if step.state != State::Waiting || !is_free {
                continue;
            }
            if self.failed.contains(step.pipeline.name.as_str()) {
                step.state = State::Over;
                continue;
            }
            step.state = State::Running;
            return Some(nth);
        }
        None
    }

    pub(super) fn end(&mut self, nth: usize, has_failed: bool) {
        self.steps[nth].state = State::Over;
        if has_failed {
            self.failed.insert(self.steps[nth].pipeline.name.as_str());
        }
    }

    /// Whether no step is running. Called when [`Self::take`] found none.
    pub(super) fn is_idle(&self) -> bool {
        self.steps.iter().all(|step| step.state != State::Running)
    }

    /// How many steps are over before the first that is not.
    pub(super) fn over(&self) -> usize {
        self.steps.iter().take_while(|step| step.state == State::Over).count()
    }
}
