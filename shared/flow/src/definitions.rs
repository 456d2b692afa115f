//! Pipeline files from a folder.

use std::path::Path;

use tidemark_pipeline::{Definition, Diagnostic, Graph, SourceFile, read};

use crate::failure::{Failure, Kind};

/// Which pipelines need their parameters.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// Those named; all if none is named.
    Named(&'a [String]),
    /// None: the files are only looked at.
    Nobody,
}

/// Mistakes in pipeline files.
#[derive(Debug)]
pub struct Mistakes(pub Vec<Diagnostic>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Failure {
        let count = mistakes.0.len();
        let what = if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") };
        Failure::new(Kind::Definition, format!("{what} in the pipeline files"))
            .hint("mend them; tidemark check shows them all")
            .because(mistakes)
    }
}

/// Reads every pipeline file of a folder; `parameter` gives the value of a parameter by its name.
///
/// # Errors
/// Kind `definition`: all [`Mistakes`], as the source; a folder that is not there or holds no pipeline; a name nobody has.
pub fn load(
    folder: &Path,
    parameter: &dyn Fn(&str) -> Option<String>,
    wanted: Wanted<'_>,
) -> Result<Graph, Failure> {
    let absent = || {
        let message = format!("no pipelines at {}", folder.display());
        Failure::new(Kind::Definition, message).hint("name their folder with --pipelines, or try: tidemark demo")
    };
    let unread = |path: &Path, error: std::io::Error| {
        Failure::new(Kind::Definition, format!("{} cannot be read", path.display())).because(error)
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
    let (mut definitions, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| unread(&path, error))?;
        match definition(&path, &bytes, parameter, wanted) {
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

fn definition(
    path: &Path,
    bytes: &[u8],
    parameter: &dyn Fn(&str) -> Option<String>,
    wanted: Wanted<'_>,
) -> Result<Definition, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let file = SourceFile::new(&shown, bytes).map_err(|mistake| vec![mistake])?;
    let is_wanted = match wanted {
        Wanted::Named(names) => names.is_empty() || names.iter().any(|name| name == file.stem()),
        Wanted::Nobody => false,
    };
    // a pipeline nobody wants to run is checked with its parameters standing for themselves
    let parameter = |name: &str| parameter(name).or_else(|| (!is_wanted).then(|| format!("${{{name}}}")));
    let folder = path.parent().unwrap_or(Path::new("."));
    let sql_file = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    read(&file, &parameter, &sql_file)
}
