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
    pub(super) fn finished_count(&self) -> usize {
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

#[cfg(test)]
mod tests {
    use tidemark_pipeline::{Graph, SourceFile, read};

    use super::*;

    const MODELS: &str = "[[model]]\nname = 'totals'\nsql = 'SELECT COUNT(*) AS n FROM orders'\n\
        [[model]]\nname = 'notes'\nsql = 'SELECT id FROM orders'\n";

    fn graph(targets: &str) -> Graph {
        let text = format!(
            "[source]\nkind = 'files'\npath = 'in'\nformat = 'csv'\n[contract]\ndataset = 'orders'\n\
             [contract.columns]\nid = 'int64'\n{MODELS}{targets}"
        );
        let file = SourceFile::new("pipelines/orders.toml", text.as_bytes()).unwrap();
        let definition = read(&file, &|_| None, &|_| Err(String::new()));
        Graph::new(vec![definition.unwrap_or_else(|mistakes| panic!("{mistakes:?}"))]).unwrap()
    }

    fn target(dataset: &str, file: &str) -> String {
        format!(
            "[[target]]\nkind = 'sqlite'\ndataset = '{dataset}'\npath = '{file}'\ntable = '{dataset}'\nmode = 'swap'\n"
        )
    }

    /// An order in which the steps of ingest and clean have ended.
    fn cleaned(graph: &Graph) -> Order<'_> {
        let mut order = Order::new(graph.steps().collect());
        for _ in 0..2 {
            let nth = order.take().unwrap();
            assert_eq!(order.take(), None);
            order.end(nth, false);
        }
        order
    }

    fn name(order: &Order<'_>, nth: usize) -> String {
        order.step(nth).1.to_string()
    }

    #[test]
    fn steps_run_after_a_failure_do_not_depend_on_timing() {
        let graph = graph(&(target("orders", "a.db") + &target("totals", "b.db")));
        // The model ends before its siblings are taken, or after them.
        for is_early in [true, false] {
            let mut order = cleaned(&graph);
            let first = order.take().unwrap();
            assert_eq!(name(&order, first), "model totals");
            let mut ran = Vec::new();
            if is_early {
                order.end(first, true);
            }
            while let Some(nth) = order.take() {
                ran.push(nth);
            }
            if !is_early {
                order.end(first, true);
            }
            for nth in ran.clone() {
                order.end(nth, false);
            }
            while let Some(nth) = order.take() {
                ran.push(nth);
                order.end(nth, false);
            }
            let ran: Vec<String> = ran.into_iter().map(|nth| name(&order, nth)).collect();
            assert_eq!(ran, ["model notes", "load sqlite-orders"], "early: {is_early}");
        }
    }

    #[test]
    fn a_sqlite_file_takes_one_load_at_a_time() {
        let graph = graph(&(target("totals", "one.db") + &target("notes", "one.db") + &target("orders", "other.db")));
        let mut order = cleaned(&graph);
        let mut taken: Vec<usize> = std::iter::from_fn(|| order.take()).collect();
        assert_eq!(taken.len(), 3, "two models and the load of orders");
        taken.drain(..).for_each(|nth| order.end(nth, false));
        let first = order.take().unwrap();
        assert_eq!((name(&order, first).as_str(), order.take()), ("load sqlite-totals", None));
        order.end(first, false);
        assert_eq!(order.take().map(|nth| name(&order, nth)).as_deref(), Some("load sqlite-notes"));
    }

    #[test]
    fn a_step_that_is_put_back_is_taken_again() {
        let graph = graph("");
        let mut order = cleaned(&graph);
        let first = order.take().unwrap();
        order.put_back(first);
        assert_eq!(order.take(), Some(first));
    }
}
