//! The graph as text: a tree per pipeline, in the direction of the data. A step with several inputs is drawn below the first one, with the
//! names of the others.

use std::collections::BTreeSet;

use super::{Graph, inputs, outputs};
use crate::definition::Pipeline;
use crate::definition::source::Source;
use crate::definition::target::{Postgres, PostgresUrl, Target};
use crate::name::DatasetName;
use crate::postgres::Address;
use crate::step::StepId;

impl Graph {
    /// The graph as text, one tree per pipeline.
    pub fn draw(&self) -> String {
        self.pipelines().iter().map(|pipeline| Drawing::new(self, pipeline).text()).collect::<Vec<_>>().join("\n")
    }
}

struct Drawing<'g> {
    pipeline: &'g Pipeline,
    steps: Vec<&'g StepId>,
    graph: &'g Graph,
    lines: Vec<String>,
    drawn: BTreeSet<&'g StepId>,
}

impl<'g> Drawing<'g> {
    fn new(graph: &'g Graph, pipeline: &'g Pipeline) -> Self {
        let steps = graph.steps_of(&pipeline.name).collect();
        Drawing { pipeline, steps, graph, lines: Vec::new(), drawn: BTreeSet::new() }
    }

    fn text(mut self) -> String {
        let schedule = self.pipeline.schedule.as_ref();
        let when = schedule.map(|schedule| format!("  {schedule}")).unwrap_or_default();
        self.lines.push(format!("{}{when}", self.pipeline.name));
        if let Some(source) = &self.pipeline.source {
            self.lines.push(match source {
                Source::Files(files) => format!("  {}", files.path),
                Source::Http(http) => format!("  {}", http.url),
            });
            self.branches(vec![&StepId::Ingest], "  ");
        }
        // steps that read datasets of other pipelines, below the dataset
        let steps = self.steps.clone();
        for step in steps {
            if self.drawn.contains(step) {
                continue;
            }
            match inputs(self.pipeline, step).first() {
                Some(input) => {
                    let producer =
                        self.graph.producer(input).filter(|(producer, _)| producer.name != self.pipeline.name);
                    let from = producer.map(|(producer, _)| format!("  (from {})", producer.name)).unwrap_or_default();
                    self.lines.push(format!("  {input}{from}"));
                    let children = self.readers(std::slice::from_ref(input));
                    self.branches(children, "  ");
                }
                None => self.branches(vec![step], "  "),
            }
        }
        self.lines.into_iter().map(|line| line + "\n").collect()
    }

    /// Steps not drawn yet whose first input is one of the datasets.
    fn readers(&self, datasets: &[DatasetName]) -> Vec<&'g StepId> {
        let first = |step: &StepId| inputs(self.pipeline, step).first().is_some_and(|input| datasets.contains(input));
        self.steps.iter().copied().filter(|step| !self.drawn.contains(step) && first(step)).collect()
    }

    fn branches(&mut self, steps: Vec<&'g StepId>, indent: &str) {
        let last = steps.len().saturating_sub(1);
        for (n, step) in steps.into_iter().enumerate() {
            let (branch, below) = if n == last { ("└─", "   ") } else { ("├─", "│  ") };
            self.drawn.insert(step);
            self.lines.push(format!("{indent}{branch} {}", self.label(step)));
            let children = self.readers(&outputs(self.pipeline, step));
            self.branches(children, &format!("{indent}{below}"));
        }
    }

    fn label(&self, step: &StepId) -> String {
        let label = match step {
            StepId::Ingest | StepId::Clean | StepId::Model(_) => {
                let made: Vec<String> = outputs(self.pipeline, step).iter().map(ToString::to_string).collect();
                made.join(" + ")
            }
            StepId::Load(name) => match self.pipeline.targets.iter().find(|target| target.name() == name) {
                Some(Target::Postgres(target)) => {
                    format!("▸ {name}: table {}", place(target))
                }
                Some(Target::Sqlite(target)) => format!("▸ {name}: table {} in {}", target.to.table, target.path),
                Some(Target::Report(target)) => format!("▸ {name}: {}-<day>.xlsx in {}", target.file, target.folder),
                None => format!("▸ {name}"),
            },
        };
        let others: Vec<String> = inputs(self.pipeline, step).iter().skip(1).map(ToString::to_string).collect();
        if others.is_empty() { label } else { format!("{label}  (and {})", others.join(", ")) }
    }
}

/// `shop.orders in db.example.com/shop`. Names may contain any text, so control characters are replaced by `?`.
fn place(target: &Postgres) -> String {
    let database = match &target.url {
        // unparsed if a parameter has no value
        PostgresUrl::Text(url) => Address::parse(url).map_or_else(|_| url.clone(), |(address, _)| address.to_string()),
        PostgresUrl::Secret(name) => format!("the database of secret {name}"),
    };
    let schema = target.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
    format!("{schema}{} in {database}", target.to.table).replace(char::is_control, "?")
}
