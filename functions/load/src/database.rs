//! The file of a SQLite database: the file itself or, for one in a bucket, a local copy that is uploaded again unless the object was
//! changed meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use object_store::{ObjectMeta, UpdateVersion};
use tempfile::TempDir;
use tidemark_flow::{Context, Error, ErrorKind, Folders, is_bucket};
use tidemark_lake::{LakeError, Opened, Store};

/// A database that can be opened by its path.
pub(crate) struct Database {
    path: PathBuf,
    remote: Option<Remote>,
}

/// The origin of a copy.
struct Remote {
    store: Store,
    key: Key,
    /// Version of the object when the copy was fetched; `None` if there was no object.
    version: Option<UpdateVersion>,
    /// The folder of the copy; deleted when this is dropped.
    _folder: TempDir,
}

impl Database {
    /// # Errors
    /// Errors of the store; kind `refused` if the copy would not fit in memory when it is uploaded.
    pub(crate) fn open(context: &Context<'_>, folders: &dyn Folders, place: &str) -> Result<Database, Error> {
        if !is_bucket(place) {
            return Ok(Database { path: place.into(), remote: None });
        }
        let (folder, name) = place.rsplit_once('/').unwrap_or((place, ""));
        let store = folders.folder(folder)?;
        let local = tempfile::tempdir_in(context.scratch)
            .map_err(|error| Error::new(ErrorKind::Refused, format!("no room for a copy of {place}")).because(error))?;
        // the path contains the database's location, because error messages show the path
        let path = local.path().join(place.trim_start_matches("s3://"));
        let key = Key::from(name);
        let version = match store.open(&key) {
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(LakeError::store(place, error).into()),
            Ok((meta, opened)) => {
                if meta.size > context.memory {
                    let message = format!("{place} has {} bytes, but only {} fit in memory", meta.size, context.memory);
                    return Err(Error::new(ErrorKind::Refused, message)
                        .hint("give the function more memory, or load into a database server"));
                }
                Some(copy(place, &meta, opened, &path)?)
            }
        };
        Ok(Database { path, remote: Some(Remote { store, key, version, _folder: local }) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Uploads a copy to the bucket; returns `false` if the object has changed since it was fetched. Readers of the bucket see all of the
    /// load or nothing of it.
    pub(crate) fn upload(&self) -> Result<bool, Error> {
        let Some(Remote { store, key, version: seen, .. }) = &self.remote else { return Ok(true) };
        let bytes = std::fs::read(&self.path).map_err(|error| {
            Error::new(ErrorKind::Retry, format!("the copy of {key} cannot be read")).because(error)
        })?;
        store
            .replace(key, bytes, seen.clone())
            .map_err(|error| LakeError::store(format!("{key} in {}", store.place()), error).into())
    }
}

fn copy(place: &str, meta: &ObjectMeta, opened: Opened, path: &Path) -> Result<UpdateVersion, Error> {
    let file = std::fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| File::create(path));
    let copied = file.and_then(|mut file| match opened {
        Opened::File(mut from) => std::io::copy(&mut from, &mut file),
        Opened::Stream(mut from) => std::io::copy(&mut from, &mut file),
    });
    copied.map_err(|error| {
        Error::new(ErrorKind::Retry, format!("{place} cannot be fetched")).hint("run again").because(error)
    })?;
    Ok(UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() })
}
