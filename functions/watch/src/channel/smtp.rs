//! Mail by SMTP, where there is no AWS to send it: encrypted, unless the server is this machine.

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

/// For each step of the conversation, and for all of it.
const TIMEOUT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "smtp-password";
const FORMS: &str = "write smtps://host, or smtp://user@host:587";
/// RFC 3834: nobody who is away answers this.
const AUTO_SUBMITTED: (&str, &str) = ("Auto-Submitted", "auto-generated");

/// A mail server, as the settings have it. They are looked at when there is something to send, so that a mistake in them is the error of
/// that mail, and of nothing else.
pub struct Smtp<'a> {
    url: Option<String>,
    from: Option<String>,
    secrets: &'a dyn Secrets,
    clock: &'a (dyn Fn() -> Timestamp + Sync),
}

/// Where mail is taken, and how far the way there is trusted.
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
    /// TLS before anything is said.
    StartTls,
    /// To this machine.
    None,
}

impl<'a> Smtp<'a> {
    /// `variable` looks up a setting. Without a server each mail is an error that says what to set.
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
            return Err(Error::new(ErrorKind::Definition, "nobody is named whom mail is from").hint(hint));
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
        if let Some(former) = &mail.in_reply_to {
            builder = builder.in_reply_to(id(former)).references(id(former));
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
        // a server that is slow at every step would keep the watcher for minutes
        let (sender, receiver) = mpsc::sync_channel(1);
        let sending = move || {
            let _ = sender.send(transport.send(&message));
        };
        let started = thread::Builder::new().name("mail".to_owned()).spawn(sending);
        started.map_err(|error| {
            Error::new(ErrorKind::Retry, "no thread for a mail").hint("it is sent again").because(error)
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
    /// What is wrong with the setting, and never the setting itself: it may hold a password.
    fn from_text(text: &str) -> Result<Server, Error> {
        let wrong = |what: &str, hint: &str| Error::new(ErrorKind::Definition, format!("{SMTP} {what}")).hint(hint);
        let url = Url::parse(text).map_err(|_| wrong("is not a URL", FORMS))?;
        if url.password().is_some() {
            let hint = format!("take it out, and store it as the secret {PASSWORD}");
            return Err(wrong("has a password in it", &hint));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host", FORMS))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has more than a host, a port and a user", FORMS));
        }
        let is_here = is_loopback(host);
        let (security, port) = match url.scheme() {
            "smtps" => (Security::Tls, 465),
            "smtp" if is_here => (Security::None, 25),
            "smtp" => (Security::StartTls, 587),
            _ => return Err(wrong("is not the URL of a mail server", FORMS)),
        };
        Ok(Server {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(port),
            security,
            user: Some(decoded(url.username())).filter(|user| !user.is_empty()),
        })
    }

    fn failed(&self, error: &lettre::transport::smtp::Error, mail: &Mail) -> Error {
        let said = cut(&line(&error.source().map(ToString::to_string).unwrap_or_default()), 300);
        let host = format!("mail server {}:{}", self.host, self.port);
        let of = |kind: ErrorKind, message: String, hint: String| Error::new(kind, message).hint(hint);
        let (to, user) = (mail.to.join(", "), self.user.as_deref().unwrap_or_default());
        if let Some(code) = error.status().map(|code| code.to_string()) {
            let login = ["530", "534", "535", "538"].contains(&code.as_str());
            return match (error.is_transient(), login, self.user.is_some()) {
                (true, ..) => of(
                    ErrorKind::Retry,
                    format!("{host} takes no mail for now ({code} {said})"),
                    "it is sent again".to_owned(),
                ),
                (_, true, true) => of(
                    ErrorKind::Definition,
                    format!("{host} does not let {user} in ({code} {said})"),
                    format!("check the user in {SMTP}, and the secret {PASSWORD}"),
                ),
                (_, true, false) => of(
                    ErrorKind::Definition,
                    format!("{host} wants to know who sends ({code} {said})"),
                    format!("name a user in {SMTP}, smtp://user@host:587, and store the secret {PASSWORD}"),
                ),
                _ => of(
                    ErrorKind::Definition,
                    format!("{host} refuses a mail to {to} ({code} {said})"),
                    format!("check the address in [alerts], and {MAIL_FROM}"),
                ),
            };
        }
        if said.contains("invalid peer certificate") {
            let hint = "if it is meant, name a file with the certificate of its authority in SSL_CERT_FILE";
            return of(ErrorKind::Refused, format!("{host} is not who it says, or not known: {said}"), hint.to_owned());
        }
        if error.is_client() {
            let hint = match said.starts_with("STARTTLS") {
                true => "the password and all mail would be read on the way: use smtps://, or another port",
                false => "look at what the server offers",
            };
            return of(ErrorKind::Definition, format!("{host} cannot be used: {said}"), hint.to_owned());
        }
        self.unreachable(if is_late(error) { "no answer in time" } else { &said })
    }

    fn unreachable(&self, why: &str) -> Error {
        let message = format!("mail server {}:{} cannot be reached ({why})", self.host, self.port);
        Error::new(ErrorKind::Retry, message).hint("it is sent again")
    }
}

/// A socket whose time is up says that it would block.
fn is_late(error: &lettre::transport::smtp::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let kind = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kind.is_some_and(|kind| [TimedOut, WouldBlock].contains(&kind))
}

/// What is percent-encoded in a URL.
fn decoded(text: &str) -> String {
    // a form has three characters that mean something else
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
    fn a_setting_that_is_wrong_is_never_repeated() {
        for (text, what) in [
            ("smtp://tidemark:hidden@mail.example.com", "TIDEMARK_SMTP has a password in it"),
            ("smtp://:hidden@mail.example.com", "TIDEMARK_SMTP has a password in it"),
            ("hidden", "TIDEMARK_SMTP is not a URL"),
            ("https://hidden", "TIDEMARK_SMTP is not the URL of a mail server"),
            ("smtp:hidden", "TIDEMARK_SMTP names no host"),
            ("smtp://mail.example.com/hidden", "TIDEMARK_SMTP has more than a host, a port and a user"),
            ("smtp://mail.example.com?tls=hidden", "TIDEMARK_SMTP has more than a host, a port and a user"),
        ] {
            let failure = Server::from_text(text).unwrap_err();
            assert_eq!((failure.kind, failure.full_message().as_str()), (ErrorKind::Definition, what));
            assert!(!format!("{failure:?}").contains("hidden"), "{failure:?}");
        }
    }
}
