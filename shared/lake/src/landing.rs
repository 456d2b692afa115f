//! Pages of an API, stored as received: an ingest that died resumes from them, and they can be inspected afterwards.

use bytes::Bytes;
use object_store::Error;
use object_store::path::Path;
use tidemark_pipeline::PipelineName;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// The stored pages of one window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    pub pipeline: PipelineName,
    /// Identifies the window; different requests have different windows.
    pub window: String,
}

impl Landing {
    /// Reads a landed page, numbered from 1. Returns None if it has not landed.
    pub fn page(&self, lake: &Lake, nth: u32) -> Result<Option<Bytes>, LakeError> {
        get(lake, &Key::Page(&self.pipeline, &self.window, nth).path())
    }

    /// Stores a page unless one is already stored; then returns the stored one, so that all readers of the window see the same page.
    pub fn land(&self, lake: &Lake, nth: u32, page: Bytes) -> Result<Option<Bytes>, LakeError> {
        let key = Key::Page(&self.pipeline, &self.window, nth).path();
        let is_new = lake.store().create(&key, page).map_err(|source| LakeError::store(key.to_string(), source))?;
        if is_new { Ok(None) } else { get(lake, &key) }
    }

    /// Stores a response that is not a valid page, replacing an earlier one, and returns its key.
    pub fn refuse(&self, lake: &Lake, nth: u32, body: Bytes) -> Result<String, LakeError> {
        let key = Key::Refused(&self.pipeline, &self.window, nth).path();
        lake.store().put(&key, body).map_err(|source| LakeError::store(key.to_string(), source))?;
        Ok(key.to_string())
    }

    /// Deletes the first `pages` pages in descending order, so that those left after a failure still start at page 1.
    pub fn delete(&self, lake: &Lake, pages: u32) {
        for nth in (1..=pages).rev() {
            let key = Key::Page(&self.pipeline, &self.window, nth).path();
            match lake.store().delete(&key) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(%error, %key, "a page without new records was not deleted");
                    return;
                }
            }
        }
    }

    /// Whether the pages were invalidated and must not be resumed.
    pub fn is_invalidated(&self, lake: &Lake) -> Result<bool, LakeError> {
        Ok(get(lake, &Key::Invalidated(&self.pipeline, &self.window).path())?.is_some())
    }

    /// Marks the pages as not to be resumed. They are kept for inspection.
    pub fn invalidate(&self, lake: &Lake) -> Result<(), LakeError> {
        let key = Key::Invalidated(&self.pipeline, &self.window).path();
        lake.store().create(&key, Bytes::new()).map(drop).map_err(|source| LakeError::store(key.to_string(), source))
    }
}

fn get(lake: &Lake, key: &Path) -> Result<Option<Bytes>, LakeError> {
    match lake.store().get(key) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(LakeError::store(key.to_string(), source)),
    }
}
