//! Pages of an API, kept as they came: what an ingest that died goes on from, and what anybody can look at afterwards.

use bytes::Bytes;
use object_store::Error;
use object_store::path::Path;
use tidemark_pipeline::PipelineName;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// The pages of one stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    pub pipeline: PipelineName,
    /// Another one for other requests.
    pub window: String,
}

impl Landing {
    /// A page that has landed, from 1; `None` if it has not.
    pub fn page(&self, lake: &Lake, nth: u32) -> Result<Option<Bytes>, LakeError> {
        get(lake, &Key::Page(&self.pipeline, &self.window, nth).path())
    }

    /// Puts a page down, unless there is one: then it gives that one, so that all who read the window read the same.
    pub fn land(&self, lake: &Lake, nth: u32, page: Bytes) -> Result<Option<Bytes>, LakeError> {
        let key = Key::Page(&self.pipeline, &self.window, nth).path();
        let is_new = lake.store().create(&key, page).map_err(|source| LakeError::store(key.to_string(), source))?;
        if is_new { Ok(None) } else { get(lake, &key) }
    }

    /// Puts down what came in place of a page, over what came before. Gives its key.
    pub fn refuse(&self, lake: &Lake, nth: u32, body: Bytes) -> Result<String, LakeError> {
        let key = Key::Refused(&self.pipeline, &self.window, nth).path();
        lake.store().put(&key, body).map_err(|source| LakeError::store(key.to_string(), source))?;
        Ok(key.to_string())
    }

    /// Deletes the first pages, the last of them first, so that what is left of them is a beginning.
    pub fn delete(&self, lake: &Lake, pages: u32) {
        for nth in (1..=pages).rev() {
            let key = Key::Page(&self.pipeline, &self.window, nth).path();
            match lake.store().delete(&key) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(%error, %key, "a page without news was not deleted");
                    return;
                }
            }
        }
    }

    /// Whether nobody is to go on with the pages.
    pub fn is_void(&self, lake: &Lake) -> Result<bool, LakeError> {
        Ok(get(lake, &Key::Void(&self.pipeline, &self.window).path())?.is_some())
    }

    /// From now on nobody goes on with the pages; they stay to be looked at.
    pub fn invalidate(&self, lake: &Lake) -> Result<(), LakeError> {
        let key = Key::Void(&self.pipeline, &self.window).path();
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
