//! Loads pipeline files from a folder.

use std::path::{Path, PathBuf};

use tidemark_pipeline::read::alerts_of;
use tidemark_pipeline::{Alerts, Definition, Diagnostic, Graph, SourceFile, read};

use crate::error::{Error, ErrorKind};

/// Selects the pipelines whose parameters must have values.
#[derive(Clone, Copy)]
pub enum Selection<'a> {
    /// The named pipelines, or all if the list is empty.
    Named(&'a [String]),
    /// No pipeline: the files are only checked.
    CheckOnly,
}

/// All mistakes found in pipeline files.
#[derive(Debug)]
pub struct DefinitionErrors(pub Vec<Diagnostic>);

impl std::fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionErrors {}

impl From<DefinitionErrors> for Error {
    fn from(mistakes: DefinitionErrors) -> Error {
        let count = mistakes.0.len();
        let what = if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") };
        Error::new(ErrorKind::Definition, format!("{what} in the pipeline files"))
            .hint("fix them; tidemark check shows them all")
            .because(mistakes)
    }
}

/// Reads every pipeline file of a folder. `parameter` returns the value of a parameter by its name.
///
/// # Errors
/// Kind `definition`: mistakes in the files (all of them, as [`DefinitionErrors`] in the source), a folder that does not exist or contains
/// no pipeline, or a selected name that no pipeline has.
pub fn load(folder: &Path, parameter: &dyn Fn(&str) -> Option<String>, wanted: Selection<'_>) -> Result<Graph, Error> {
    let paths = files_of(folder)?;
    let (mut definitions, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
        match definition(&path, &bytes, parameter, wanted) {
            Ok(definition) => definitions.push(definition),
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        return Err(DefinitionErrors(mistakes).into());
    }
    let graph = Graph::new(definitions).map_err(DefinitionErrors)?;
    if let Selection::Named(names) = wanted {
        for name in names {
            graph.pipeline(name).map_err(|unknown| Error::new(ErrorKind::Definition, unknown.to_string()))?;
        }
    }
    Ok(graph)
}

/// A pipeline whose definition could not be loaded, and the people to notify about it.
#[derive(Debug)]
pub struct BrokenPipeline {
    /// The stem of its file name.
    pub pipeline: String,
    pub error: Error,
    /// Its own `[alerts]` table, if that part of the file can be read.
    pub alerts: Option<Alerts>,
    /// Its only mistake is that it reads a dataset of another broken pipeline.
    pub is_consequence: bool,
}

/// Reads every readable pipeline file of a folder; a broken file does not hide the others. `is_selected` filters pipelines by the stem of
/// their file name.
///
/// # Errors
/// Kind `definition`: a folder that does not exist or contains no pipeline.
pub fn load_readable(
    folder: &Path,
    parameter: &dyn Fn(&str) -> Option<String>,
    is_selected: &dyn Fn(&str) -> bool,
) -> Result<(Graph, Vec<BrokenPipeline>), Error> {
    let (mut definitions, mut broken) = (Vec::new(), Vec::new());
    for path in files_of(folder)? {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_selected(&stem) {
            continue;
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                broken.push(BrokenPipeline {
                    pipeline: stem,
                    error: unreadable(&path, error),
                    alerts: None,
                    is_consequence: false,
                });
                continue;
            }
        };
        match definition(&path, &bytes, parameter, Selection::Named(&[])) {
            Ok(definition) => definitions.push(definition),
            Err(mistakes) => {
                let shown = path.display().to_string();
                let file = SourceFile::new(&shown, &bytes).ok();
                let alerts = file.and_then(|file| alerts_of(&file, parameter));
                broken.push(BrokenPipeline {
                    pipeline: stem,
                    error: DefinitionErrors(mistakes).into(),
                    alerts,
                    is_consequence: false,
                });
            }
        }
    }
    // remove definitions that do not fit together until the others form a graph
    loop {
        let mistakes = match Graph::new(definitions.clone()) {
            Ok(graph) => return Ok((graph, broken)),
            Err(mistakes) => mistakes,
        };
        let is_named = |definition: &Definition| mistakes.iter().any(|mistake| mistake.file == definition.file);
        let (out, fit): (Vec<_>, Vec<_>) = definitions.into_iter().partition(is_named);
        let has_others = !broken.is_empty();
        for definition in &out {
            let own: Vec<_> = mistakes.iter().filter(|mistake| mistake.file == definition.file).cloned().collect();
            broken.push(BrokenPipeline {
                pipeline: definition.pipeline.name.to_string(),
                error: DefinitionErrors(own.clone()).into(),
                alerts: Some(definition.pipeline.alerts.clone()),
                is_consequence: has_others && own.iter().all(Diagnostic::is_unknown_dataset),
            });
        }
        // a mistake that belongs to no file would never disappear, so give up on all
        definitions = if out.is_empty() { Vec::new() } else { fit };
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Definition, format!("{} cannot be read", path.display())).because(error)
}

/// The pipeline files of a folder, sorted by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let absent = || {
        let message = format!("no pipelines at {}", folder.display());
        Error::new(ErrorKind::Definition, message).hint("name their folder with --pipelines, or try: tidemark demo")
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| absent().because(error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(absent());
    }
    paths.sort();
    Ok(paths)
}

fn definition(
    path: &Path,
    bytes: &[u8],
    parameter: &dyn Fn(&str) -> Option<String>,
    wanted: Selection<'_>,
) -> Result<Definition, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let file = SourceFile::new(&shown, bytes).map_err(|mistake| vec![mistake])?;
    let is_wanted = match wanted {
        Selection::Named(names) => names.is_empty() || names.iter().any(|name| name == file.stem()),
        Selection::CheckOnly => false,
    };
    // pipelines that are not selected are only checked: each parameter stands for itself
    let parameter = |name: &str| parameter(name).or_else(|| (!is_wanted).then(|| format!("${{{name}}}")));
    let folder = path.parent().unwrap_or(Path::new("."));
    let sql_file = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    read(&file, &parameter, &sql_file)
}
