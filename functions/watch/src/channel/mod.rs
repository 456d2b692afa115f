//! Channels for messages: Slack and e-mail. A channel renders messages within the limits of its service. It knows nothing of incidents and
//! keeps no state.

mod email;
mod html;
mod loopback;
mod slack;
pub(crate) mod smtp;
#[cfg(test)]
mod tests;
mod webhook;
mod words;

use std::cell::OnceCell;
use std::fmt;

use jiff::Timestamp;
pub use smtp::Smtp;
use tidemark_flow::{Error, Mailer, Secrets};
use tidemark_pipeline::SecretName;
use tokio::runtime::Handle;

use crate::message::Message;
use webhook::{Posted, Webhook};

/// A recipient. Its text form is stable: `slack:slack-webhook`, `email:data@example.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A Slack channel, by the name of the secret with the URL of its webhook.
    Slack(SecretName),
    Email(String),
}

impl Address {
    /// Parses the text form; returns `None` if it is not valid.
    pub fn from_text(text: &str) -> Option<Address> {
        match text.split_once(':')? {
            ("slack", secret) => secret.parse().ok().map(Address::Slack),
            ("email", to) => Some(Address::Email(to.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Slack(secret) => write!(f, "slack:{secret}"),
            Address::Email(to) => write!(f, "email:{to}"),
        }
    }
}

/// All channels, with everything they depend on.
pub struct Channels<'a> {
    secrets: &'a dyn Secrets,
    mailer: &'a dyn Mailer,
    clock: &'a (dyn Fn() -> Timestamp + Sync),
    handle: Handle,
    /// Two clients, since the certificates of the machine are loaded only for https.
    https: OnceCell<reqwest::Client>,
    http: OnceCell<reqwest::Client>,
}

impl<'a> Channels<'a> {
    /// Creates the channels. Sends no request.
    pub fn new(
        secrets: &'a dyn Secrets,
        mailer: &'a dyn Mailer,
        clock: &'a (dyn Fn() -> Timestamp + Sync),
        handle: Handle,
    ) -> Channels<'a> {
        Channels { secrets, mailer, clock, handle, https: OnceCell::new(), http: OnceCell::new() }
    }

    /// Sends one message in full, or several as one digest. Takes less than a minute in any case.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`](tidemark_flow::ErrorKind::Retry) if sending may succeed later; the message may even have been delivered. Any
    /// other kind says what has to be changed first.
    pub fn send(&self, to: &Address, messages: &[Message]) -> Result<(), Error> {
        match (to, messages) {
            (_, []) => Ok(()),
            (Address::Slack(name), _) => self.slack(name, messages),
            (Address::Email(to), _) => self.mailer.send(&email::mail(to, messages)),
        }
    }

    fn slack(&self, name: &SecretName, messages: &[Message]) -> Result<(), Error> {
        let webhook = Webhook::new(name, &self.secrets.secret(name)?)?;
        let client = self.client(webhook.is_https())?;
        let body = slack::body(messages);
        self.handle.block_on(async {
            let Some(refusal) = self.posted(&webhook, client, &body).await? else { return Ok(()) };
            // Slack rejected the layout: send plain text instead
            tracing::warn!(error = refusal.full_message(), "a message is sent to Slack as plain text");
            match self.posted(&webhook, client, &slack::plain_text(messages)).await? {
                None => Ok(()),
                Some(refusal) => Err(refusal),
            }
        })
    }

    /// Posts a body, and once more if Slack asks for a short wait. Returns the reason if Slack rejects the body as malformed.
    async fn posted(
        &self,
        webhook: &Webhook<'_>,
        client: &reqwest::Client,
        body: &serde_json::Value,
    ) -> Result<Option<Error>, Error> {
        let mut is_again = false;
        loop {
            match webhook.post(client, body, (self.clock)()).await? {
                Posted::Accepted => return Ok(None),
                Posted::Malformed(refusal) => return Ok(Some(refusal)),
                Posted::Later(wait) if !is_again && webhook::is_worth_waiting(wait) => tokio::time::sleep(wait).await,
                Posted::Later(wait) => return Err(webhook.rate_limited(wait, (self.clock)())),
            }
            is_again = true;
        }
    }

    fn client(&self, is_https: bool) -> Result<&reqwest::Client, Error> {
        let kept = if is_https { &self.https } else { &self.http };
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        let client = webhook::client(is_https)?;
        Ok(kept.get_or_init(|| client))
    }
}
