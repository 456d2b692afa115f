//! Objects in folders, which keep conditions as S3 does or take no notice of them.
//!
//! `s3s-fs` looks first and writes then, so of two that write at once both may win; here one lock makes the two one.

use std::path::PathBuf;

use hyper::{HeaderMap, Method, Uri};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;

type Answer<T> = S3Result<S3Response<T>>;

pub struct Conditions {
    inner: FileSystem,
    root: PathBuf,
    /// Held alone by whoever changes something, and shared by those who read.
    lock: RwLock<()>,
    are_kept: bool,
}

impl Conditions {
    pub fn new(root: &std::path::Path, are_kept: bool) -> Conditions {
        let inner = FileSystem::new(root).unwrap();
        Conditions { inner, root: root.to_owned(), lock: RwLock::new(()), are_kept }
    }

    /// `s3s-fs` makes the buckets it is asked for, or says that only the key is missing.
    fn has_bucket(&self, bucket: &str) -> S3Result {
        if self.root.join(bucket).is_dir() { Ok(()) } else { Err(s3_error!(NoSuchBucket, "there is no such bucket")) }
    }

    async fn e_tag(&self, bucket: &str, key: &str) -> Option<ETag> {
        let input = HeadObjectInput { bucket: bucket.to_owned(), key: key.to_owned(), ..Default::default() };
        let request = S3Request {
            input,
            method: Method::HEAD,
            uri: Uri::default(),
            headers: HeaderMap::new(),
            extensions: Default::default(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        };
        self.inner.head_object(request).await.ok()?.output.e_tag
    }

    async fn check_read(
        &self,
        (bucket, key): (&str, &str),
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result {
        if if_match.is_none() && if_none_match.is_none() {
            return Ok(());
        }
        let Some(standing) = self.e_tag(bucket, key).await else { return Err(s3_error!(NoSuchKey)) };
        let is = |wanted: &ETagCondition| wanted.as_etag().is_none_or(|wanted| wanted.strong_cmp(&standing));
        if if_match.is_some_and(|wanted| !is(wanted)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if if_none_match.is_some_and(is) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl S3 for Conditions {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let _shared = self.lock.read().await;
        let input = &request.input;
        self.has_bucket(&input.bucket)?;
        let object = (input.bucket.as_str(), input.key.as_str());
        self.check_read(object, input.if_match.as_ref(), input.if_none_match.as_ref()).await?;
        self.inner.get_object(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let _shared = self.lock.read().await;
        let input = &request.input;
        let object = (input.bucket.as_str(), input.key.as_str());
        // to s3s-fs a folder is an object too
        if self.root.join(&input.bucket).join(&input.key).is_dir() {
            return Err(s3_error!(NoSuchKey));
        }
        self.check_read(object, input.if_match.as_ref(), input.if_none_match.as_ref()).await?;
        self.inner.head_object(request).await
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let _shared = self.lock.read().await;
        let bucket = request.input.bucket.clone();
        let mut listed = self.inner.list_objects_v2(request).await?;
        for object in listed.output.contents.iter_mut().flatten() {
            object.e_tag = self.e_tag(&bucket, object.key.as_deref().unwrap_or_default()).await;
        }
        Ok(listed)
    }

    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let _alone = self.lock.write().await;
        self.has_bucket(&request.input.bucket)?;
        if !self.are_kept {
            (request.input.if_match, request.input.if_none_match) = (None, None);
        }
        self.inner.put_object(request).await
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let _alone = self.lock.write().await;
        self.inner.copy_object(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        let _alone = self.lock.write().await;
        self.inner.delete_object(request).await
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        let _alone = self.lock.write().await;
        self.inner.delete_objects(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.has_bucket(&request.input.bucket)?;
        self.inner.create_multipart_upload(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        self.inner.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let _alone = self.lock.write().await;
        if !self.are_kept {
            (request.input.if_match, request.input.if_none_match) = (None, None);
        }
        self.inner.complete_multipart_upload(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.inner.abort_multipart_upload(request).await
    }
}
