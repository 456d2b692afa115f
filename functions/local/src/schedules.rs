//! `tidemark schedules`: the file of everything on AWS that hangs on the pipelines, written, or held against them.

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
use crate::inspect::told_as_check;
use crate::print;
use differences::differences;

const FILE: &str = "schedules.yaml";
/// Of lines that differ, so many are shown to people.
const SHOWN: usize = 40;

/// Writes the file, or with `check` says how it differs from what would be written.
pub(crate) fn schedules(common: &Common, check: bool) -> anyhow::Result<Exit> {
    // whatever a deployment will give them, the file is the same
    let graph = load_definitions(&common.pipelines, &|_| None, Selection::CheckOnly);
    let wanted = match graph.and_then(|graph| template::template(&graph)) {
        Ok(text) => text,
        Err(failure) => return told_as_check(common, failure),
    };
    let file = file(&common.pipelines);
    let found = read(&file)?;
    if check { hold(common, &file, found.as_deref(), &wanted) } else { put(common, &file, found.as_deref(), &wanted) }
}

fn put(common: &Common, file: &Path, found: Option<&str>, wanted: &str) -> anyhow::Result<Exit> {
    let is_new = found != Some(wanted);
    if is_new {
        write(file, wanted)?;
    }
    if common.json {
        print::json(&json!({"file": file, "changed": is_new}))?;
    } else {
        let what = if is_new { "written" } else { "as it was" };
        print::line(&format!("{} {}  {what}", print::tick(), file.display()));
    }
    Ok(Exit::Done)
}

fn hold(common: &Common, file: &Path, found: Option<&str>, wanted: &str) -> anyhow::Result<Exit> {
    let differs = differences(found.unwrap_or_default(), wanted);
    let is_current = found.is_some() && differs.is_empty();
    // one who looks only is told what to call
    let mend = match common.pipelines == Path::new(DEFAULT_PIPELINES) {
        true => "tidemark schedules".to_owned(),
        false => format!("tidemark schedules --pipelines {}", common.pipelines.display()),
    };
    let exit = if is_current { Exit::Done } else { Exit::Wrong };
    if common.json {
        let mend = (!is_current).then_some(mend);
        let is_there = found.is_some();
        print::json(&json!({
            "file": file, "is_there": is_there, "is_current": is_current, "differences": differs, "mend": mend,
        }))?;
        return Ok(exit);
    }
    let shown = file.display();
    match found {
        Some(_) if is_current => print::line(&format!("{} {shown}  is what the pipeline files say", print::tick())),
        Some(_) => {
            print::line(&format!("{} {shown}  is not what the pipeline files say", print::cross()));
            differs.iter().take(SHOWN).for_each(|difference| print::line(&format!("    {difference}")));
            let more = differs.len().saturating_sub(SHOWN);
            if more > 0 {
                print::line(&format!("    and {more} more lines"));
            }
        }
        None => print::line(&format!("{} {shown}  is not there", print::cross())),
    }
    if !is_current {
        print::line(&format!("    → {mend}"));
    }
    Ok(exit)
}

/// Beside the folder of the pipelines.
fn file(pipelines: &Path) -> PathBuf {
    match (pipelines.components().next_back(), pipelines.parent()) {
        (Some(Component::Normal(_)), Some(parent)) => parent.join(FILE),
        _ => pipelines.join("..").join(FILE),
    }
}

/// The file as it stands, with the line endings that we write; `None` if there is none.
fn read(file: &Path) -> Result<Option<String>, Error> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(ErrorKind::Refused, format!("{} cannot be read", file.display())).because(error)),
    }
}

/// Under another name first: a template is there whole, or as it was.
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
