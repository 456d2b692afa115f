//! Lists the objects of a source, and finds the new ones.

use std::collections::BTreeMap;

use globset::GlobBuilder;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemark_flow::{Error, ErrorKind, Place, Sources};
use tidemark_lake::{DataFile, Store};
use tidemark_pipeline::raw::{OBJECT, VERSION};
use tidemark_pipeline::{Files, Format};

use super::format::format_of;

/// One object of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Object {
    /// Path relative to the source's root.
    pub name: String,
    #[serde(serialize_with = "path_to_text", deserialize_with = "path_from_text")]
    pub path: Path,
    pub bytes: u64,
    pub version: String,
    pub format: Format,
}

fn path_to_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(path.as_ref())
}

fn path_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Path, D::Error> {
    Path::parse(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// An object whose present version is not in the raw dataset.
pub(crate) struct NewObject {
    pub object: Object,
    /// The files of its previous version.
    pub previous: Vec<DataFile>,
}

/// The objects that match a source's path now, sorted by name, with notes on those that were skipped.
pub(crate) struct Listing {
    pub store: Store,
    pub objects: Vec<Object>,
    pub notes: Vec<String>,
}

/// The version of an object: its ETag, or else size and modification time.
pub(crate) fn version_of(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| format!("{:x}-{:x}", meta.size, meta.last_modified.timestamp_micros()))
}

/// Lists a path: a file, a folder (recursively, without hidden files), or a glob.
///
/// # Errors
/// A missing file or folder, an invalid glob, a file whose format is given neither by its name nor by the definition.
pub(crate) fn list(sources: &dyn Sources, files: &Files) -> Result<Listing, Error> {
    let (root, pattern) = split_glob(&files.path);
    let store_failed = |store: &Store, error: object_store::Error| {
        Error::from_store(format!("source {} cannot be listed", store.place()), error)
    };
    let mut notes = Vec::new();
    let (store, metas, explicit) = match (sources.locate(root)?, pattern) {
        (Place::File { folder, name }, None) => {
            let path = Path::parse(&name).map_err(|error| {
                Error::new(ErrorKind::Definition, format!("source {}: not a usable file name", files.path))
                    .because(error)
            })?;
            let meta = folder.head(&path).map_err(|error| store_failed(&folder, error))?;
            (folder, vec![meta], true)
        }
        (Place::Folder(store), pattern) => {
            let mut metas = store.list(None).map_err(|error| store_failed(&store, error))?;
            metas.retain(|meta| !meta.location.parts().any(|part| part.as_ref().starts_with('.')));
            if let Some(pattern) = pattern {
                let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
                    Error::new(ErrorKind::Definition, format!("source {}: not a glob", files.path)).because(error)
                })?;
                let glob = glob.compile_matcher();
                metas.retain(|meta| glob.is_match(meta.location.as_ref()));
            }
            if metas.is_empty() {
                notes.push(format!("no file at {}", files.path));
            }
            (store, metas, pattern.is_some())
        }
        (Place::File { .. }, Some(_)) => {
            let message = format!("source {}: {root} is a file, not a folder", files.path);
            return Err(Error::new(ErrorKind::Definition, message));
        }
    };
    let mut objects = Vec::new();
    for meta in metas {
        let name = meta.location.to_string();
        let format = match files.format.or_else(|| format_of(&name)) {
            Some(format) => format,
            None if explicit => {
                let message = format!("source {}: the format cannot be determined from the name {name}", files.path);
                return Err(Error::new(ErrorKind::Definition, message)
                    .hint("set format = \"csv\", \"ndjson\" or \"parquet\" in [source]"));
            }
            None => {
                notes.push(format!("{name} is skipped: the format cannot be determined from its name"));
                continue;
            }
        };
        objects.push(Object { name, bytes: meta.size, version: version_of(&meta), path: meta.location, format });
    }
    Ok(Listing { store, objects, notes })
}

/// The store that contains the objects of a source.
pub(crate) fn store(sources: &dyn Sources, files: &Files) -> Result<Store, Error> {
    let (root, _) = split_glob(&files.path);
    Ok(match sources.locate(root)? {
        Place::File { folder, .. } => folder,
        Place::Folder(store) => store,
    })
}

/// `data/*.csv` → (`data`, `*.csv`); a path without wildcards is returned whole.
fn split_glob(path: &str) -> (&str, Option<&str>) {
    match path.find(['*', '?', '[', '{']) {
        None => (path, None),
        Some(at) => match path[..at].rfind('/') {
            Some(slash) => (if slash == 0 { "/" } else { &path[..slash] }, Some(&path[slash + 1..])),
            None => (".", Some(path)),
        },
    }
}

/// The objects whose present version is not in the raw dataset, or all of them with `full`.
pub(crate) fn new_objects(objects: Vec<Object>, live: &[DataFile], full: bool) -> Vec<NewObject> {
    let mut known: BTreeMap<&str, Vec<&DataFile>> = BTreeMap::new();
    for file in live {
        known.entry(file.partition.get(OBJECT).unwrap_or_default()).or_default().push(file);
    }
    let mut new_objects = Vec::new();
    for object in objects {
        let previous = known.get(object.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let is_known = previous.iter().any(|file| file.partition.get(VERSION) == Some(object.version.as_str()));
        if full || !is_known {
            let previous = previous.iter().map(|&file| file.clone()).collect();
            new_objects.push(NewObject { object, previous });
        }
    }
    new_objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_starts_after_the_last_plain_folder() {
        assert_eq!(split_glob("a/b.csv"), ("a/b.csv", None));
        assert_eq!(split_glob("a/*.csv"), ("a", Some("*.csv")));
        assert_eq!(split_glob("*.csv"), (".", Some("*.csv")));
        assert_eq!(split_glob("/*.csv"), ("/", Some("*.csv")));
        assert_eq!(split_glob("a/b*/c/**/d?.csv"), ("a", Some("b*/c/**/d?.csv")));
    }
}
