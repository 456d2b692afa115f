//! Which steps may run now: a step when all that it reads from is done, and the earlier steps of its pipeline with it.

use std::collections::BTreeSet;

use tidemark_pipeline::{Pipeline, StepId, graph};

/// Steps in the order of their graph, and how far each is.
pub(super) struct Order<'g> {
    steps: Vec<Planned<'g>>,
    /// Pipelines of which a step has failed: those of its steps that come later do not run.
    failed: BTreeSet<&'g str>,
}

struct Planned<'g> {
    pipeline: &'g Pipeline,
    id: &'g StepId,
    /// The steps that have to be over before.
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
    /// `steps`: in an order in which none comes before one that it reads from.
    pub(super) fn new(steps: Vec<(&'g Pipeline, &'g StepId)>) -> Order<'g> {
        let mut planned: Vec<Planned<'g>> = Vec::new();
        // how many steps of its own pipeline each stands behind
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

    /// Whether nothing runs any more; asked when nothing could be taken.
    pub(super) fn is_idle(&self) -> bool {
        self.steps.iter().all(|step| step.state != State::Running)
    }

    /// Of the first steps so many are over.
    pub(super) fn over(&self) -> usize {
        self.steps.iter().take_while(|step| step.state == State::Over).count()
    }
}
