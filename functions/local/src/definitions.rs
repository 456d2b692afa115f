//! Pipeline files of the folder the user names, with the parameters the user gives.

use std::path::Path;

use serde::Serialize;
use tidemark_flow::{Error, Selection, load_definitions};
use tidemark_pipeline::{Graph, Parameter, SourceFile, parameters};

use crate::args::Common;

/// Reads every pipeline file of the folder.
pub fn load(common: &Common, wanted: Selection<'_>) -> Result<Graph, Error> {
    load_definitions(&common.pipelines, &|name| value(common, name), wanted)
}

pub(crate) fn value(common: &Common, name: &str) -> Option<String> {
    let given = common.parameters.iter().rev().find(|(set, _)| set == name).map(|(_, value)| value.clone());
    given.or_else(|| std::env::var(name).ok())
}

/// A pipeline that is not meant by a verb without names, for want of values.
#[derive(Debug, Serialize)]
pub(crate) struct LeftOut {
    pub pipeline: String,
    /// Its parameters without a value.
    pub missing: Vec<String>,
}

/// What a verb is about: the pipelines named, or else all that have a value for each of their parameters, and those left out for it. If
/// none has, all are meant, so that the mistakes are told.
pub(crate) fn meant(common: &Common, names: &[String]) -> (Vec<String>, Vec<LeftOut>) {
    if !names.is_empty() {
        return (names.to_vec(), Vec::new());
    }
    // a folder that cannot be read is told of by `load`
    let paths = std::fs::read_dir(&common.pipelines).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "toml")).collect();
    paths.sort();
    let (mut ready, mut left_out) = (Vec::new(), Vec::new());
    for path in paths {
        let Some(pipeline) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        let has_value = |parameter: &Parameter| value(common, &parameter.name).or(parameter.default.clone()).is_some();
        let lacks = |parameter: &Parameter| parameter.needed && !has_value(parameter);
        let missing: Vec<_> =
            read_parameters(&path).into_iter().filter(lacks).map(|parameter| parameter.name).collect();
        match missing.is_empty() {
            true => ready.push(pipeline),
            false => left_out.push(LeftOut { pipeline, missing }),
        }
    }
    if ready.is_empty() { (Vec::new(), Vec::new()) } else { (ready, left_out) }
}

/// None of a file that has mistakes, which others tell.
fn read_parameters(path: &Path) -> Vec<Parameter> {
    let shown = path.display().to_string();
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let Ok(file) = SourceFile::new(&shown, &bytes) else { return Vec::new() };
    parameters(&file).unwrap_or_default()
}

/// Parameters of a pipeline file, for people.
pub(crate) fn parameters_of(common: &Common, name: &str) -> Vec<String> {
    read_parameters(&common.pipelines.join(format!("{name}.toml")))
        .into_iter()
        .map(|parameter| {
            let given = value(common, &parameter.name).or(parameter.default);
            let shown = match given {
                None if parameter.needed => "(no value: --set it)".to_owned(),
                Some(value) if !value.is_empty() => format!("= {value}"),
                None | Some(_) => "(no value)".to_owned(),
            };
            let about = parameter.about.map(|about| format!("   {about}")).unwrap_or_default();
            format!("{} {shown}{about}", parameter.name)
        })
        .collect()
}
