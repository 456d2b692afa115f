//! Who asks, and what of it must never be seen.

use std::cell::RefCell;

use tidemark_flow::{Error, ErrorKind, Secret, Secrets};
use tidemark_pipeline::http::Auth;

/// The secrets of one source.
pub(super) struct Credentials<'a> {
    pub(super) auth: Option<&'a Auth>,
    pub(super) secret: Option<Secret>,
    /// Of OAuth2, once it has been given.
    pub(super) token: RefCell<Option<Secret>>,
}

impl<'a> Credentials<'a> {
    /// Asks for the secret, where there is one.
    pub(super) fn new(auth: Option<&'a Auth>, secrets: &dyn Secrets) -> Result<Credentials<'a>, Error> {
        let secret = auth.map(|auth| secrets.secret(auth.secret())).transpose()?;
        Ok(Credentials { auth, secret, token: RefCell::new(None) })
    }

    /// Of an API that everybody may ask.
    pub(super) fn none() -> Credentials<'a> {
        Credentials { auth: None, secret: None, token: RefCell::new(None) }
    }

    /// The API does not know us, or does not let us read.
    pub(super) fn unauthorized(&self, message: String) -> Error {
        let hint = match self.auth {
            None => "give [source] an `auth`".to_owned(),
            Some(auth) => format!("check secret {}, and what it may read", auth.secret()),
        };
        Error::new(ErrorKind::Refused, message).hint(hint)
    }

    /// A text without what must not be seen, should an API repeat it.
    pub(super) fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secret.iter().chain(&*self.token.borrow()) {
            let plain = secret.expose();
            // as it is, as it is in a URL, and as some write it in JSON; a short one would be found in anything
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

/// A text as a URL's query or a form has it.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
