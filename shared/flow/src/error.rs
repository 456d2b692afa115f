//! The error type of all steps. The kind of an error says what the user has to do.

use serde::{Deserialize, Serialize};
use tidemark_lake::{LakeError, StoreErrorAction, StoreErrorContext};

/// The kind of an error, by what has to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// Transient: run again.
    Retry,
    /// Fix the pipeline file or the arguments.
    Definition,
    /// The data breaks its contract or is damaged.
    Data,
    /// Too large or not permitted; the hint says what is needed.
    Refused,
    /// A bug in Tidemark.
    Bug,
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ErrorKind::Retry => "retry",
            ErrorKind::Definition => "definition",
            ErrorKind::Data => "data",
            ErrorKind::Refused => "refused",
            ErrorKind::Bug => "bug",
        })
    }
}

/// The error of a step. `Display` says what failed and where, `source` says why, `hint` says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: Option<String>,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// More records broke the contract than the pipeline allows.
    pub over_budget: bool,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None, source: None, over_budget: false }
    }

    /// Marks that more records broke the contract than the pipeline allows.
    pub fn over_budget(mut self) -> Error {
        self.over_budget = true;
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// Builds an error caused by a failed store; kind and hint follow from the store's error.
    pub fn from_store(message: impl Into<String>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let error = error.into();
        let (kind, hint) = match StoreErrorAction::for_error(error.as_ref()) {
            StoreErrorAction::RunAgain => (ErrorKind::Retry, "run again"),
            StoreErrorAction::Permit => (ErrorKind::Refused, "allow the user who runs tidemark to read it"),
            StoreErrorAction::Free => (ErrorKind::Refused, "free some space and run again"),
            StoreErrorAction::Correct => (ErrorKind::Definition, "check the spelling of the location"),
        };
        let general = Error::new(kind, message).hint(hint);
        match StoreErrorContext::find_in(error.as_ref()) {
            Some(context) => general.with_store_context(context),
            None => general.because(error),
        }
    }

    /// Replaces hint and source by the explanation the store gave, which is more specific.
    fn with_store_context(mut self, context: &StoreErrorContext) -> Error {
        self.hint = Some(context.hint.clone());
        self.because(joined(context.to_string(), std::error::Error::source(context)))
    }

    /// The message and every cause below it, joined by colons; a cause that only repeats the one above is left out.
    pub fn full_message(&self) -> String {
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

impl From<LakeError> for Error {
    fn from(error: LakeError) -> Error {
        let kind = match &error {
            LakeError::Store { .. } => ErrorKind::Retry,
            LakeError::NotALake { .. }
            | LakeError::NoSuchDataset(_)
            | LakeError::NoSuchVersion { .. }
            | LakeError::Misplaced { .. } => ErrorKind::Definition,
            LakeError::Corrupt { .. } | LakeError::Type { .. } => ErrorKind::Data,
            LakeError::Newer { .. }
            | LakeError::Denied { .. }
            | LakeError::Full { .. }
            | LakeError::Unconditional { .. }
            | LakeError::SchemaMismatch { .. }
            | LakeError::Refused { .. }
            | LakeError::Foreign { .. } => ErrorKind::Refused,
            LakeError::Bug { .. } => ErrorKind::Bug,
            _ => ErrorKind::Bug,
        };
        let (message, hint) = (error.to_string(), error.hint());
        let cause = std::error::Error::source(&error);
        match StoreErrorContext::find_in(&error) {
            Some(context) => Error { hint, ..Error::new(kind, message) }.with_store_context(context),
            None => Error {
                hint,
                source: cause.map(|cause| joined(cause.to_string(), cause.source()).into()),
                ..Error::new(kind, message)
            },
        }
    }
}
