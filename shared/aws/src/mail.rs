//! Sends mail to the subscribers of an SNS topic: <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>. SNS mails plain text only.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::json;
use tidemark_flow::settings::ALERT_TOPIC;
use tidemark_flow::{Error, ErrorKind, Mail, Mailer};
use tidemark_pipeline::Severity;
use tokio::runtime::Handle;

use crate::client::Account;

/// SNS accepts subjects of fewer than 100 characters.
const SUBJECT: usize = 99;
/// Maximum size of text and attribute values together; the rest is reserved for attribute names.
const BYTES: usize = 256 * 1024 - 1024;
/// Timeout for all attempts together.
const WHOLE: Duration = Duration::from_secs(10);

/// An SNS topic. The recipients of a mail are its attribute `to`, so a subscription with the filter policy `{"to": ["data@example.com"]}`
/// gets the mails for that address. The attributes `pipeline` and `severity` can be filtered in the same way.
#[derive(Debug)]
pub struct Topic {
    client: Client,
    arn: String,
    handle: Handle,
}

impl Topic {
    /// Parses the ARN and builds a client for its region. Sends no request.
    ///
    /// # Errors
    /// [`ErrorKind::Definition`] if this is not the ARN of a topic.
    pub fn new(account: &Account, arn: &str, handle: Handle) -> Result<Topic, Error> {
        let region = match arn.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "sns", region, _, name] if !region.is_empty() && !name.is_empty() => (*region).to_owned(),
            _ => {
                return Err(Error::new(
                    ErrorKind::Definition,
                    format!("{ALERT_TOPIC} is not the ARN of a topic: {arn:?}"),
                )
                .hint("it looks like this: arn:aws:sns:eu-west-1:123456789012:tidemark-alerts"));
            }
        };
        let config = Builder::from(account.config())
            .region(Region::new(region))
            .timeout_config(TimeoutConfig::builder().operation_timeout(WHOLE).build());
        Ok(Topic { client: Client::from_conf(config.build()), arn: arn.to_owned(), handle })
    }

    fn failed(&self, code: Option<&str>, why: String) -> Error {
        let arn = &self.arn;
        let of = |kind: ErrorKind, message: String, hint: &str| Error::new(kind, message).hint(hint).because(why);
        let rejected = format!("topic {arn} did not accept a message");
        match code {
            Some("NotFound") => of(
                ErrorKind::Definition,
                format!("there is no topic {arn}"),
                "create it (aws sns create-topic --name …), or set TIDEMARK_ALERT_TOPIC to another topic",
            ),
            Some("AuthorizationError" | "AccessDenied" | "AccessDeniedException") => of(
                ErrorKind::Refused,
                format!("publishing to topic {arn} is denied"),
                "allow sns:Publish on it in the policy of the function's role",
            ),
            Some(code) if code.starts_with("KMS") && code != "KMSThrottling" => of(
                ErrorKind::Refused,
                rejected,
                "allow kms:GenerateDataKey and kms:Decrypt on the topic's key in the policy of the function's role",
            ),
            Some("InvalidParameter" | "ParameterValueInvalid" | "ValidationException") => of(
                ErrorKind::Definition,
                rejected,
                "check TIDEMARK_ALERT_TOPIC, and that the topic is a standard topic",
            ),
            _ => of(ErrorKind::Retry, rejected, "it will be sent again"),
        }
    }
}

impl Mailer for Topic {
    fn send(&self, mail: &Mail) -> Result<(), Error> {
        let severity = match mail.severity {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        let attributes = [
            ("to", "String.Array", json!(mail.to).to_string()),
            ("pipeline", "String.Array", json!(mail.pipelines).to_string()),
            ("severity", "String", severity.to_owned()),
        ];
        let taken: usize = attributes.iter().map(|(_, _, value)| value.len()).sum();
        let mut publish = self.client.publish().topic_arn(&self.arn).subject(subject(&mail.subject));
        for (name, kind, value) in attributes {
            let value = MessageAttributeValue::builder().data_type(kind).string_value(value).build();
            let value = value.map_err(|error| Error::new(ErrorKind::Bug, "a mail cannot be written").because(error))?;
            publish = publish.message_attributes(name, value);
        }
        let sent = publish.message(truncated(&mail.text, BYTES.saturating_sub(taken))).send();
        match self.handle.block_on(sent) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error.code(), DisplayErrorContext(&error).to_string())),
        }
    }
}

/// Converts a subject to what SNS accepts: ASCII without control characters, starting with a letter, a digit or punctuation, and truncated
/// to [`SUBJECT`].
fn subject(text: &str) -> String {
    let mut ascii = String::new();
    for c in text.chars() {
        match c {
            '…' => ascii.push_str("..."),
            '→' => ascii.push_str("->"),
            '–' | '—' => ascii.push('-'),
            ' '..='~' => ascii.push(c),
            _ => ascii.push('?'),
        }
    }
    let ascii = ascii.trim();
    if ascii.is_empty() {
        return "tidemark".to_owned();
    }
    match ascii.len() > SUBJECT {
        true => format!("{}...", ascii[..SUBJECT - 3].trim_end()),
        false => ascii.to_owned(),
    }
}

/// Truncates a text to at most `max` bytes.
fn truncated(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    const END: &str = "\n…\n";
    format!("{}{END}", &text[..text.floor_char_boundary(max.saturating_sub(END.len()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_converted_for_sns() {
        for (text, taken) in [
            ("[critical] orders: clean failed", "[critical] orders: clean failed"),
            ("  é\r\nBcc: a@b.c …", "???Bcc: a@b.c ..."),
            ("🔴 →", "? ->"),
            ("\u{a0} ", "?"),
            ("", "tidemark"),
        ] {
            assert_eq!(subject(text), taken);
        }
        let long = subject(&"é…".repeat(100));
        assert!(long.len() == 99 && long.ends_with("..."), "{long}");
    }

    #[test]
    fn text_is_truncated_between_characters() {
        assert_eq!(truncated("ééé", 6), "ééé");
        assert_eq!(truncated("éééé", 7), "é\n…\n");
        assert_eq!(truncated("éééé", 0), "\n…\n");
    }
}
