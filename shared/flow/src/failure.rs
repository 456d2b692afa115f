//! The kinds of error, by what the reader has to do.

use serde::{Deserialize, Serialize};
use tidemark_lake::{Explained, LakeError, Remedy};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Transient: run again.
    Retry,
    /// Fix the pipeline file, or the way it was called.
    Definition,
    /// Data broke its contract, or is damaged.
    Data,
    /// Too large, or not allowed; says what it would take.
    Refused,
    /// Ours.
    Bug,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Retry => "retry",
            Kind::Definition => "definition",
            Kind::Data => "data",
            Kind::Refused => "refused",
            Kind::Bug => "bug",
        })
    }
}

/// A step that could not be done. Display says what failed and where; why is in `source`; what to do is in `hint`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// More records broke the contract than the pipeline allows.
    pub over_budget: bool,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), hint: None, source: None, over_budget: false }
    }

    /// More records broke the contract than the pipeline allows.
    pub fn over_budget(mut self) -> Failure {
        self.over_budget = true;
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        self.source = Some(source.into());
        self
    }

    /// What could not be done, since a store failed: kind and hint are what its error allows.
    pub fn of_store(message: impl Into<String>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        let error = error.into();
        let (kind, hint) = match Remedy::of(error.as_ref()) {
            Remedy::RunAgain => (Kind::Retry, "run again"),
            Remedy::Permit => (Kind::Refused, "let the user who runs tidemark read it"),
            Remedy::Free => (Kind::Refused, "free some space and run again"),
            Remedy::Correct => (Kind::Definition, "check how the place is named"),
        };
        let failure = Failure::new(kind, message).hint(hint);
        match Explained::among(error.as_ref()) {
            Some(explained) => failure.explained(explained),
            None => failure.because(error),
        }
    }

    /// With what the store itself has to say, which is more than we know.
    fn explained(mut self, explained: &Explained) -> Failure {
        self.hint = Some(explained.hint.clone());
        self.because(joined(explained.to_string(), std::error::Error::source(explained)))
    }

    /// The message and every cause below it, joined by colons; a cause that only repeats the one above is left out.
    pub fn chain(&self) -> String {
        joined(self.message.clone(), std::error::Error::source(self))
    }
}

/// A text and the causes below it, joined by colons; a cause that only repeats the one above is left out.
pub fn joined(mut text: String, mut cause: Option<&(dyn std::error::Error + 'static)>) -> String {
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Failure {
        let kind = match &error {
            LakeError::Store { .. } => Kind::Retry,
            LakeError::NotALake { .. }
            | LakeError::NoSuchDataset(_)
            | LakeError::NoSuchVersion { .. }
            | LakeError::Misplaced { .. } => Kind::Definition,
            LakeError::Corrupt { .. } | LakeError::Type { .. } => Kind::Data,
            LakeError::Newer { .. }
            | LakeError::Denied { .. }
            | LakeError::Full { .. }
            | LakeError::Unconditional { .. }
            | LakeError::Misfit { .. }
            | LakeError::Refused { .. }
            | LakeError::Foreign { .. } => Kind::Refused,
            LakeError::Bug { .. } => Kind::Bug,
            _ => Kind::Bug,
        };
        let (message, hint) = (error.to_string(), error.hint());
        let cause = std::error::Error::source(&error);
        match Explained::among(&error) {
            Some(explained) => Failure { hint, ..Failure::new(kind, message) }.explained(explained),
            None => Failure {
                hint,
                source: cause.map(|cause| joined(cause.to_string(), cause.source()).into()),
                ..Failure::new(kind, message)
            },
        }
    }
}
