//! Sends mail by SMTP, for environments without AWS. The connection is encrypted, unless the server is this machine.

use std::error::Error as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport as _};
use tidemark_flow::settings::{MAIL_FROM, SMTP};
use tidemark_flow::{Error, ErrorKind, Mail, Mailer, Secrets};
use tidemark_pipeline::SecretName;
use url::Url;

use super::loopback::is_loopback;
use super::words::{cut, line};

/// Timeouts of a single SMTP command, and of the whole conversation.
const TIMEOUT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "smtp-password";
const FORMS: &str = "write smtps://host, or smtp://user@host:587";
/// RFC 3834: prevents automatic replies such as out-of-office mails.
const AUTO_SUBMITTED: (&str, &str) = ("Auto-Submitted", "auto-generated");

/// A mail server, as set in the environment. The settings are only checked when a mail is sent, so that a mistake in them is an error of
/// that mail and of nothing else.
pub struct Smtp<'a> {
    url: Option<String>,
    from: Option<String>,
    secrets: &'a dyn Secrets,
    clock: &'a (dyn Fn() -> Timestamp + Sync),
}

/// The address of the server, and the security of the connection.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
    security: Security,
    user: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS by STARTTLS, before anything else is sent.
    StartTls,
    /// Unencrypted; only for this machine.
    None,
}

impl<'a> Smtp<'a> {
    /// Reads the settings. `variable` looks up a variable. If no server is set, sending a mail returns an error that says what to set.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        secrets: &'a dyn Secrets,
        clock: &'a (dyn Fn() -> Timestamp + Sync),
    ) -> Smtp<'a> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Smtp { url: set(SMTP), from: set(MAIL_FROM), secrets, clock }
    }

    fn server(&self) -> Result<Server, Error> {
        let unset =
            || Error::new(ErrorKind::Definition, "there is no mail server").hint(format!("set {SMTP}: {FORMS}"));
        Server::from_text(self.url.as_deref().ok_or_else(unset)?)
    }

    fn from(&self) -> Result<Mailbox, Error> {
        let hint = format!("set {MAIL_FROM}, for example to tidemark@example.com");
        let Some(from) = &self.from else {
            return Err(Error::new(ErrorKind::Definition, "the sender of mail is not set").hint(hint));
        };
        let mut from: Mailbox = from.parse().map_err(|_| {
            Error::new(ErrorKind::Definition, format!("{MAIL_FROM} is not an address: {from:?}")).hint(hint)
        })?;
        from.name.get_or_insert_with(|| "Tidemark".to_owned());
        Ok(from)
    }

    fn transport(&self, server: &Server, from: &Mailbox) -> Result<SmtpTransport, Error> {
        let tls = || {
            TlsParameters::new(server.host.clone())
                .map_err(|error| Error::new(ErrorKind::Bug, "no TLS for mail").because(error))
        };
        let tls = match server.security {
            Security::Tls => Tls::Wrapper(tls()?),
            Security::StartTls => Tls::Required(tls()?),
            Security::None => Tls::None,
        };
        let mut builder = SmtpTransport::builder_dangerous(server.host.clone())
            .port(server.port)
            .tls(tls)
            .timeout(Some(TIMEOUT))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some(user) = &server.user {
            let name = PASSWORD.parse::<SecretName>().map_err(|error| Error::new(ErrorKind::Bug, error.to_string()))?;
            let password = self.secrets.secret(&name)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }

    fn message(&self, mail: &Mail, from: &Mailbox) -> Result<Message, Error> {
        let id = |local: &str| format!("<{local}@{}>", from.email.domain());
        let mut builder = Message::builder()
            .from(from.clone())
            .subject(&mail.subject)
            .date(SystemTime::from((self.clock)()))
            .message_id(Some(id(&mail.message_id)))
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str(AUTO_SUBMITTED.0),
                AUTO_SUBMITTED.1.to_owned(),
            ));
        if let Some(parent) = &mail.in_reply_to {
            builder = builder.in_reply_to(id(parent)).references(id(parent));
        }
        for to in &mail.to {
            let to = to.parse().map_err(|_| {
                let message = format!("{:?} is not an address to which mail can be sent", line(to));
                Error::new(ErrorKind::Definition, message).hint("check `email` in [alerts]")
            })?;
            builder = builder.to(Mailbox::new(None, to));
        }
        builder
            .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
            .map_err(|error| Error::new(ErrorKind::Bug, "a mail cannot be written").because(error))
    }
}

impl Mailer for Smtp<'_> {
    fn send(&self, mail: &Mail) -> Result<(), Error> {
        let (server, from) = (self.server()?, self.from()?);
        let message = self.message(mail, &from)?;
        let transport = self.transport(&server, &from)?;
        // limit the whole conversation, since a server that is slow at every command would block the watcher for minutes
        let (sender, receiver) = mpsc::sync_channel(1);
        let sending = move || {
            let _ = sender.send(transport.send(&message));
        };
        let started = thread::Builder::new().name("mail".to_owned()).spawn(sending);
        started.map_err(|error| {
            Error::new(ErrorKind::Retry, "no thread for a mail").hint("it will be sent again").because(error)
        })?;
        match receiver.recv_timeout(WHOLE) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(server.failed(&error, mail)),
            Err(RecvTimeoutError::Timeout) => Err(server.unreachable("no answer in time")),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::new(ErrorKind::Bug, "a mail cannot be sent: it panicked").hint("please report this"))
            }
        }
    }
}

impl Server {
    /// # Errors
    /// Says what is wrong with the setting, but never quotes it: it may contain a password.
    fn from_text(text: &str) -> Result<Server, Error> {
        let invalid = |what: &str, hint: &str| Error::new(ErrorKind::Definition, format!("{SMTP} {what}")).hint(hint);
        let url = Url::parse(text).map_err(|_| invalid("is not a URL", FORMS))?;
        if url.password().is_some() {
            let hint = format!("remove it, and store it as the secret {PASSWORD}");
            return Err(invalid("contains a password", &hint));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid("names no host", FORMS))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("has more than a host, a port and a user", FORMS));
        }
        let is_local = is_loopback(host);
        let (security, port) = match url.scheme() {
            "smtps" => (Security::Tls, 465),
            "smtp" if is_local => (Security::None, 25),
            "smtp" => (Security::StartTls, 587),
            _ => return Err(invalid("is not the URL of a mail server", FORMS)),
        };
        Ok(Server {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(port),
            security,
            user: Some(decoded(url.username())).filter(|user| !user.is_empty()),
        })
    }

    fn failed(&self, error: &lettre::transport::smtp::Error, mail: &Mail) -> Error {
        let reason = cut(&line(&error.source().map(ToString::to_string).unwrap_or_default()), 300);
        let host = format!("mail server {}:{}", self.host, self.port);
        let of = |kind: ErrorKind, message: String, hint: String| Error::new(kind, message).hint(hint);
        let (to, user) = (mail.to.join(", "), self.user.as_deref().unwrap_or_default());
        if let Some(code) = error.status().map(|code| code.to_string()) {
            let login = ["530", "534", "535", "538"].contains(&code.as_str());
            return match (error.is_transient(), login, self.user.is_some()) {
                (true, ..) => of(
                    ErrorKind::Retry,
                    format!("{host} does not accept mail at the moment ({code} {reason})"),
                    "it will be sent again".to_owned(),
                ),
                (_, true, true) => of(
                    ErrorKind::Definition,
                    format!("{host} rejects the login of {user} ({code} {reason})"),
                    format!("check the user in {SMTP}, and the secret {PASSWORD}"),
                ),
                (_, true, false) => of(
                    ErrorKind::Definition,
                    format!("{host} requires a login ({code} {reason})"),
                    format!("name a user in {SMTP}, smtp://user@host:587, and store the secret {PASSWORD}"),
                ),
                _ => of(
                    ErrorKind::Definition,
                    format!("{host} refuses a mail to {to} ({code} {reason})"),
                    format!("check the address in [alerts], and {MAIL_FROM}"),
                ),
            };
        }
        if reason.contains("invalid peer certificate") {
            let hint = "if the host is trusted, set SSL_CERT_FILE to a file with the certificate of its authority";
            return of(
                ErrorKind::Refused,
                format!("the certificate of {host} cannot be verified: {reason}"),
                hint.to_owned(),
            );
        }
        if error.is_client() {
            let hint = match reason.starts_with("STARTTLS") {
                true => "the password and all mail could be read in transit: use smtps://, or another port",
                false => "check which encryption the server offers",
            };
            return of(ErrorKind::Definition, format!("{host} cannot be used: {reason}"), hint.to_owned());
        }
        self.unreachable(if is_late(error) { "no answer in time" } else { &reason })
    }

    fn unreachable(&self, why: &str) -> Error {
        let message = format!("mail server {}:{} cannot be reached ({why})", self.host, self.port);
        Error::new(ErrorKind::Retry, message).hint("it will be sent again")
    }
}

/// Whether a socket timed out; some systems report that as `WouldBlock`.
fn is_late(error: &lettre::transport::smtp::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let kind = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kind.is_some_and(|kind| [TimedOut, WouldBlock].contains(&kind))
}

/// Decodes percent-encoding in a URL.
fn decoded(text: &str) -> String {
    // the form decoder treats these three characters specially
    let form = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(form.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url() {
        let server = |text: &str| {
            let server = Server::from_text(text).unwrap();
            (server.host, server.port, server.security, server.user)
        };
        let user = |text: &str| Some(text.to_owned());
        assert_eq!(server("smtps://mail.example.com"), ("mail.example.com".to_owned(), 465, Security::Tls, None));
        assert_eq!(
            server("smtp://tidemark@mail.example.com:2525/"),
            ("mail.example.com".to_owned(), 2525, Security::StartTls, user("tidemark"))
        );
        assert_eq!(server("smtp://a+b%40c.d@mail.example.com").3, user("a+b@c.d"));
        assert_eq!(server("smtp://127.0.0.1"), ("127.0.0.1".to_owned(), 25, Security::None, None));
        assert_eq!(server("smtp://[::1]:25"), ("::1".to_owned(), 25, Security::None, None));
        assert_eq!(server("smtps://localhost:465").2, Security::Tls);
        assert_eq!(server("smtp://127.0.0.1.example.com").2, Security::StartTls);
    }

    #[test]
    fn invalid_setting_is_never_quoted_in_errors() {
        for (text, what) in [
            ("smtp://tidemark:hidden@mail.example.com", "TIDEMARK_SMTP contains a password"),
            ("smtp://:hidden@mail.example.com", "TIDEMARK_SMTP contains a password"),
            ("hidden", "TIDEMARK_SMTP is not a URL"),
            ("https://hidden", "TIDEMARK_SMTP is not the URL of a mail server"),
            ("smtp:hidden", "TIDEMARK_SMTP names no host"),
            ("smtp://mail.example.com/hidden", "TIDEMARK_SMTP has more than a host, a port and a user"),
            ("smtp://mail.example.com?tls=hidden", "TIDEMARK_SMTP has more than a host, a port and a user"),
        ] {
            let error = Server::from_text(text).unwrap_err();
            assert_eq!((error.kind, error.full_message().as_str()), (ErrorKind::Definition, what));
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
    }
}
