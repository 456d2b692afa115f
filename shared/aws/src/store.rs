//! A bucket as an object store.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tidemark_lake::Links;

use crate::bucket::{Bucket, Condition, time_in, time_out};
use crate::fault::{Answer, S3Fault};
use crate::upload::Upload;
use crate::{download, listing};

/// Objects longer than this are uploaded in parts.
const WHOLE: usize = 100 << 20;
/// How often a write is attempted while others write the same object.
const CONFLICTS: u32 = 10;
/// Maximum number of objects of a delete request.
const DELETED_AT_ONCE: usize = 1000;

impl Bucket {
    /// Writes an object with one request. Returns `None` if a concurrent write makes the outcome unknown.
    async fn put_whole(&self, path: &Path, body: Bytes, mode: &PutMode) -> Result<Option<PutResult>> {
        let request = self.client.put_object().bucket(self.name()).key(self.key(path)).body(ByteStream::from(body));
        let Condition { if_match, if_none_match } = Condition::from_mode(mode)?;
        let sent = request.set_if_match(if_match).set_if_none_match(if_none_match).send().await;
        match sent {
            Ok(put) => Ok(Some(PutResult { e_tag: put.e_tag, version: put.version_id })),
            Err(error) if Answer::from_error(&error).is_some_and(|answer| answer.is_conflict()) => Ok(None),
            Err(error) => Err(self.target.explain(path, &error)),
        }
    }

    /// The error after all attempts met concurrent writes. The current object shows whether the condition can still hold.
    async fn after_conflicts(&self, path: &Path, mode: &PutMode) -> Error {
        let conflict = S3Fault::Conflict { bucket: self.name().to_owned() };
        let current = match self.head(path, GetOptions::default()).await {
            Ok(current) => Some(current.meta.e_tag),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return error,
        };
        match (mode, current) {
            (PutMode::Create, Some(_)) => Error::AlreadyExists { path: path.to_string(), source: Box::new(conflict) },
            (PutMode::Update(seen), current) if current != Some(seen.e_tag.clone()) => {
                Error::Precondition { path: path.to_string(), source: Box::new(conflict) }
            }
            _ => conflict.at(path.as_ref()),
        }
    }

    async fn head(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let request = self.client.head_object().bucket(self.name()).key(self.key(path));
        let request = request.set_if_match(options.if_match).set_if_none_match(options.if_none_match);
        let request = request.set_version_id(options.version);
        let request = request.set_if_modified_since(options.if_modified_since.map(time_out));
        let sent = request.set_if_unmodified_since(options.if_unmodified_since.map(time_out)).send().await;
        let head = match sent {
            Ok(head) => head,
            Err(error) => {
                let answer = Answer::from_error(&error);
                // a HEAD response has no body with the reason; a GET response has
                return match answer.filter(|answer| [400, 403].contains(&answer.status) && answer.code.is_empty()) {
                    Some(_) => Err(self.why(path).await.unwrap_or_else(|| self.target.explain(path, &error))),
                    None => Err(self.target.explain(path, &error)),
                };
            }
        };
        let size = head.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let meta = ObjectMeta {
            location: path.clone(),
            last_modified: time_in(head.last_modified),
            size,
            e_tag: head.e_tag,
            version: head.version_id,
        };
        let payload = GetResultPayload::Stream(futures::stream::empty().boxed());
        Ok(GetResult { payload, meta, range: 0..size, attributes: object_store::Attributes::new() })
    }

    /// Finds out with a GET why an object is not accessible.
    async fn why(&self, path: &Path) -> Option<Error> {
        let request = self.client.get_object().bucket(self.name()).key(self.key(path)).range("bytes=0-0");
        let error = request.send().await.err()?;
        Some(self.target.explain(path, &error))
    }

    async fn delete_some(&self, paths: Vec<Path>) -> Vec<Result<Path>> {
        if let [path] = &paths[..] {
            let sent = self.client.delete_object().bucket(self.name()).key(self.key(path)).send().await;
            return vec![sent.map(|_| path.clone()).map_err(|error| self.target.explain(path, &error))];
        }
        let keys = paths.iter().map(|path| ObjectIdentifier::builder().key(self.key(path)).build());
        let delete = keys.collect::<std::result::Result<Vec<_>, _>>();
        let delete = delete.and_then(|keys| Delete::builder().set_objects(Some(keys)).quiet(true).build());
        let delete = match delete {
            Ok(delete) => delete,
            Err(error) => return vec![Err(Error::Generic { store: "S3", source: Box::new(error) })],
        };
        let failed = match self.client.delete_objects().bucket(self.name()).delete(delete).send().await {
            Ok(done) => done.errors.unwrap_or_default(),
            Err(error) => return vec![Err(self.target.explain(&self.prefix, &error))],
        };
        let outcome = |path: Path| {
            let key = self.key(&path);
            match failed.iter().find(|error| error.key() == Some(&key)) {
                None => Ok(path),
                Some(error) => Err(self.target.coded(error.code().unwrap_or_default()).at(path.as_ref())),
            }
        };
        paths.into_iter().map(outcome).collect()
    }
}

/// Percent-encodes a key for the header that names the source of a copy.
fn encoded(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[async_trait]
impl ObjectStore for Bucket {
    /// A retried conditional write may find the object that its own earlier attempt has written. The caller has to check whose object it
    /// is.
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let body = Bytes::from(payload);
        let mut pause = self.retry_policy.pause / 10;
        for _ in 0..CONFLICTS {
            let put = match body.len() > WHOLE {
                true => Upload::whole(self, location, body.clone(), &opts.mode).await,
                false => self.put_whole(location, body.clone(), &opts.mode).await,
            };
            match put {
                Ok(Some(put)) => return Ok(put),
                Ok(None) => tokio::time::sleep(pause).await,
                Err(Error::Precondition { path, source }) if opts.mode == PutMode::Create => {
                    return Err(Error::AlreadyExists { path, source });
                }
                Err(error) => return Err(error),
            }
            pause = (pause * 2).min(self.retry_policy.pause * 5);
        }
        Err(self.after_conflicts(location, &opts.mode).await)
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload::begin(self, location).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match options.head {
            true => self.head(location, options).await,
            false => download::get(self, location, options).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let bucket = self.clone();
        let deleted = locations.ready_chunks(DELETED_AT_ONCE).then(move |some| {
            let bucket = bucket.clone();
            async move {
                let mut outcomes = Vec::new();
                let mut paths = Vec::new();
                for path in some {
                    match path {
                        Ok(path) => paths.push(path),
                        Err(error) => outcomes.push(Err(error)),
                    }
                }
                if !paths.is_empty() {
                    outcomes.extend(bucket.delete_some(paths).await);
                }
                futures::stream::iter(outcomes)
            }
        });
        deleted.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::objects(self, prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::objects(self, prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let pages = listing::pages(self, prefix, None, true);
        let none = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        pages
            .try_fold(none, async |mut all, page| {
                all.objects.extend(listing::metas(self, &page));
                all.common_prefixes.extend(listing::folders(self, &page));
                Ok(all)
            })
            .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if options.mode == CopyMode::Create {
            let source = "a copy that must not overwrite is not supported; get the object and create the copy";
            return Err(Error::NotSupported { source: source.into() });
        }
        let source = format!("{}/{}", self.name(), encoded(&self.key(from)));
        let request = self.client.copy_object().bucket(self.name()).key(self.key(to)).copy_source(source);
        request.send().await.map(drop).map_err(|error| self.target.explain(from, &error))
    }
}

#[async_trait]
impl Links for Bucket {
    async fn link(&self, path: &Path, lasts: Duration) -> Result<String> {
        let failed = |source| Error::Generic { store: "S3", source };
        let lasts = PresigningConfig::expires_in(lasts).map_err(|error| failed(Box::new(error)))?;
        let request = self.client.get_object().bucket(self.name()).key(self.key(path));
        let signed = request.presigned(lasts).await.map_err(|error| self.target.explain(path, &error))?;
        Ok(signed.uri().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_encoded_for_headers() {
        assert_eq!(encoded("a b+c%20ä&=?.csv"), "a%20b%2Bc%2520%C3%A4%26%3D%3F.csv");
        assert_eq!(encoded("a/b~c_d-e.f"), "a/b~c_d-e.f");
    }
}
