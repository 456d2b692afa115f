//! `tidemark schedules`: writes the CloudFormation template of all resources that depend on the pipelines, or checks it against them.

mod differences;
mod names;
mod template;
mod text;

use std::io;
use std::path::{Component, Path, PathBuf};

use serde_json::json;
use tidemark_flow::{Error, ErrorKind, Selection, load_definitions};

use crate::args::{Common, DEFAULT_PIPELINES};
use crate::exit::Exit;
use crate::inspect::report_definition_errors;
use crate::print;
use differences::differences;

const FILE: &str = "schedules.yaml";
/// Maximum number of different lines shown on the terminal.
const SHOWN: usize = 40;

/// Writes the file, or with `check` reports how it differs from what would be written.
pub(crate) fn schedules(common: &Common, check: bool) -> anyhow::Result<Exit> {
    // the file does not depend on values of parameters
    let graph = load_definitions(&common.pipelines, &|_| None, Selection::CheckOnly);
    let wanted = match graph.and_then(|graph| template::template(&graph)) {
        Ok(text) => text,
        Err(error) => return report_definition_errors(common, error),
    };
    let file = file(&common.pipelines);
    let found = read(&file)?;
    if check {
        check_file(common, &file, found.as_deref(), &wanted)
    } else {
        write_file(common, &file, found.as_deref(), &wanted)
    }
}

fn write_file(common: &Common, file: &Path, found: Option<&str>, wanted: &str) -> anyhow::Result<Exit> {
    let is_new = found != Some(wanted);
    if is_new {
        write(file, wanted)?;
    }
    if common.json {
        print::json(&json!({"file": file, "changed": is_new}))?;
    } else {
        let what = if is_new { "written" } else { "unchanged" };
        print::line(&format!("{} {}  {what}", print::tick(), file.display()));
    }
    Ok(Exit::Done)
}

fn check_file(common: &Common, file: &Path, found: Option<&str>, wanted: &str) -> anyhow::Result<Exit> {
    let differs = differences(found.unwrap_or_default(), wanted);
    let is_current = found.is_some() && differs.is_empty();
    // the command that would update the file
    let command = match common.pipelines == Path::new(DEFAULT_PIPELINES) {
        true => "tidemark schedules".to_owned(),
        false => format!("tidemark schedules --pipelines {}", common.pipelines.display()),
    };
    let exit = if is_current { Exit::Done } else { Exit::Usage };
    if common.json {
        let command = (!is_current).then_some(command);
        let is_there = found.is_some();
        print::json(&json!({
            "file": file, "is_there": is_there, "is_current": is_current, "differences": differs, "mend": command,
        }))?;
        return Ok(exit);
    }
    let shown = file.display();
    match found {
        Some(_) if is_current => print::line(&format!("{} {shown}  matches the pipeline files", print::tick())),
        Some(_) => {
            print::line(&format!("{} {shown}  does not match the pipeline files", print::cross()));
            differs.iter().take(SHOWN).for_each(|difference| print::line(&format!("    {difference}")));
            let more = differs.len().saturating_sub(SHOWN);
            if more > 0 {
                print::line(&format!("    and {more} more lines"));
            }
        }
        None => print::line(&format!("{} {shown}  does not exist", print::cross())),
    }
    if !is_current {
        print::line(&format!("    → {command}"));
    }
    Ok(exit)
}

/// The file next to the folder of the pipelines.
fn file(pipelines: &Path) -> PathBuf {
    match (pipelines.components().next_back(), pipelines.parent()) {
        (Some(Component::Normal(_)), Some(parent)) => parent.join(FILE),
        _ => pipelines.join("..").join(FILE),
    }
}

/// The current content of the file, with line endings normalised to LF. None if there is no file.
fn read(file: &Path) -> Result<Option<String>, Error> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(ErrorKind::Refused, format!("{} cannot be read", file.display())).because(error)),
    }
}

/// Writes to a temporary name and renames, so that the file is always complete.
fn write(file: &Path, text: &str) -> Result<(), Error> {
    let unfinished = file.with_extension(format!("yaml.{}", std::process::id()));
    std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, file)).map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        Error::new(ErrorKind::Refused, format!("{} cannot be written", file.display())).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_beside_the_folder() {
        for (pipelines, expected) in [
            ("infra/pipelines", "infra/schedules.yaml"),
            ("infra/pipelines/", "infra/schedules.yaml"),
            ("pipelines", "schedules.yaml"),
            ("/pipelines", "/schedules.yaml"),
            (".", "./../schedules.yaml"),
            ("..", "../../schedules.yaml"),
        ] {
            assert_eq!(file(Path::new(pipelines)), Path::new(expected), "{pipelines}");
        }
    }
}
