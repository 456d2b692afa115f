//! A bucket and a prefix in it: the client, and the mapping between keys and paths.

use std::sync::Arc;

use aws_sdk_s3::Client;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error, PutMode, Result};
use tokio::runtime::Handle;

use crate::client::{Account, RetryPolicy};
use crate::fault::RequestTarget;
use crate::location::Location;

/// A prefix of a bucket, with the client that accesses it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub client: Client,
    pub target: Arc<RequestTarget>,
    pub prefix: Path,
    pub retry_policy: RetryPolicy,
    pub handle: Handle,
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.target.bucket, self.prefix)
    }
}

impl Bucket {
    pub fn new(client: Client, account: &Account, location: &Location, handle: Handle) -> Bucket {
        let target = RequestTarget { bucket: location.bucket.clone(), region: account.region().to_owned() };
        let (prefix, retry_policy) = (location.prefix.clone(), account.retry_policy());
        Bucket { client, target: Arc::new(target), prefix, retry_policy, handle }
    }

    pub fn name(&self) -> &str {
        &self.target.bucket
    }

    pub fn key(&self, path: &Path) -> String {
        match (self.prefix.as_ref(), path.as_ref()) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }

    /// The path of a key relative to the prefix. Returns `None` for a key that no path can express, such as `a//b`, and for keys that only
    /// mark a folder.
    pub fn path(&self, key: &str) -> Option<Path> {
        let inside = match self.prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        Path::parse(inside).ok().filter(|path| path.as_ref() == inside && !inside.is_empty())
    }
}

/// The precondition of a write, as HTTP headers.
pub(crate) struct Condition {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

impl Condition {
    pub fn from_mode(mode: &PutMode) -> Result<Condition> {
        Ok(match mode {
            PutMode::Overwrite => Condition { if_match: None, if_none_match: None },
            PutMode::Create => Condition { if_match: None, if_none_match: Some("*".to_owned()) },
            PutMode::Update(seen) => {
                let missing = "an object without an ETag cannot be replaced on a condition";
                let e_tag = seen.e_tag.clone().ok_or_else(|| Error::NotSupported { source: missing.into() })?;
                Condition { if_match: Some(e_tag), if_none_match: None }
            }
        })
    }
}

/// Converts a time of the store; a missing time becomes the Unix epoch.
pub(crate) fn time_in(time: Option<aws_smithy_types::DateTime>) -> DateTime<Utc> {
    time.and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos())).unwrap_or_default()
}

pub(crate) fn time_out(time: DateTime<Utc>) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_secs_and_nanos(time.timestamp(), time.timestamp_subsec_nanos())
}
