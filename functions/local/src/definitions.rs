//! Pipeline files of the folder the user names, with the parameters the user gives.

use tidemark_flow::{Failure, Wanted, load_definitions};
use tidemark_pipeline::{Graph, SourceFile, parameters};

use crate::cli::Common;

/// Reads every pipeline file of the folder.
pub fn load(common: &Common, wanted: Wanted<'_>) -> Result<Graph, Failure> {
    load_definitions(&common.pipelines, &|name| value(common, name), wanted)
}

fn value(common: &Common, name: &str) -> Option<String> {
    let given = common.parameters.iter().rev().find(|(set, _)| set == name).map(|(_, value)| value.clone());
    given.or_else(|| std::env::var(name).ok())
}

/// Parameters of a pipeline file, for people.
pub(crate) fn parameters_of(common: &Common, name: &str) -> Vec<String> {
    let path = common.pipelines.join(format!("{name}.toml"));
    let shown = path.display().to_string();
    let Ok(bytes) = std::fs::read(&path) else { return Vec::new() };
    let Ok(file) = SourceFile::new(&shown, &bytes) else { return Vec::new() };
    let found = parameters(&file).unwrap_or_default();
    found
        .into_iter()
        .map(|parameter| {
            let given = value(common, &parameter.name).or(parameter.default);
            let shown = given.map_or("(no value: --set it)".to_owned(), |value| format!("= {value}"));
            let about = parameter.about.map(|about| format!("   {about}")).unwrap_or_default();
            format!("{} {shown}{about}", parameter.name)
        })
        .collect()
}
