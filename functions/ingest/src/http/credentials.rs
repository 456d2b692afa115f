//! Credentials of a source, and how they are redacted from texts.

use std::cell::RefCell;

use tidemark_flow::{Error, ErrorKind, Secret, Secrets};
use tidemark_pipeline::http::Auth;

/// The secrets of one source.
pub(super) struct Credentials<'a> {
    pub(super) auth: Option<&'a Auth>,
    pub(super) secret: Option<Secret>,
    /// The OAuth2 access token, once it has been issued.
    pub(super) token: RefCell<Option<Secret>>,
}

impl<'a> Credentials<'a> {
    /// Reads the secret, if the source has one.
    pub(super) fn new(auth: Option<&'a Auth>, secrets: &dyn Secrets) -> Result<Credentials<'a>, Error> {
        let secret = auth.map(|auth| secrets.secret(auth.secret())).transpose()?;
        Ok(Credentials { auth, secret, token: RefCell::new(None) })
    }

    /// For an API without authentication.
    pub(super) fn none() -> Credentials<'a> {
        Credentials { auth: None, secret: None, token: RefCell::new(None) }
    }

    /// The error for an API that rejects the credentials or denies access.
    pub(super) fn unauthorized(&self, message: String) -> Error {
        let hint = match self.auth {
            None => "set `auth` in [source]".to_owned(),
            Some(auth) => format!("check secret {} and its permissions", auth.secret()),
        };
        Error::new(ErrorKind::Refused, message).hint(hint)
    }

    /// Removes secrets from a text, in case the API repeats them.
    pub(super) fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secret.iter().chain(&*self.token.borrow()) {
            let plain = secret.expose();
            // plain, URL-encoded, and with slashes escaped as in some JSON; forms shorter than 6 bytes would match unrelated text
            let forms = [plain.to_owned(), encoded(plain), plain.replace('/', "\\/")];
            for form in forms.iter().filter(|form| form.len() >= 6) {
                if text.contains(form.as_str()) {
                    text = text.replace(form.as_str(), "[secret]");
                }
            }
        }
        text
    }
}

/// A text encoded for a URL query or form.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
