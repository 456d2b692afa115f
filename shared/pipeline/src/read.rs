//! Parses a pipeline file into a [`Pipeline`], or into all errors in it. The caller does the I/O: it passes the text, the values of
//! parameters, and the texts of SQL files.

mod alerts;
mod contract;
mod document;
mod fields;
mod http;
mod literal;
pub(crate) mod mention;
mod model;
mod names;
mod parameters;
mod query;
mod report;
mod schedule;
mod source;
mod target;
mod values;

use std::collections::BTreeSet;

use crate::definition::Pipeline;
use crate::diagnostic::Diagnostic;
use crate::file::SourceFile;
use crate::name::{PipelineName, SecretName};

pub use alerts::alerts_of;
use document::parse;
use fields::{Fields, Reader, TextValue};
use mention::{Mention, Mentions};
pub use parameters::parameters;

const FIELDS: [&str; 8] = ["description", "schedule", "parameters", "source", "contract", "model", "target", "alerts"];

/// A checked pipeline, with the places of the dataset names in its files, for the checks across all pipelines.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub pipeline: Pipeline,
    /// The pipeline's file.
    pub file: String,
    pub secrets: Secrets,
    pub(crate) outputs: Vec<Mention>,
    pub(crate) inputs: Vec<Mention>,
}

/// The secrets that a pipeline file names, by the part that uses them. Includes those of disabled targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    pub source: BTreeSet<SecretName>,
    pub targets: BTreeSet<SecretName>,
    pub alerts: BTreeSet<SecretName>,
}

/// Reads a pipeline file.
///
/// - `parameter` returns the value of `${NAME}`; it takes precedence over the default in `[parameters]`. Values are not expanded again, so
///   a caller without values can check the file with `|name| Some(format!("${{{name}}}"))`. The conditions of targets then use the default.
/// - `sql_file` returns the text of an SQL file. The path is as in the pipeline file, relative to its folder. The error is the reason ("no
///   such file").
///
/// # Errors
/// All errors in the file, by line.
pub fn read(
    file: &SourceFile<'_>,
    parameter: &dyn Fn(&str) -> Option<String>,
    sql_file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Definition, Vec<Diagnostic>> {
    let document = parse(file)?;
    let defaults = parameters::defaults(document.get_ref());
    let parameter = |name: &str| parameter(name).or_else(|| defaults.get(name).cloned());
    let reader = Reader::new(file, &parameter, sql_file);
    let top = reader.fields(document.get_ref(), 0, "the file".to_owned(), &FIELDS);
    parameters::check(&top);
    let definition = definition(&top);
    let diagnostics = reader.into_diagnostics();
    match definition {
        Some(definition) if diagnostics.is_empty() => Ok(definition),
        _ => Err(diagnostics),
    }
}

fn definition(top: &Fields<'_, '_>) -> Option<Definition> {
    let reader = top.reader;
    let stem = TextValue { text: reader.file.stem().to_owned(), at: 0, verbatim: None };
    let name: Option<PipelineName> = reader.name(&stem);
    let mut mentions = Mentions::default();
    let schedule = schedule::schedule(top);
    let source = source::source(top);
    let of_source = reader.take_secrets();
    let contract = contract::contract(top, name.as_ref(), source.as_ref(), &mut mentions);
    match (top.value("source"), top.value("contract")) {
        (Some(source), None) => {
            reader.report(source.span().start, "[source] without a contract", "[contract], which defines the columns");
        }
        (None, Some(contract)) => {
            reader.report(
                contract.span().start,
                "[contract] without a source",
                "[source], which the contract applies to",
            );
        }
        _ => {}
    }
    let children = contract.iter().flat_map(contract::explode::children);
    let models = children.chain(model::models(top, &mut mentions)).collect();
    let targets = target::targets(top, name.as_ref(), schedule.as_ref(), contract.as_ref(), &mut mentions);
    let of_targets = reader.take_secrets();
    let alerts = alerts::alerts(top, schedule.as_ref());
    let secrets = Secrets { source: of_source, targets: of_targets, alerts: reader.take_secrets() };
    // not after another error, which may be its cause
    if reader.is_clean() && ["source", "contract", "model", "target"].iter().all(|key| top.value(key).is_none()) {
        reader.report(0, "a pipeline that does nothing", "[source] and [contract], a [[model]] or a [[target]]");
    }
    let pipeline = Pipeline {
        name: name?,
        description: top.text("description").map(|text| text.text),
        schedule,
        source,
        contract,
        models,
        targets,
        alerts,
    };
    let file = reader.file.path().to_owned();
    Some(Definition { pipeline, file, secrets, outputs: mentions.outputs, inputs: mentions.inputs })
}

#[cfg(test)]
mod tests;
