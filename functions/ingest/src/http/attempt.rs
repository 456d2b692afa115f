//! What an attempt to get an answer came to.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tidemark_flow::Error;
use url::Url;

use super::links::Headers;

/// An answer that came whole, with status 200 to 299.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub body: String,
    pub content_type: Option<String>,
    pub headers: Headers,
    /// Bytes as they were sent.
    pub bytes: u64,
}

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// Waiting for it would go beyond the deadline.
    Late(Duration),
    /// The API does not take the request (4xx); `status` says which.
    Refused(u16, Error),
    Failed(Error),
}

impl From<Error> for NoAnswer {
    fn from(failure: Error) -> NoAnswer {
        NoAnswer::Failed(failure)
    }
}

/// Why an attempt is worth another.
pub(super) struct Cause {
    /// The same for all attempts that failed in the same way.
    pub(super) kind: String,
    /// What was said of this one; empty where nothing was.
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

/// What an attempt came to.
pub(super) enum Tried {
    Answered(Answer),
    /// Worth another attempt: what was wrong, and how long the API asks to wait.
    Again(Cause, Option<Duration>),
    Unauthorized(Error),
    Refused(u16, Error),
    Redirected(Url, bool),
    Failed(Error),
}

/// How an answer begins.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
}
