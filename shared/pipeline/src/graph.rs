//! The graph of all pipelines: producer and consumers of each dataset, and the order of execution.

mod check;
mod draw;

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::Pipeline;
use crate::definition::model::Model;
use crate::definition::target::Target;
use crate::diagnostic::{Diagnostic, Place, did_you_mean, one_of};
use crate::name::{DatasetName, PipelineName};
use crate::partitioning::Partitioning;
use crate::read::{Definition, Secrets};
use crate::step::StepId;

/// No pipeline has this name. Contains a similar name if there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown pipeline `{name}`; expected {known}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct UnknownPipeline {
    pub name: String,
    pub known: String,
    pub hint: Option<String>,
}

/// Consistent pipelines: every dataset has exactly one producer, and there are no cycles.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Sorted by name.
    pipelines: Vec<Pipeline>,
    /// Steps with the index of their pipeline, in order of execution: each step follows the producers of its inputs.
    steps: Vec<(usize, StepId)>,
    /// The file of each pipeline, and the secrets that it names.
    files: Vec<(String, Secrets)>,
    /// Place of the definition of each clean dataset and model.
    definition_places: BTreeMap<DatasetName, Place>,
    /// Partitioning of each partitioned dataset.
    partitionings: BTreeMap<DatasetName, Partitioning>,
}

impl Graph {
    /// # Errors
    /// All datasets with two producers, duplicate pipeline names, inputs that no pipeline produces, and cycles; sorted by place.
    pub fn new(mut definitions: Vec<Definition>) -> Result<Graph, Vec<Diagnostic>> {
        definitions.sort_by(|a, b| (&a.pipeline.name, &a.file).cmp(&(&b.pipeline.name, &b.file)));
        let diagnostics = check::check(&definitions);
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let outputs = definitions.iter().flat_map(|definition| &definition.outputs);
        let definition_places = outputs.map(|mention| (mention.dataset.clone(), mention.at.clone())).collect();
        let parts = |of: Definition| (of.pipeline, (of.file, of.secrets));
        let (pipelines, files): (Vec<Pipeline>, _) = definitions.into_iter().map(parts).unzip();
        let steps = order(&pipelines);
        let partitionings = partitionings(&pipelines, &steps);
        Ok(Graph { pipelines, steps, files, definition_places, partitionings })
    }

    /// Sorted by name.
    pub fn pipelines(&self) -> &[Pipeline] {
        &self.pipelines
    }

    /// Each pipeline with its file and the secrets that it names, sorted by name.
    pub fn files(&self) -> impl Iterator<Item = (&Pipeline, &str, &Secrets)> {
        let files = self.files.iter().map(|(file, secrets)| (file.as_str(), secrets));
        self.pipelines.iter().zip(files).map(|(pipeline, (file, secrets))| (pipeline, file, secrets))
    }

    /// Place of the definition of a dataset; for a raw dataset or a quarantine, that of its clean dataset.
    pub fn place_of(&self, dataset: &DatasetName) -> Option<&Place> {
        self.definition_places.get(dataset).or_else(|| self.definition_places.get(&dataset.base().parse().ok()?))
    }

    /// The partitioning of a dataset; `None` if it is not partitioned.
    pub fn partitioning(&self, dataset: &DatasetName) -> Option<&Partitioning> {
        self.partitionings.get(dataset)
    }

    /// # Errors
    /// There is no such pipeline. The error lists the existing ones.
    pub fn pipeline(&self, name: &str) -> Result<&Pipeline, UnknownPipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.name.as_str() == name).ok_or_else(|| {
            let names = || self.pipelines.iter().map(|pipeline| pipeline.name.as_str());
            UnknownPipeline { name: name.to_owned(), known: one_of(names()), hint: did_you_mean(name, names()) }
        })
    }

    /// All steps in order of execution: each step follows the producers of its inputs. Otherwise pipelines are in order of their names, and
    /// steps in file order.
    pub fn steps(&self) -> impl Iterator<Item = (&Pipeline, &StepId)> {
        self.steps.iter().map(|(pipeline, step)| (&self.pipelines[*pipeline], step))
    }

    /// The steps of one pipeline, in order of execution.
    pub fn steps_of(&self, pipeline: &PipelineName) -> impl Iterator<Item = &StepId> {
        self.steps().filter(move |(of, _)| of.name == *pipeline).map(|(_, step)| step)
    }

    /// All models, in order of execution.
    pub fn models(&self) -> impl Iterator<Item = (&Pipeline, &Model)> {
        self.steps().filter_map(|(pipeline, step)| match step {
            StepId::Model(name) => Some((pipeline, pipeline.models.iter().find(|model| model.name == *name)?)),
            _ => None,
        })
    }

    /// The step that produces a dataset (raw, clean, quarantine or model).
    pub fn producer(&self, dataset: &DatasetName) -> Option<(&Pipeline, &StepId)> {
        self.steps().find(|(pipeline, step)| outputs(pipeline, step).contains(dataset))
    }

    /// The steps that read a dataset, in order of execution.
    pub fn consumers(&self, dataset: &DatasetName) -> impl Iterator<Item = (&Pipeline, &StepId)> {
        self.steps().filter(move |(pipeline, step)| inputs(pipeline, step).contains(dataset))
    }
}

/// The steps of a pipeline, in file order.
fn steps_of(pipeline: &Pipeline) -> Vec<StepId> {
    let clean = pipeline.contract.iter().flat_map(|_| [StepId::Ingest, StepId::Clean]);
    let models = pipeline.models.iter().map(|model| StepId::Model(model.name.clone()));
    let loads = pipeline.targets.iter().map(|target| StepId::Load(target.name().to_owned()));
    clean.chain(models).chain(loads).collect()
}

/// The datasets that a step reads.
pub fn inputs(pipeline: &Pipeline, step: &StepId) -> Vec<DatasetName> {
    match step {
        StepId::Ingest => Vec::new(),
        StepId::Clean => pipeline.contract.iter().map(|contract| contract.dataset.raw()).collect(),
        StepId::Model(name) => {
            pipeline.models.iter().filter(|model| model.name == *name).flat_map(|model| model.inputs.clone()).collect()
        }
        StepId::Load(name) => {
            pipeline.targets.iter().filter(|target| target.name() == name).flat_map(Target::inputs).collect()
        }
    }
}

/// The datasets that a step produces.
pub fn outputs(pipeline: &Pipeline, step: &StepId) -> Vec<DatasetName> {
    match step {
        StepId::Ingest => pipeline.contract.iter().map(|contract| contract.dataset.raw()).collect(),
        StepId::Clean => {
            let both = |dataset: &DatasetName| [dataset.clone(), dataset.quarantine()];
            pipeline.contract.iter().flat_map(|contract| both(&contract.dataset)).collect()
        }
        StepId::Model(name) => vec![name.clone()],
        StepId::Load(_) => Vec::new(),
    }
}

/// The partitioning of each partitioned dataset. Those of models are derived from their inputs, so `steps` must be in order of execution.
fn partitionings(pipelines: &[Pipeline], steps: &[(usize, StepId)]) -> BTreeMap<DatasetName, Partitioning> {
    let mut all: BTreeMap<DatasetName, Partitioning> = BTreeMap::new();
    for (pipeline, step) in steps {
        let pipeline = &pipelines[*pipeline];
        for dataset in outputs(pipeline, step) {
            let partitioning = match step {
                StepId::Model(name) => {
                    let model = pipeline.models.iter().find(|model| model.name == *name);
                    model.and_then(|model| Partitioning::for_model(model, |input| all.get(input)))
                }
                _ if dataset.is_raw() || dataset.is_quarantine() => Some(Partitioning::for_objects()),
                _ => pipeline.contract.as_ref().and_then(Partitioning::for_contract),
            };
            all.extend(partitioning.map(|partitioning| (dataset, partitioning)));
        }
    }
    all
}

/// Kahn's algorithm. Among the steps whose inputs are ready, the first in file order is next, so the result is stable.
fn order(pipelines: &[Pipeline]) -> Vec<(usize, StepId)> {
    let all: Vec<(usize, StepId)> = pipelines
        .iter()
        .enumerate()
        .flat_map(|(n, pipeline)| steps_of(pipeline).into_iter().map(move |s| (n, s)))
        .collect();
    let mut producers = BTreeMap::new();
    for (node, (n, step)) in all.iter().enumerate() {
        for dataset in outputs(&pipelines[*n], step) {
            producers.insert(dataset, node);
        }
    }
    let mut dependencies: Vec<BTreeSet<usize>> = Vec::new();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    for (node, (n, step)) in all.iter().enumerate() {
        let before: BTreeSet<usize> =
            inputs(&pipelines[*n], step).iter().filter_map(|dataset| producers.get(dataset).copied()).collect();
        for producer in &before {
            dependents[*producer].push(node);
        }
        dependencies.push(before);
    }
    let mut free: BTreeSet<usize> = (0..all.len()).filter(|node| dependencies[*node].is_empty()).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(node) = free.pop_first() {
        order.push(all[node].clone());
        for dependent in &dependents[node] {
            dependencies[*dependent].remove(&node);
            if dependencies[*dependent].is_empty() {
                free.insert(*dependent);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests;
