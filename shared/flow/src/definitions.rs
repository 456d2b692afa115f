//! Pipeline files from a folder.

use std::path::{Path, PathBuf};

use tidemark_pipeline::read::alerts_of;
use tidemark_pipeline::{Alerts, Definition, Diagnostic, Graph, SourceFile, read};

use crate::error::{Error, ErrorKind};

/// Which pipelines need their parameters.
#[derive(Clone, Copy)]
pub enum Selection<'a> {
    /// Those named; all if none is named.
    Named(&'a [String]),
    /// None: the files are only looked at.
    Nobody,
}

/// Mistakes in pipeline files.
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
            .hint("mend them; tidemark check shows them all")
            .because(mistakes)
    }
}

/// Reads every pipeline file of a folder; `parameter` gives the value of a parameter by its name.
///
/// # Errors
/// Kind `definition`: all [`Mistakes`], as the source; a folder that is not there or holds no pipeline; a name nobody has.
pub fn load(folder: &Path, parameter: &dyn Fn(&str) -> Option<String>, wanted: Selection<'_>) -> Result<Graph, Error> {
    let paths = files_of(folder)?;
    let (mut definitions, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| unread(&path, error))?;
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

/// A pipeline that cannot be had, and who is to know.
#[derive(Debug)]
pub struct BrokenPipeline {
    /// The stem of its file.
    pub pipeline: String,
    pub failure: Error,
    /// What its own `[alerts]` say, where that table itself can be read.
    pub alerts: Option<Alerts>,
    /// Nothing is wrong with it but that it reads what another broken one would make.
    pub is_consequence: bool,
}

/// Reads the pipeline files of a folder as far as they can be read: one that is broken hides no other. `is_meant` leaves out pipelines by
/// the stem of their file.
///
/// # Errors
/// Kind `definition`: a folder that is not there or holds no pipeline.
pub fn load_what_can_be(
    folder: &Path,
    parameter: &dyn Fn(&str) -> Option<String>,
    is_meant: &dyn Fn(&str) -> bool,
) -> Result<(Graph, Vec<BrokenPipeline>), Error> {
    let (mut definitions, mut broken) = (Vec::new(), Vec::new());
    for path in files_of(folder)? {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_meant(&stem) {
            continue;
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                broken.push(BrokenPipeline {
                    pipeline: stem,
                    failure: unread(&path, error),
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
                    failure: DefinitionErrors(mistakes).into(),
                    alerts,
                    is_consequence: false,
                });
            }
        }
    }
    // those that do not fit together, until what is left does
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
                failure: DefinitionErrors(own.clone()).into(),
                alerts: Some(definition.pipeline.alerts.clone()),
                is_consequence: has_others && own.iter().all(Diagnostic::is_of_unknown_dataset),
            });
        }
        // a mistake of no file would never go
        definitions = if out.is_empty() { Vec::new() } else { fit };
    }
}

fn unread(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Definition, format!("{} cannot be read", path.display())).because(error)
}

/// The pipeline files of a folder, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let absent = || {
        let message = format!("no pipelines at {}", folder.display());
        Error::new(ErrorKind::Definition, message).hint("name their folder with --pipelines, or try: tidemark demo")
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| absent().because(error))? {
        let path = entry.map_err(|error| unread(folder, error))?.path();
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
        Selection::Nobody => false,
    };
    // a pipeline nobody wants to run is checked with its parameters standing for themselves
    let parameter = |name: &str| parameter(name).or_else(|| (!is_wanted).then(|| format!("${{{name}}}")));
    let folder = path.parent().unwrap_or(Path::new("."));
    let sql_file = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    read(&file, &parameter, &sql_file)
}
