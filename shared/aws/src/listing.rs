//! Listings, page by page: a listing is never held in memory as a whole.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use crate::bucket::{Bucket, time_in};

/// The next page of a listing.
enum Next {
    First,
    After(String),
    End,
}

/// The pages of a listing: everything below a prefix and after an offset, ordered by the bytes of the keys. With `delimited`, only what is
/// directly below the prefix.
pub(crate) fn pages(
    bucket: &Bucket,
    prefix: Option<&Path>,
    offset: Option<&Path>,
    delimited: bool,
) -> BoxStream<'static, Result<ListObjectsV2Output>> {
    let root = prefix.cloned().unwrap_or_default();
    let below = match bucket.key(&root) {
        key if key.is_empty() => None,
        key => Some(format!("{key}/")),
    };
    let request = bucket.client.list_objects_v2().bucket(bucket.name()).set_prefix(below);
    let request = request.set_start_after(offset.map(|offset| bucket.key(offset)));
    let request = request.set_delimiter(delimited.then(|| "/".to_owned()));
    let target = bucket.target.clone();
    let pages = futures::stream::try_unfold(Next::First, move |next| {
        let (request, target, root) = (request.clone(), target.clone(), root.clone());
        async move {
            let token = match next {
                Next::First => None,
                Next::After(token) => Some(token),
                Next::End => return Ok(None),
            };
            let sent = request.set_continuation_token(token).send().await;
            let page = sent.map_err(|error| target.explain(&root, &error))?;
            let next = match (page.is_truncated, page.next_continuation_token.clone()) {
                (Some(true), Some(token)) => Next::After(token),
                _ => Next::End,
            };
            Ok(Some((page, next)))
        }
    });
    pages.boxed()
}

/// The objects of [`pages`], one by one.
pub(crate) fn objects(
    bucket: &Bucket,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let inside = bucket.clone();
    let pages = pages(bucket, prefix, offset, false);
    pages.map_ok(move |page| futures::stream::iter(metas(&inside, &page).into_iter().map(Ok))).try_flatten().boxed()
}

/// The objects of a page.
pub(crate) fn metas(bucket: &Bucket, page: &ListObjectsV2Output) -> Vec<ObjectMeta> {
    let mut metas = Vec::new();
    for object in page.contents() {
        let key = object.key().unwrap_or_default();
        let Some(location) = bucket.path(key) else {
            // some tools mark a folder with a key that ends in a slash
            if !key.ends_with('/') {
                tracing::warn!(bucket = bucket.name(), key, "an object is skipped: its key has empty parts");
            }
            continue;
        };
        metas.push(ObjectMeta {
            location,
            last_modified: time_in(object.last_modified().copied()),
            size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            e_tag: object.e_tag().map(str::to_owned),
            version: None,
        });
    }
    metas
}

/// The folders of a page.
pub(crate) fn folders(bucket: &Bucket, page: &ListObjectsV2Output) -> Vec<Path> {
    let prefixes = page.common_prefixes().iter().filter_map(|folder| folder.prefix()?.strip_suffix('/'));
    prefixes.filter_map(|prefix| bucket.path(prefix)).collect()
}
