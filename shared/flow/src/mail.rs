//! A mail as it is handed over, ready to be sent, to whatever sends mail where this runs: an SMTP server, or a topic of AWS.

use tidemark_pipeline::Severity;

use crate::error::Error;

/// One mail. Texts are whole and safe: subject of one line, HTML escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: Vec<String>,
    /// At most 78 characters.
    pub subject: String,
    pub text: String,
    pub html: String,
    /// What is left of the `@` in the header `Message-ID`. The same mail has the same, so that one that is sent again is known again.
    pub message_id: String,
    /// The `message_id` of the mail this one goes on from.
    pub in_reply_to: Option<String>,
    /// The pipelines it is about.
    pub pipelines: Vec<String>,
    /// The worst of what it is about.
    pub severity: Severity,
}

/// Sends mail.
pub trait Mailer {
    /// Returns once somebody has taken it over.
    ///
    /// # Errors
    /// [`Kind::Retry`](crate::Kind::Retry) where it may well be taken later; it is not known to be undelivered then. Any other kind says
    /// what has to change first.
    fn send(&self, mail: &Mail) -> Result<(), Error>;
}
