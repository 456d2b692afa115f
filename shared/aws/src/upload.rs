//! Multipart uploads. The object appears when the upload is completed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart};

use crate::bucket::{Bucket, Condition};
use crate::fault::{Answer, S3Fault};

/// Size in bytes of the parts cut here.
const PART: usize = 16 << 20;
/// Maximum number of parts in flight.
const IN_FLIGHT: usize = 4;

/// A multipart upload. If it is dropped before completion, it is aborted, since stored parts cost money.
#[derive(Debug)]
pub(crate) struct Upload {
    bucket: Bucket,
    path: Path,
    id: String,
    /// Uploaded parts, by number.
    parts: Arc<Mutex<BTreeMap<i32, CompletedPart>>>,
    last: i32,
    is_open: bool,
}

impl Upload {
    pub async fn begin(bucket: &Bucket, path: &Path) -> Result<Upload> {
        let request = bucket.client.create_multipart_upload().bucket(bucket.name()).key(bucket.key(path));
        let created = request.send().await.map_err(|error| bucket.target.explain(path, &error))?;
        let id = created.upload_id.unwrap_or_default();
        let (bucket, path, parts) = (bucket.clone(), path.clone(), Arc::default());
        Ok(Upload { bucket, path, id, parts, last: 0, is_open: true })
    }

    /// Writes an object in parts. Returns `None` if a concurrent write makes the outcome unknown.
    pub async fn whole(bucket: &Bucket, path: &Path, body: Bytes, mode: &PutMode) -> Result<Option<PutResult>> {
        let mut upload = Upload::begin(bucket, path).await?;
        let cuts = (0..body.len()).step_by(PART).map(|at| body.slice(at..body.len().min(at + PART)));
        let parts: Vec<UploadPart> = cuts.map(|part| upload.put_part(part.into())).collect();
        futures::stream::iter(parts).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        upload.finish(mode).await
    }

    async fn finish(&mut self, mode: &PutMode) -> Result<Option<PutResult>> {
        if self.last == 0 {
            // an empty object needs one part too
            self.put_part(PutPayload::default()).await?;
        }
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let Condition { if_match, if_none_match } = Condition::from_mode(mode)?;
        let request = self.bucket.client.complete_multipart_upload().bucket(self.bucket.name());
        let request = request.key(self.bucket.key(&self.path)).upload_id(&self.id).multipart_upload(parts);
        match request.set_if_match(if_match).set_if_none_match(if_none_match).send().await {
            Ok(done) => {
                self.is_open = false;
                Ok(Some(PutResult { e_tag: done.e_tag, version: done.version_id }))
            }
            // the service requires the parts to be uploaded again
            Err(error) if Answer::from_error(&error).is_some_and(|answer| answer.is_conflict()) => Ok(None),
            Err(error) => Err(self.bucket.target.explain(&self.path, &error)),
        }
    }

    fn abandon(&mut self) -> impl Future<Output = Result<()>> + Send + use<> {
        self.is_open = false;
        let request = self.bucket.client.abort_multipart_upload().bucket(self.bucket.name());
        let request = request.key(self.bucket.key(&self.path)).upload_id(&self.id);
        let (target, path) = (self.bucket.target.clone(), self.path.clone());
        async move { request.send().await.map(drop).map_err(|error| target.explain(&path, &error)) }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.last += 1;
        let number = self.last;
        let request = self.bucket.client.upload_part().bucket(self.bucket.name()).key(self.bucket.key(&self.path));
        let request = request.upload_id(&self.id).part_number(number).body(ByteStream::from(Bytes::from(data)));
        let (parts, target, path) = (self.parts.clone(), self.bucket.target.clone(), self.path.clone());
        Box::pin(async move {
            let sent = request.send().await.map_err(|error| target.explain(&path, &error))?;
            let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build();
            parts.lock().unwrap_or_else(PoisonError::into_inner).insert(number, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let conflict = S3Fault::Conflict { bucket: self.bucket.name().to_owned() };
        self.finish(&PutMode::Overwrite).await?.ok_or_else(|| conflict.at(self.path.as_ref()))
    }

    async fn abort(&mut self) -> Result<()> {
        self.abandon().await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_open {
            let handle = self.bucket.handle.clone();
            let abandoned = self.abandon();
            handle.spawn(async move {
                if let Err(error) = abandoned.await {
                    tracing::warn!(%error, "the parts of an upload were not deleted");
                }
            });
        }
    }
}
