//! The watcher's objects in the lake. They are small and replaced only if unchanged since they were read, so that concurrent watchers
//! agree.

use object_store::{Error, UpdateVersion};
use tidemark_pipeline::PipelineName;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// The version of an object at the time it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion(UpdateVersion);

/// Names of the watcher's objects; each incident with its ETag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchListing {
    pub incidents: Vec<(String, String)>,
    pub silences: Vec<String>,
    /// Ids of runs in progress.
    pub running: Vec<String>,
}

impl Lake {
    /// Lists all objects of the watcher with one listing.
    pub fn watched(&self) -> Result<WatchListing, LakeError> {
        let folder = Key::Watch.path();
        let found = self.store().list(Some(&folder)).map_err(|source| LakeError::store(folder.to_string(), source))?;
        let mut watched = WatchListing::default();
        for object in found {
            let parts: Vec<_> = object.location.parts().map(|part| part.as_ref().to_owned()).collect();
            let [_, kind, name] = parts.as_slice() else { continue };
            let Some(name) = name.strip_suffix(".json").map(str::to_owned) else { continue };
            match kind.as_str() {
                "incidents" => watched.incidents.push((name, object.e_tag.unwrap_or_default())),
                "silences" => watched.silences.push(name),
                "running" => watched.running.push(name),
                _ => {}
            }
        }
        Ok(watched)
    }

    pub fn watcher(&self) -> Result<Option<(bytes::Bytes, ObjectVersion)>, LakeError> {
        self.seen(&Key::Watcher)
    }

    /// Stores the watcher's state if its version is still `seen`. Returns false if another watcher has changed it.
    pub fn put_watcher(&self, state: Vec<u8>, seen: Option<&ObjectVersion>) -> Result<bool, LakeError> {
        self.replace(&Key::Watcher, state, seen)
    }

    pub fn incident(&self, name: &str) -> Result<Option<(bytes::Bytes, ObjectVersion)>, LakeError> {
        self.seen(&Key::Incident(name))
    }

    /// Stores an incident if its version is still `seen`. Returns false if another watcher has changed it.
    pub fn put_incident(&self, name: &str, incident: Vec<u8>, seen: Option<&ObjectVersion>) -> Result<bool, LakeError> {
        self.replace(&Key::Incident(name), incident, seen)
    }

    pub fn silence(&self, pipeline: &PipelineName) -> Result<Option<bytes::Bytes>, LakeError> {
        Ok(self.seen(&Key::Silence(pipeline))?.map(|(bytes, _)| bytes))
    }

    /// Stores a silence, replacing an earlier one.
    pub fn put_silence(&self, pipeline: &PipelineName, silence: Vec<u8>) -> Result<(), LakeError> {
        self.put(&Key::Silence(pipeline), silence)
    }

    pub fn delete_silence(&self, pipeline: &PipelineName) -> Result<(), LakeError> {
        self.delete(&Key::Silence(pipeline))
    }

    pub fn running(&self, run_id: &str) -> Result<Option<bytes::Bytes>, LakeError> {
        Ok(self.seen(&Key::Running(run_id))?.map(|(bytes, _)| bytes))
    }

    pub fn put_running(&self, run_id: &str, heartbeat: Vec<u8>) -> Result<(), LakeError> {
        self.put(&Key::Running(run_id), heartbeat)
    }

    pub fn delete_running(&self, run_id: &str) -> Result<(), LakeError> {
        self.delete(&Key::Running(run_id))
    }

    fn seen(&self, key: &Key<'_>) -> Result<Option<(bytes::Bytes, ObjectVersion)>, LakeError> {
        let key = key.path();
        let found = self.store().get_version(&key).map_err(|source| LakeError::store(key.to_string(), source))?;
        Ok(found.map(|(bytes, version)| (bytes, ObjectVersion(version))))
    }

    fn replace(&self, key: &Key<'_>, content: Vec<u8>, seen: Option<&ObjectVersion>) -> Result<bool, LakeError> {
        let key = key.path();
        let seen = seen.map(|ObjectVersion(version)| version.clone());
        self.store().replace(&key, content, seen).map_err(|source| LakeError::store(key.to_string(), source))
    }

    fn put(&self, key: &Key<'_>, content: Vec<u8>) -> Result<(), LakeError> {
        let key = key.path();
        self.store().put(&key, content).map_err(|source| LakeError::store(key.to_string(), source))
    }

    /// Deletes an object; a missing one is not an error.
    fn delete(&self, key: &Key<'_>) -> Result<(), LakeError> {
        let key = key.path();
        match self.store().delete(&key) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(LakeError::store(key.to_string(), source)),
        }
    }
}
