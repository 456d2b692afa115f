//! What is no message of ours.

use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// Refused, never acknowledged: it goes where the platform keeps what could not be handled.
pub(super) fn refused(what: &str, value: &Value) -> Error {
    refused_for(what, value, "")
}

/// Of what it was, the beginning is below the message, which goes where no content of anything should.
pub(super) fn refused_for(what: &str, value: &Value, why: &str) -> Error {
    const SHOWN: usize = 200;
    let text: String = value.to_string().chars().take(SHOWN).collect();
    let failure = Error::new(ErrorKind::Refused, format!("this is {what}")).because(format!("{text}{why}"));
    failure.hint(
        "send {\"pipeline\", \"scheduled_time\"}, {\"pipeline\", \"from\", \"to\"}, \"step due\" or S3 \"Object Created\"; folder events has \
         one of each",
    )
}
