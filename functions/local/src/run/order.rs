//! Decides which steps may run: a step may run when all steps that it depends on, and the earlier steps of its pipeline, are over.

use std::collections::BTreeMap;

use tidemark_pipeline::{Pipeline, StepId, Target, graph};

/// Steps in the order of the graph, with their states.
pub(super) struct Order<'g> {
    steps: Vec<Planned<'g>>,
    /// Pipelines with a failed step, and the smallest depth of one: deeper steps do not run. Steps of the same depth do, so that what runs
    /// after a failure does not depend on which of them began first.
    failed: BTreeMap<&'g str, usize>,
}

struct Planned<'g> {
    pipeline: &'g Pipeline,
    id: &'g StepId,
    /// Indices of the steps that have to be over before.
    after: Vec<usize>,
    /// Length of the longest chain of steps of its pipeline that lead to it.
    depth: usize,
    /// A SQLite file takes one load at a time: its path.
    file: Option<&'g str>,
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
        for (pipeline, id) in steps {
            let inputs = graph::inputs(pipeline, id);
            let reads = |earlier: &Planned<'_>| {
                graph::outputs(earlier.pipeline, earlier.id).iter().any(|output| inputs.contains(output))
            };
            let own = |earlier: &Planned<'_>| earlier.pipeline.name == pipeline.name;
            let before = planned.iter().filter(|earlier| own(earlier) && reads(earlier));
            let depth = before.map(|earlier| earlier.depth + 1).max().unwrap_or_default();
            let is_before = |earlier: &Planned<'_>| reads(earlier) || own(earlier) && earlier.depth < depth;
            let after = planned.iter().enumerate().filter(|(_, earlier)| is_before(earlier));
            let after = after.map(|(nth, _)| nth).collect();
            planned.push(Planned {
                pipeline,
                id,
                after,
                depth,
                file: sqlite_file(pipeline, id),
                state: State::Waiting,
            });
        }
        Order { steps: planned, failed: BTreeMap::new() }
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
            let is_in_use =
                |file| self.steps.iter().any(|step| step.state == State::Running && step.file == Some(file));
            let is_in_use = self.steps[nth].file.is_some_and(is_in_use);
            let step = &mut self.steps[nth];
            if step.state != State::Waiting || !is_free {
                continue;
            }
            if self.failed.get(step.pipeline.name.as_str()).is_some_and(|failed| *failed < step.depth) {
                step.state = State::Over;
                continue;
            }
            if is_in_use {
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
            let Planned { pipeline, depth, .. } = self.steps[nth];
            let failed = self.failed.entry(pipeline.name.as_str()).or_insert(depth);
            *failed = depth.min(*failed);
        }
    }

    /// Gives back a step that was taken and has not been started.
    pub(super) fn put_back(&mut self, nth: usize) {
        self.steps[nth].state = State::Waiting;
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

fn sqlite_file<'g>(pipeline: &'g Pipeline, id: &StepId) -> Option<&'g str> {
    let StepId::Load(name) = id else { return None };
    pipeline.targets.iter().find_map(|target| match target {
        Target::Sqlite(sqlite) if sqlite.name == *name => Some(sqlite.path.as_str()),
        _ => None,
    })
}
