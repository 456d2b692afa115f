//! The interface to whatever sends mail in this environment: an SMTP server or an SNS topic.

use tidemark_pipeline::Severity;

use crate::error::Error;

/// One mail, ready to be sent: the subject is a single line, and the HTML is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: Vec<String>,
    /// At most 78 characters.
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The part of the `Message-ID` header before the `@`. It is the same each time the same mail is sent, so duplicates can be recognized.
    pub message_id: String,
    /// The `message_id` of the mail that this one follows up on.
    pub in_reply_to: Option<String>,
    /// The pipelines it reports on.
    pub pipelines: Vec<String>,
    /// The highest severity of what it reports.
    pub severity: Severity,
}

/// Sends mail.
pub trait Mailer {
    /// Returns once a server or service has accepted the mail.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](crate::ErrorKind::Retry) if sending may succeed later; the mail may even have been delivered. Any other kind
    /// says what has to be changed first.
    fn send(&self, mail: &Mail) -> Result<(), Error>;
}
