//! A Slack incoming webhook (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>): one request, one response. Its
//! URL is secret, so it appears in no error and no log.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use serde_json::Value;
use tidemark_flow::{Error, ErrorKind, Secret};
use tidemark_pipeline::SecretName;
use url::Url;

use super::loopback::is_loopback;
use super::words::time;

const CONNECT: Duration = Duration::from_secs(3);
/// Timeout of a whole attempt.
const WHOLE: Duration = Duration::from_secs(10);
/// Longest wait within a tick; after a longer one the next tick sends the message.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Maximum number of bytes read of a response; the reason is at its beginning.
const REASON: usize = 1_024;

/// One webhook, with the name of the secret that contains its URL.
pub(super) struct Webhook<'a> {
    name: &'a SecretName,
    url: Url,
}

/// The result of an attempt.
pub(super) enum Posted {
    Accepted,
    /// Slack rejects the body as malformed, for this reason.
    Malformed(Error),
    /// Slack asks to wait this long before the next attempt.
    Later(Duration),
}

impl<'a> Webhook<'a> {
    /// # Errors
    /// [`ErrorKind::Definition`] if the secret is not the URL of a webhook.
    pub fn new(name: &'a SecretName, secret: &Secret) -> Result<Webhook<'a>, Error> {
        let invalid = |what: &str| {
            Error::new(ErrorKind::Definition, format!("secret {name} is {what}"))
                .hint("store the URL of an incoming webhook in it: https://hooks.slack.com/services/…")
        };
        let url = Url::parse(secret.expose().trim()).map_err(|_| invalid("not a URL"))?;
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err(invalid("a URL with http, which would reveal it in transit")),
            _ => return Err(invalid("not the URL of a webhook")),
        }
        Ok(Webhook { name, url })
    }

    /// Whether the URL is https, so that certificates are needed.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// # Errors
    /// Any failure that an immediate second attempt would not change.
    pub async fn post(&self, client: &reqwest::Client, body: &Value, now: Timestamp) -> Result<Posted, Error> {
        let request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/json; charset=utf-8");
        let exchange = async {
            let mut answer = request.body(body.to_string()).send().await?;
            let mut reply = Vec::new();
            while reply.len() < REASON
                && let Some(chunk) = answer.chunk().await?
            {
                reply.extend_from_slice(&chunk);
            }
            Ok((answer.status().as_u16(), answer.headers().clone(), reply))
        };
        match exchange.await {
            Ok((status, headers, reply)) => self.classified(status, &headers, &reason(&reply), now),
            Err(error) => Err(self.connection_error(error)),
        }
    }

    /// The error if Slack asks to wait for longer than a tick can.
    pub fn rate_limited(&self, wait: Duration, now: Timestamp) -> Error {
        let until = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).map(time);
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        let message = format!("Slack accepts no messages through the webhook of secret {}{until}", self.name);
        Error::new(ErrorKind::Retry, message).hint("it will be sent again after that")
    }

    fn classified(&self, status: u16, headers: &HeaderMap, reason: &str, now: Timestamp) -> Result<Posted, Error> {
        let name = self.name;
        let reply = if reason.is_empty() { status.to_string() } else { format!("{status} {reason}") };
        let definition = |message: String, hint: &str| Err(Error::new(ErrorKind::Definition, message).hint(hint));
        match (status, reason) {
            (200..300, _) => Ok(Posted::Accepted),
            (429, _) => Ok(Posted::Later(retry_after(headers, now))),
            (410, "channel_is_archived") => definition(
                format!("the channel of the webhook of secret {name} is archived"),
                "create a webhook for another channel and store its URL in the secret, or restore the channel",
            ),
            (403, "action_prohibited" | "posting_to_general_channel_denied" | "team_access_not_granted") => definition(
                format!("the workspace does not let the webhook of secret {name} write to its channel ({reason})"),
                "ask an administrator of the workspace, or create a webhook for another channel",
            ),
            (401 | 403 | 404 | 410, _) => definition(
                format!("the webhook of secret {name} no longer exists ({reply})"),
                "create a new one in the app's settings in Slack (Incoming Webhooks), and store its URL in the secret",
            ),
            (408 | 425 | 500.., _) => {
                let message = format!("Slack cannot accept a message through the webhook of secret {name} ({reply})");
                Err(Error::new(ErrorKind::Retry, message).hint("it will be sent again"))
            }
            (300..=399, _) => definition(
                format!("the webhook of secret {name} redirects ({reply})"),
                "store the URL that it redirects to, if that is intended",
            ),
            _ => Ok(Posted::Malformed(
                Error::new(ErrorKind::Bug, format!("Slack rejected the format of a message ({reply})"))
                    .hint("please report this"),
            )),
        }
    }

    fn connection_error(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let deepest = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source()).last();
        let deepest = deepest.map(ToString::to_string).unwrap_or_default();
        let name = self.name;
        if deepest.starts_with("invalid peer certificate") {
            let message =
                format!("the certificate of the host of the webhook of secret {name} cannot be verified: {deepest}");
            let hint = "if the host is trusted, set SSL_CERT_FILE to a file with the certificate of its authority";
            return Error::new(ErrorKind::Refused, message).hint(hint);
        }
        let what = match (error.is_connect(), error.is_timeout()) {
            (_, true) => "no answer in time".to_owned(),
            (true, _) => format!("no connection: {deepest}"),
            _ => format!("the connection was lost: {deepest}"),
        };
        let message = format!("the webhook of secret {name} cannot be reached ({what})");
        Error::new(ErrorKind::Retry, message).hint("it will be sent again")
    }
}

/// The time to wait, from the `Retry-After` header; half a minute if Slack does not say.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Duration {
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = text.and_then(|text| text.parse::<u32>().ok()).map(|seconds| Duration::from_secs(seconds.into()));
    let date = || {
        let date = jiff::fmt::rfc2822::parse(text?).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
    };
    seconds.or_else(date).unwrap_or(Duration::from_secs(30))
}

pub(super) fn is_worth_waiting(wait: Duration) -> bool {
    wait <= LONGEST_WAIT
}

/// Slack's error code, such as `no_service`. Any other text is dropped, since it may contain anything, even the secret URL.
fn reason(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    let text = text.trim();
    let is_word = text.len() <= 60 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_word { text.to_owned() } else { String::new() }
}

/// Builds an HTTP client that does not follow redirects, since a webhook never redirects.
pub(super) fn client(is_https: bool) -> Result<reqwest::Client, Error> {
    let agent = (USER_AGENT, HeaderValue::from_static(concat!("tidemark/", env!("CARGO_PKG_VERSION"))));
    let builder = reqwest::Client::builder();
    // a server on this machine is not reached through a proxy
    let builder = if is_https { builder } else { builder.no_proxy() };
    builder
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .default_headers(HeaderMap::from_iter([agent]))
        .tls_backend_preconfigured(tls(is_https)?)
        .build()
        .map_err(|error| Error::new(ErrorKind::Bug, "no HTTP client").because(error))
}

fn tls(is_needed: bool) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    if is_needed {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::new(ErrorKind::Definition, "this machine has no certificates of trusted authorities")
                .hint("install ca-certificates, or set SSL_CERT_FILE to a file of certificates"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Bug, "no TLS").because(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str) -> Result<(), Error> {
        let name = "slack-webhook".parse().unwrap();
        Webhook::new(&name, &Secret::new(url)).map(|_| ())
    }

    #[test]
    fn webhooks_need_https_except_on_loopback() {
        for url in [
            "https://hooks.slack.com/services/T0/B0/hidden",
            "https://hooks.slack.com/services/T0/B0/hidden\n",
            "http://127.0.0.1:8080/hidden",
            "http://[::1]/hidden",
            "http://localhost/hidden",
        ] {
            webhook(url).unwrap();
        }
        for (url, what) in [
            ("hidden", "secret slack-webhook is not a URL"),
            ("", "secret slack-webhook is not a URL"),
            ("ftp://hidden", "secret slack-webhook is not the URL of a webhook"),
            (
                "http://hooks.slack.com/hidden",
                "secret slack-webhook is a URL with http, which would reveal it in transit",
            ),
            (
                "http://localhost.example.com/hidden",
                "secret slack-webhook is a URL with http, which would reveal it in transit",
            ),
        ] {
            let error = webhook(url).unwrap_err();
            assert_eq!((error.kind, error.full_message().as_str()), (ErrorKind::Definition, what));
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
    }

    #[test]
    fn only_an_error_code_of_a_response_is_quoted() {
        assert_eq!(reason(b"no_service\n"), "no_service");
        for other in ["https://hooks.slack.com/services/hidden", "<html>", "No", "two words"] {
            assert_eq!(reason(other.as_bytes()), "");
        }
    }

    #[test]
    fn retry_after_header_is_parsed() {
        let now = "2026-11-26T08:00:00Z".parse().unwrap();
        let of = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(of("2"), Duration::from_secs(2));
        assert_eq!(of("Thu, 26 Nov 2026 08:01:00 GMT"), Duration::from_secs(60));
        assert_eq!(of("Thu, 26 Nov 2026 07:01:00 GMT"), Duration::ZERO);
        assert_eq!(of("soon"), Duration::from_secs(30));
        assert!(is_worth_waiting(of("3")) && !is_worth_waiting(of("4")));
    }
}
