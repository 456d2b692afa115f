//! The outcome of an attempt to get an answer.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tidemark_flow::Error;
use url::Url;

use super::links::Headers;

/// A complete answer with status 200 to 299.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub body: String,
    pub content_type: Option<String>,
    pub headers: Headers,
    /// Bytes of the body as received (compressed).
    pub bytes: u64,
}

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// The wait before the next request would go beyond the deadline.
    Late(Duration),
    /// The API refused the request with this status (4xx).
    Refused(u16, Error),
    Failed(Error),
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> NoAnswer {
        NoAnswer::Failed(error)
    }
}

/// Why an attempt is to be retried.
pub(super) struct Cause {
    /// The same text for all attempts that failed in the same way, so that they can be counted.
    pub(super) kind: String,
    /// Details of this attempt; may be empty.
    pub(super) detail: String,
}

impl Cause {
    pub(super) fn new(kind: impl Into<String>) -> Cause {
        Cause { kind: kind.into(), detail: String::new() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// The outcome of an attempt.
pub(super) enum AttemptOutcome {
    Answered(Answer),
    /// To be retried: the cause, and how long the API asks to wait.
    Retry(Cause, Option<Duration>),
    Unauthorized(Error),
    Refused(u16, Error),
    Redirected(Url, bool),
    Failed(Error),
}

/// Status and headers of an answer.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
}
