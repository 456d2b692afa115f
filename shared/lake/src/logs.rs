//! A caching store for Delta logs, which the Delta kernel reads through.
//!
//! A commit never changes once written, so its bytes are cached. A log only grows, commit by commit, so a cached listing is
//! brought up to date by asking for the next commit until there is none: a GET, where a LIST costs twelve of them. A checkpoint that
//! another process has written meanwhile is not seen, and is not needed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::key::commit_name;

/// Maximum bytes of cached commits. Above it, the commits of logs that are not being read are dropped.
const KEPT: usize = 32 << 20;

/// The store of a lake, for the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    inner: Arc<dyn ObjectStore>,
    known: Arc<Mutex<CachedLogs>>,
}

#[derive(Debug, Default)]
struct CachedLogs {
    commits: HashMap<Path, (ObjectMeta, Bytes)>,
    bytes: usize,
    /// Listings by folder and by the offset (the name after which it was listed).
    listings: HashMap<(Path, Path), Vec<ObjectMeta>>,
}

impl Logs {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Logs {
        Logs { inner, known: Arc::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, CachedLogs> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a commit and caches it.
    async fn commit(&self, path: &Path) -> Result<(ObjectMeta, Bytes)> {
        if let Some(kept) = self.known().commits.get(path) {
            return Ok(kept.clone());
        }
        let response = self.inner.get(path).await?;
        let meta = response.meta.clone();
        let kept = (meta, response.bytes().await?);
        let mut known = self.known();
        known.bytes += kept.1.len();
        if known.bytes > KEPT {
            *known = CachedLogs { bytes: kept.1.len(), ..CachedLogs::default() };
        }
        known.commits.insert(path.clone(), kept.clone());
        Ok(kept)
    }

    /// Whether a commit still exists unchanged. The table may have been deleted and rebuilt; then the cache of its log is dropped.
    async fn is_unchanged(&self, log: &Path, commit: &Path) -> Result<bool> {
        let before = self.known().commits.get(commit).map(|(meta, _)| meta.e_tag.clone());
        match self.inner.head(commit).await {
            Ok(now) if before.is_none_or(|before| before == now.e_tag) => return Ok(true),
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut known = self.known();
        known.listings.retain(|(folder, _), _| folder != log);
        known.commits.retain(|path, _| log_of(path).as_ref() != Some(log));
        Ok(false)
    }

    /// Whether this version is still the last one of a log.
    pub(crate) async fn ends_with(&self, log: &Path, version: i64) -> Result<bool> {
        let commit = |version| log.clone().join(commit_name(version));
        if !self.is_unchanged(log, &commit(version)).await? {
            return Ok(false);
        }
        match self.commit(&commit(version + 1)).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The log's files after `offset`.
    async fn listing(&self, log: Path, offset: Path) -> Result<Vec<ObjectMeta>> {
        let place = (log.clone(), offset.clone());
        let known = self.known().listings.get(&place).cloned();
        let last = |listing: &[ObjectMeta]| {
            listing.iter().map(|meta| meta.location.clone()).rfind(|path| version_of(path).is_some())
        };
        let known = match known.as_deref().and_then(last) {
            Some(last) if self.is_unchanged(&log, &last).await? => known,
            _ => None,
        };
        let mut listing = match known {
            None => self.inner.list_with_offset(Some(&log), &offset).try_collect().await?,
            Some(mut listing) => {
                while let Some(next) = listing.iter().rev().find_map(|meta| version_of(&meta.location)) {
                    let path = log.clone().join(commit_name(next + 1));
                    match self.commit(&path).await {
                        Ok((meta, _)) => listing.push(meta),
                        Err(Error::NotFound { .. }) => break,
                        Err(error) => return Err(error),
                    }
                }
                listing
            }
        };
        listing.sort_unstable_by(|a: &ObjectMeta, b| a.location.cmp(&b.location));
        // without a commit the listing cannot be extended later
        if listing.iter().any(|meta| version_of(&meta.location).is_some()) {
            self.known().listings.insert(place, listing.clone());
        }
        Ok(listing)
    }
}

/// The log folder that contains a file.
fn log_of(path: &Path) -> Option<Path> {
    let (folder, _) = path.as_ref().rsplit_once('/')?;
    folder.ends_with("/_delta_log").then(|| Path::from(folder))
}

/// The version of a commit, by its name.
fn version_of(path: &Path) -> Option<i64> {
    log_of(path)?;
    let name = path.filename()?.strip_suffix(".json")?;
    (name.len() == 20).then(|| name.parse().ok()).flatten()
}

impl std::fmt::Display for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Logs {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_plain = !options.head && options.range.is_none() && options.version.is_none();
        if version_of(location).is_none() || !is_plain {
            return self.inner.get_opts(location, options).await;
        }
        let (meta, bytes) = self.commit(location).await?;
        let range = 0..meta.size;
        let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let Some(log) = prefix.filter(|prefix| log_of(offset).as_ref() == Some(*prefix)).cloned() else {
            return self.inner.list_with_offset(prefix, offset);
        };
        let (logs, offset) = (self.clone(), offset.clone());
        let listing = async move {
            let listing = logs.listing(log, offset).await?;
            Ok::<_, Error>(futures::stream::iter(listing.into_iter().map(Ok)))
        };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
