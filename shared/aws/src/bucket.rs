//! What is in a bucket below a prefix: the client that asks for it, and its keys.

use std::sync::Arc;

use aws_sdk_s3::Client;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error, PutMode, Result};
use tokio::runtime::Handle;

use crate::client::{Account, RetryPolicy};
use crate::fault::Whither;
use crate::location::Location;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub client: Client,
    pub whither: Arc<Whither>,
    pub prefix: Path,
    pub patience: RetryPolicy,
    pub handle: Handle,
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.whither.bucket, self.prefix)
    }
}

impl Bucket {
    pub fn new(client: Client, account: &Account, location: &Location, handle: Handle) -> Bucket {
        let whither = Whither { bucket: location.bucket.clone(), region: account.region().to_owned() };
        let (prefix, patience) = (location.prefix.clone(), account.patience());
        Bucket { client, whither: Arc::new(whither), prefix, patience, handle }
    }

    pub fn name(&self) -> &str {
        &self.whither.bucket
    }

    pub fn key(&self, path: &Path) -> String {
        match (self.prefix.as_ref(), path.as_ref()) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }

    /// The path of a key, `None` for a key that no path can name, such as `a//b`, and for those that only mark a folder.
    pub fn path(&self, key: &str) -> Option<Path> {
        let inside = match self.prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        Path::parse(inside).ok().filter(|path| path.as_ref() == inside && !inside.is_empty())
    }
}

/// What has to hold for a write to be done, as headers.
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

/// The moment a store tells; one that tells none is as old as can be.
pub(crate) fn time_in(time: Option<aws_smithy_types::DateTime>) -> DateTime<Utc> {
    time.and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos())).unwrap_or_default()
}

pub(crate) fn time_out(time: DateTime<Utc>) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_secs_and_nanos(time.timestamp(), time.timestamp_subsec_nanos())
}
