//! Errors for messages that are not events of Tidemark.

use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// Builds the error of a refused message. A refused message is never acknowledged, so the platform moves it to its dead-letter destination.
pub(super) fn refused(what: &str, value: &Value) -> Error {
    refused_for(what, value, "")
}

/// The same with a reason. The beginning of the message is part of the error's source, not of its text, since the text goes to places where
/// no content may appear.
pub(super) fn refused_for(what: &str, value: &Value, why: &str) -> Error {
    const SHOWN: usize = 200;
    let text: String = value.to_string().chars().take(SHOWN).collect();
    let error = Error::new(ErrorKind::Refused, format!("this is {what}")).because(format!("{text}{why}"));
    error.hint(
        "send {\"pipeline\", \"scheduled_time\"}, {\"pipeline\", \"from\", \"to\"}, \"step due\" or S3 \"Object Created\"; folder events has \
         one of each",
    )
}
