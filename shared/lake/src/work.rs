//! Work that did not fit one invocation: what it takes to go on with it, kept beside the dataset it is for. No reader of the table
//! sees it, and it is never needed: without it the work begins anew.

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;
use object_store::Error;
use tidemark_pipeline::DatasetName;

use crate::error::LakeError;
use crate::key::Key;
use crate::lake::Lake;

/// One plan of one step, cut into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The dataset that will be committed to.
    pub dataset: DatasetName,
    /// Another one for another plan: a fingerprint of the versions and the definition it is made of.
    pub plan: String,
}

impl Lake {
    /// What was put down at the end of the n-th part, from 1; `None` if it is not there, or is of another plan.
    pub fn part(&self, work: &Work, nth: u32) -> Result<Option<Bytes>, LakeError> {
        let key = Key::Part(&work.dataset, &work.plan, nth).path();
        match self.store().get(&key) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LakeError::store(key.to_string(), source)),
        }
    }

    /// Puts down what there is at the end of the n-th part. Whoever was first with it wins: two that do the same work come to the same.
    pub fn put_part(&self, work: &Work, nth: u32, kept: Bytes) -> Result<(), LakeError> {
        let key = Key::Part(&work.dataset, &work.plan, nth).path();
        self.store().create(&key, kept).map(drop).map_err(|source| LakeError::store(key.to_string(), source))
    }

    /// Keeps rows of the work; gives the name by which to ask for them.
    pub fn put_piece(&self, work: &Work, rows: Vec<u8>) -> Result<String, LakeError> {
        let name = crate::key::content_name(&rows);
        let key = Key::Piece(&work.dataset, &work.plan, &name).path();
        self.store().put(&key, rows).map_err(|source| LakeError::store(key.to_string(), source))?;
        Ok(name)
    }

    /// Whether all of these pieces are there.
    pub fn has_pieces<'n>(&self, work: &Work, names: impl IntoIterator<Item = &'n str>) -> Result<bool, LakeError> {
        let folder = Key::Work(&work.dataset, &work.plan).path();
        let mut wanted = names.into_iter().map(|name| Key::Piece(&work.dataset, &work.plan, name).path()).peekable();
        if wanted.peek().is_none() {
            return Ok(true);
        }
        let found = self.store().list(Some(&folder)).map_err(|source| LakeError::store(folder.to_string(), source))?;
        let found: HashSet<_> = found.into_iter().map(|object| object.location).collect();
        Ok(wanted.all(|key| found.contains(&key)))
    }

    pub fn piece(&self, work: &Work, name: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        let key = Key::Piece(&work.dataset, &work.plan, name).path();
        self.store().get_range(&key, range).map_err(|source| LakeError::store(key.to_string(), source))
    }

    /// Deletes what a work has kept, once it is committed. What is left behind if this fails is in nobody's way.
    pub fn forget_work(&self, work: &Work) {
        let folder = Key::Work(&work.dataset, &work.plan).path();
        let forgotten = self
            .store()
            .list(Some(&folder))
            .and_then(|objects| objects.iter().try_for_each(|object| self.store().delete(&object.location)));
        if let Err(error) = forgotten {
            tracing::warn!(%error, dataset = %work.dataset, "the parts of a work that is done were not deleted");
        }
    }
}
