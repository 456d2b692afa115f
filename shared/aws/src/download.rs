//! Downloads one object in order, with several requests if necessary: ranges in parallel, and the rest of a body that broke off. Every
//! request after the first is conditional on the same version of the object.

use std::ops::Range;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Attributes, Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result};
use tokio::task::JoinHandle;

use crate::bucket::{Bucket, time_in, time_out};
use crate::fault::{Answer, S3Fault};

/// Size of the range of one request, unless the reader asks for less.
const PART: u64 = 8 << 20;
/// Maximum number of parts in flight; this bounds memory.
const IN_FLIGHT: usize = 4;

/// One version of an object to be downloaded.
#[derive(Debug)]
struct Download {
    bucket: Bucket,
    path: Path,
    e_tag: Option<String>,
    version: Option<String>,
}

/// Opens an object. A response of a single part is streamed; further parts are fetched ahead of the reader.
pub(crate) async fn get(bucket: &Bucket, path: &Path, options: GetOptions) -> Result<GetResult> {
    let range = options.range.clone();
    let (first, body) = open(bucket, path, options).await?;
    let begin = match &range {
        None => 0,
        Some(GetRange::Bounded(range)) => range.start,
        Some(GetRange::Offset(offset)) => *offset,
        Some(GetRange::Suffix(_)) => first.range.start,
    };
    if first.range.start != begin {
        return Err(Error::NotSupported { source: format!("{bucket} returns other ranges than requested").into() });
    }
    let end = match range {
        None | Some(GetRange::Offset(_) | GetRange::Suffix(_)) => first.meta.size,
        Some(GetRange::Bounded(range)) => range.end.min(first.meta.size),
    };
    let (e_tag, version) = (first.meta.e_tag.clone(), first.meta.version.clone());
    let download = Arc::new(Download { bucket: bucket.clone(), path: path.clone(), e_tag, version });
    let payload = GetResultPayload::Stream(download.stream(first.range.start..first.range.end.min(end), body, end));
    Ok(GetResult { payload, meta: first.meta, range: begin..end, attributes: Attributes::new() })
}

/// Metadata and range of the first response.
struct First {
    meta: ObjectMeta,
    range: Range<u64>,
}

async fn open(bucket: &Bucket, path: &Path, options: GetOptions) -> Result<(First, ByteStream)> {
    let part = |start: u64, end: u64| Some(format!("bytes={start}-{}", end - 1));
    let range = match &options.range {
        None => part(0, PART),
        Some(GetRange::Bounded(range)) if range.start >= range.end => {
            return Err(Error::Generic { store: "S3", source: format!("{path}: the requested range is empty").into() });
        }
        Some(GetRange::Bounded(range)) => part(range.start, range.end.min(range.start.saturating_add(PART))),
        Some(GetRange::Offset(offset)) => part(*offset, offset.saturating_add(PART)),
        Some(GetRange::Suffix(length)) => Some(format!("bytes=-{length}")),
    };
    let request = bucket.client.get_object().bucket(bucket.name()).key(bucket.key(path));
    let request = request.set_if_match(options.if_match).set_if_none_match(options.if_none_match);
    let request = request.set_version_id(options.version);
    let request = request.set_if_modified_since(options.if_modified_since.map(time_out));
    let request = request.set_if_unmodified_since(options.if_unmodified_since.map(time_out));
    let sent = match request.clone().set_range(range).send().await {
        // an empty object has no satisfiable range; request the whole object
        Err(error)
            if options.range.is_none() && Answer::from_error(&error).is_some_and(|answer| answer.status == 416) =>
        {
            request.send().await
        }
        sent => sent,
    };
    let mut output = sent.map_err(|error| bucket.target.explain(path, &error))?;
    let body = std::mem::take(&mut output.body);
    let (range, size) = covered(&output);
    let meta = ObjectMeta {
        location: path.clone(),
        last_modified: time_in(output.last_modified),
        size,
        e_tag: output.e_tag,
        version: output.version_id,
    };
    Ok((First { meta, range }, body))
}

/// The range that a response covers, and the size of the object.
fn covered(output: &GetObjectOutput) -> (Range<u64>, u64) {
    let length = output.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
    // "bytes 0-99/1234"
    let parsed = output.content_range().and_then(|text| {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, last) = range.split_once('-')?;
        Some((start.parse().ok()?..last.parse::<u64>().ok()? + 1, size.parse().ok()?))
    });
    parsed.unwrap_or((0..length, length))
}

impl Download {
    /// Streams the bytes from the beginning of the first range up to `end`.
    fn stream(self: Arc<Self>, first: Range<u64>, body: ByteStream, end: u64) -> BoxStream<'static, Result<Bytes>> {
        let rest = (first.end..end).step_by(PART as usize).map(move |start| (start..end.min(start + PART), None));
        let parts = std::iter::once((first, Some(body))).chain(rest);
        let handle = self.bucket.handle.clone();
        let fetched = futures::stream::iter(parts).map(move |(range, body)| {
            // in a task of its own, so that it continues while the reader processes earlier chunks
            Fetching(handle.spawn(self.clone().fetch(range, body)))
        });
        let chunks = fetched.map(Fetching::done).buffered(IN_FLIGHT);
        chunks.map_ok(|chunks| futures::stream::iter(chunks.into_iter().map(Ok))).try_flatten().boxed()
    }

    /// Fetches the bytes of a range. `body` is an already opened response for it. If a body breaks off, the rest is requested.
    async fn fetch(self: Arc<Self>, range: Range<u64>, mut body: Option<ByteStream>) -> Result<Vec<Bytes>> {
        let (mut chunks, mut at, mut failed) = (Vec::new(), range.start, 0);
        while at < range.end {
            let open = match body.take() {
                Some(body) => body,
                None => self.rest(at..range.end).await?,
            };
            let Some(fault) = self.drain(open, &mut at, range.end, &mut chunks).await else { break };
            failed += 1;
            if failed >= self.bucket.retry_policy.attempts {
                return Err(fault.at(self.path.as_ref()));
            }
            tracing::debug!(%fault, object = %self.path, at, "a download was interrupted");
            tokio::time::sleep(self.bucket.retry_policy.pause).await;
        }
        Ok(chunks)
    }

    /// Reads to the end of the range. Returns the fault if the body breaks off or is too slow.
    async fn drain(&self, mut body: ByteStream, at: &mut u64, end: u64, chunks: &mut Vec<Bytes>) -> Option<S3Fault> {
        let bucket = self.bucket.name().to_owned();
        while *at < end {
            let mut chunk = match tokio::time::timeout(self.bucket.retry_policy.read, body.next()).await {
                Err(_) => return Some(S3Fault::Timeout { bucket }),
                Ok(None) => return Some(S3Fault::Truncated { bucket }),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a download was interrupted");
                    return Some(S3Fault::Truncated { bucket });
                }
                Ok(Some(Ok(chunk))) => chunk,
            };
            chunk.truncate(usize::try_from(end - *at).unwrap_or(usize::MAX));
            *at += chunk.len() as u64;
            chunks.push(chunk);
        }
        None
    }

    /// Opens a later part of the same version.
    async fn rest(&self, range: Range<u64>) -> Result<ByteStream> {
        let Some(e_tag) = &self.e_tag else {
            let source = format!("{} gives no ETag, so parts of one version cannot be identified", self.bucket);
            return Err(Error::NotSupported { source: source.into() });
        };
        let request = self.bucket.client.get_object().bucket(self.bucket.name()).key(self.bucket.key(&self.path));
        let request = request.if_match(e_tag).set_version_id(self.version.clone());
        let sent = request.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await;
        let output = sent.map_err(|error| self.bucket.target.explain(&self.path, &error))?;
        // a store that ignores the condition is noticed here
        if output.e_tag.as_ref() != Some(e_tag) {
            let source = "the object has changed".into();
            return Err(Error::Precondition { path: self.path.to_string(), source });
        }
        if covered(&output).0.start != range.start {
            let source = format!("{} returns other ranges than requested", self.bucket);
            return Err(Error::NotSupported { source: source.into() });
        }
        Ok(output.body)
    }
}

/// A part being fetched in a task. The task is aborted on drop.
struct Fetching(JoinHandle<Result<Vec<Bytes>>>);

impl Fetching {
    async fn done(mut self) -> Result<Vec<Bytes>> {
        (&mut self.0).await.unwrap_or_else(|error| Err(Error::Generic { store: "S3", source: Box::new(error) }))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}
