//! The steps of the graph as things that walk the corridor.

use ingest::Ingest;
use load::{LoadReport, LoadSqlite};
use tidemark_flow::{Failure, Kind, Ports, RunRecord, Size, Step as _, Trigger, walk};
use tidemark_lake::fingerprint;
use tidemark_pipeline::fingerprint::{of_contract, of_model, of_source};
use tidemark_pipeline::{Pipeline, Step, Target};
use transform::{Clean, Model};

/// One step, ready to walk.
pub(crate) enum Walker<'a> {
    Ingest(Ingest<'a>),
    Clean(Clean<'a>),
    Model(Model<'a>),
    Sqlite(LoadSqlite<'a>),
    Report(LoadReport<'a>),
}

impl<'a> Walker<'a> {
    pub(crate) fn new(pipeline: &'a Pipeline, step: &Step) -> Result<Walker<'a>, Failure> {
        let failed =
            |error: serde_json::Error| Failure::new(Kind::Bug, "a definition cannot be written down").because(error);
        let hash = |text: Result<String, serde_json::Error>| text.map(|text| fingerprint(&text)).map_err(failed);
        let walker = match step {
            Step::Ingest => match (&pipeline.source, &pipeline.contract) {
                (Some(source), Some(contract)) => {
                    Ingest::new(pipeline, contract.dataset.raw(), hash(of_source(source))?).map(Walker::Ingest)
                }
                _ => None,
            },
            Step::Clean => match &pipeline.contract {
                Some(contract) => Clean::new(pipeline, hash(of_contract(contract))?).map(Walker::Clean),
                None => None,
            },
            Step::Model(name) => match pipeline.models.iter().find(|model| model.name == *name) {
                Some(model) => Some(Walker::Model(Model::new(pipeline, model, hash(of_model(model))?))),
                None => None,
            },
            Step::Load(name) => {
                pipeline.targets.iter().find(|target| target.name() == name).map(|target| match target {
                    Target::Sqlite(target) => Walker::Sqlite(LoadSqlite::new(pipeline, target)),
                    Target::Report(report) => Walker::Report(LoadReport::new(pipeline, report)),
                })
            }
        };
        walker.ok_or_else(|| {
            Failure::new(Kind::Bug, format!("step {step} of {} is not in its definition", pipeline.name))
        })
    }

    pub(crate) fn walk(&self, ports: &Ports<'_>, trigger: &Trigger) -> RunRecord {
        match self {
            Walker::Ingest(step) => walk(ports, trigger, step),
            Walker::Clean(step) => walk(ports, trigger, step),
            Walker::Model(step) => walk(ports, trigger, step),
            Walker::Sqlite(step) => walk(ports, trigger, step),
            Walker::Report(step) => walk(ports, trigger, step),
        }
    }

    /// What the step would do now; `None` if nothing.
    pub(crate) fn due(&self, ports: &Ports<'_>, trigger: &Trigger) -> Result<Option<Size>, Failure> {
        Ok(match self {
            Walker::Ingest(step) => step.plan(ports, trigger)?.map(|plan| step.size(&plan)),
            Walker::Clean(step) => step.plan(ports, trigger)?.map(|plan| step.size(&plan)),
            Walker::Model(step) => step.plan(ports, trigger)?.map(|plan| step.size(&plan)),
            Walker::Sqlite(step) => step.plan(ports, trigger)?.map(|plan| step.size(&plan)),
            Walker::Report(step) => step.plan(ports, trigger)?.map(|plan| step.size(&plan)),
        })
    }
}
