//! Where messages go: Slack, e-mail. A channel is given messages and brings them into its form, within its limits; it knows nothing of
//! incidents, and remembers nothing.

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

/// To whom. Its text is the same as long as it means the same: `slack:slack-webhook`, `email:data@example.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A channel of Slack, by the secret that is the URL of its webhook.
    Slack(SecretName),
    Email(String),
}

impl Address {
    /// What its text stands for; `None` if that is none.
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

/// All channels, with what they need of the world.
pub struct Channels<'a> {
    secrets: &'a dyn Secrets,
    mailer: &'a dyn Mailer,
    clock: &'a (dyn Fn() -> Timestamp + Sync),
    handle: Handle,
    /// Two, since the certificates of the machine are read only where one is needed.
    https: OnceCell<reqwest::Client>,
    http: OnceCell<reqwest::Client>,
}

impl<'a> Channels<'a> {
    /// Asks nobody yet.
    pub fn new(
        secrets: &'a dyn Secrets,
        mailer: &'a dyn Mailer,
        clock: &'a (dyn Fn() -> Timestamp + Sync),
        handle: Handle,
    ) -> Channels<'a> {
        Channels { secrets, mailer, clock, handle, https: OnceCell::new(), http: OnceCell::new() }
    }

    /// One message in its full form, or several as one digest. It takes less than a minute, whatever happens.
    ///
    /// # Errors
    /// [`Kind::Retry`](tidemark_flow::Kind::Retry): it may succeed later, and may even have come through. Any other kind says what has to
    /// change first.
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
            // it is not lost for its looks
            tracing::warn!(error = refusal.full_message(), "a message is sent to Slack as plain text");
            match self.posted(&webhook, client, &slack::bare(messages)).await? {
                None => Ok(()),
                Some(refusal) => Err(refusal),
            }
        })
    }

    /// Sends it, and once more if Slack asks to wait for a moment. What comes back is why Slack does not understand it.
    async fn posted(
        &self,
        webhook: &Webhook<'_>,
        client: &reqwest::Client,
        body: &serde_json::Value,
    ) -> Result<Option<Error>, Error> {
        let mut is_again = false;
        loop {
            match webhook.post(client, body, (self.clock)()).await? {
                Posted::Taken => return Ok(None),
                Posted::Malformed(refusal) => return Ok(Some(refusal)),
                Posted::Later(wait) if !is_again && webhook::is_worth_waiting(wait) => tokio::time::sleep(wait).await,
                Posted::Later(wait) => return Err(webhook.asks_to_wait(wait, (self.clock)())),
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
