//! Pipeline files from a folder.

use std::path::Path;

use anyhow::Context as _;
use tidemark_flow::{Failure, Kind};
use tidemark_pipeline::{Definition, Diagnostic, Graph, SourceFile, parameters, read};

use crate::cli::Common;
use crate::exit::Mistakes;

/// Which pipelines need their parameters.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// Those named; all if none is named.
    Named(&'a [String]),
    /// None: the files are only looked at.
    Nobody,
}

/// Reads every pipeline file of the folder.
///
/// # Errors
/// [`Mistakes`], all of them; a folder that is not there or holds no pipeline; a name nobody has.
pub fn load(common: &Common, wanted: Wanted<'_>) -> anyhow::Result<Graph> {
    let folder = &common.pipelines;
    let mut paths = Vec::new();
    let absent = || {
        let message = format!("no pipelines at {}", folder.display());
        Failure::new(Kind::Definition, message).hint("name their folder with --pipelines, or try: tidemark demo")
    };
    for entry in std::fs::read_dir(folder).map_err(|error| absent().because(error))? {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(absent().into());
    }
    paths.sort();
    let (mut definitions, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        match definition(common, wanted, &path, &bytes) {
            Ok(definition) => definitions.push(definition),
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes).into());
    }
    let graph = Graph::new(definitions).map_err(Mistakes)?;
    if let Wanted::Named(names) = wanted {
        for name in names {
            graph.pipeline(name).map_err(|unknown| Failure::new(Kind::Definition, unknown.to_string()))?;
        }
    }
    Ok(graph)
}

fn definition(common: &Common, wanted: Wanted<'_>, path: &Path, bytes: &[u8]) -> Result<Definition, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let file = SourceFile::new(&shown, bytes).map_err(|mistake| vec![mistake])?;
    let is_wanted = match wanted {
        Wanted::Named(names) => names.is_empty() || names.iter().any(|name| name == file.stem()),
        Wanted::Nobody => false,
    };
    // a pipeline nobody wants to run is checked with its parameters standing for themselves
    let parameter = |name: &str| value(common, name).or_else(|| (!is_wanted).then(|| format!("${{{name}}}")));
    let folder = path.parent().unwrap_or(Path::new("."));
    let sql_file = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    read(&file, &parameter, &sql_file)
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
