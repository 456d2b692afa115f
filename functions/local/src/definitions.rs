//! Loads the pipeline files of the chosen folder, with the given parameters.

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

/// A pipeline that a verb without names leaves out, because parameters have no value.
#[derive(Debug, Serialize)]
pub(crate) struct LeftOut {
    pub pipeline: String,
    /// Its parameters without a value.
    pub missing: Vec<String>,
}

/// The pipelines that a verb runs on: the named ones, or else all whose parameters have values; and the pipelines left out. If none has all
/// its values, no names are returned, which selects all, so that the missing parameters are reported.
pub(crate) fn select_pipelines(common: &Common, names: &[String]) -> (Vec<String>, Vec<LeftOut>) {
    if !names.is_empty() {
        return (names.to_vec(), Vec::new());
    }
    // a folder that cannot be read is reported by `load`
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

/// The parameters of a file. Empty if the file has mistakes, which are reported elsewhere.
fn read_parameters(path: &Path) -> Vec<Parameter> {
    let shown = path.display().to_string();
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let Ok(file) = SourceFile::new(&shown, &bytes) else { return Vec::new() };
    parameters(&file).unwrap_or_default()
}

/// Parameters of a pipeline file with their values, as text.
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
