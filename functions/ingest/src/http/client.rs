//! Sends requests with retries: credentials, redirects, and the classification of answers.

use futures::future::join_all;
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_pipeline::http::{Auth, Http, Method};
use tokio::runtime::{Builder, Runtime};

use super::attempt::{Answer, AttemptOutcome, Cause, Head, NoAnswer};
use super::body::{self, BodyError};
use super::connection::Connection;
use super::credentials::Credentials;
use super::links::Headers;
use super::request::{Request, home, set};
use super::shown::start;
use super::token::token;
use super::{origin, retry};

const REDIRECTS: usize = 5;

/// A client of one API.
pub(crate) struct Client<'a> {
    http: &'a Http,
    context: Context<'a>,
    connection: Connection<'a>,
    credentials: Credentials<'a>,
    runtime: Runtime,
}

impl<'a> Client<'a> {
    /// Sends nothing yet.
    pub(crate) fn new(
        http: &'a Http,
        context: Context<'a>,
        credentials: Credentials<'a>,
        run_id: &str,
    ) -> Result<Client<'a>, Error> {
        let home = home(http)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Bug, "no HTTP client").because(error))?;
        Ok(Client { http, context, connection: Connection::new(http, context, run_id, home)?, credentials, runtime })
    }

    /// Sends requests concurrently, and returns their answers in order.
    pub(crate) fn send(&self, requests: &[Request]) -> Vec<Result<Answer, NoAnswer>> {
        self.runtime.block_on(join_all(requests.iter().map(|request| self.send_with_retries(request))))
    }

    /// A note on the retries, if there were any.
    pub(crate) fn note(&self) -> Option<String> {
        self.connection.note()
    }

    async fn send_with_retries(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let mut request = request.clone();
        let (mut attempt, mut redirects, mut is_renewed) = (0, 0, false);
        loop {
            attempt += 1;
            self.connection.pace().await?;
            match self.send_once(&request).await? {
                AttemptOutcome::Answered(answer) => return Ok(answer),
                AttemptOutcome::Failed(error) => return Err(error.into()),
                AttemptOutcome::Refused(status, error) => return Err(NoAnswer::Refused(status, error)),
                AttemptOutcome::Redirected(to, keeps_method) => {
                    redirects += 1;
                    if redirects > REDIRECTS {
                        let message = format!("{} redirects more than {REDIRECTS} times", self.connection.place());
                        return Err(Error::new(ErrorKind::Refused, message).hint("check `url`").into());
                    }
                    request.url = to;
                    if !keeps_method {
                        (request.method, request.body) = (Method::Get, None);
                    }
                    attempt -= 1;
                }
                // a token may be revoked before it expires
                AttemptOutcome::Unauthorized(_)
                    if matches!(self.http.auth, Some(Auth::Oauth2 { .. })) && !is_renewed =>
                {
                    is_renewed = true;
                    self.credentials.token.borrow_mut().take();
                    attempt -= 1;
                }
                AttemptOutcome::Unauthorized(error) => return Err(NoAnswer::Refused(401, error)),
                AttemptOutcome::Retry(cause, asked) => self.connection.wait_to_retry(attempt, cause, asked).await?,
            }
        }
    }

    async fn send_once(&self, request: &Request) -> Result<AttemptOutcome, NoAnswer> {
        let mut url = request.url.clone();
        if let (Some(Auth::Query { name, .. }), Some(secret)) = (&self.http.auth, &self.credentials.secret) {
            set(&mut url, name, secret.expose());
        }
        let mut builder = match request.method {
            Method::Get => self.connection.inner.get(url),
            Method::Post => self.connection.inner.post(url).header(CONTENT_TYPE, "application/json"),
        };
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        for (name, value) in &self.http.headers {
            builder = builder.header(name, value);
        }
        let (answer, bytes) = match self.connection.exchange(self.authorized(builder).await?).await {
            Ok(answer) => answer,
            Err(tried) => return Ok(tried),
        };
        Ok(self.classify(request, answer, bytes))
    }

    fn classify(&self, request: &Request, head: Head, sent: Vec<u8>) -> AttemptOutcome {
        let Head { status, headers } = head;
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let bytes = sent.len() as u64;
        let now = (self.context.clock)();
        let text = body::text(sent, header(CONTENT_ENCODING), self.http.limits.body_bytes);
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (status, header(LOCATION)) {
            return self.redirected(request, to, matches!(status, 307 | 308));
        }
        if !(200..300).contains(&status) {
            let says = start(&self.credentials.redacted(&text.unwrap_or_default()));
            let what = Cause { kind: status.to_string(), detail: says };
            if retry::is_transient(status) {
                return AttemptOutcome::Retry(what, retry::asked(&headers, now));
            }
            let message = format!("{} answers {what}", self.connection.place());
            return match status {
                401 => AttemptOutcome::Unauthorized(self.credentials.unauthorized(message)),
                403 => AttemptOutcome::Refused(status, self.credentials.unauthorized(message)),
                _ => {
                    let hint = "check `url`, `query` and `pagination` in [source]";
                    AttemptOutcome::Refused(status, Error::new(ErrorKind::Definition, message).hint(hint))
                }
            };
        }
        if let Some(wait) = retry::used_up(&headers, now) {
            self.connection.hold(now, wait);
        }
        match text {
            Ok(text) => AttemptOutcome::Answered(Answer {
                body: self.credentials.redacted(&text),
                content_type: header(CONTENT_TYPE).map(str::to_owned),
                headers: Headers::from_map(&headers),
                bytes,
            }),
            Err(error @ BodyError::Damaged(_)) => AttemptOutcome::Retry(Cause::new(error.to_string()), None),
            Err(error) => {
                let kind =
                    if matches!(error, BodyError::NotUtf8 { .. }) { ErrorKind::Data } else { ErrorKind::Refused };
                let hint = match error {
                    BodyError::Large { .. } => {
                        "request smaller pages, or raise the limit: limits = { body = \"256MB\" }"
                    }
                    _ => "check the response of the API",
                };
                AttemptOutcome::Failed(
                    Error::new(kind, format!("{} cannot be read", self.connection.place())).hint(hint).because(error),
                )
            }
        }
    }

    fn redirected(&self, request: &Request, to: &str, keeps_method: bool) -> AttemptOutcome {
        match request.url.join(to) {
            Ok(url) if origin::is_same(&self.connection.home, &url) => {
                AttemptOutcome::Redirected(url, keeps_method || request.method == Method::Get)
            }
            Ok(url) => {
                let message = format!("{} leads to {}", self.connection.place(), origin::origin(&url));
                let hint = "credentials are sent to the origin of `url` only; if the other origin is intended, use it in `url`";
                AttemptOutcome::Failed(Error::new(ErrorKind::Refused, message).hint(hint))
            }
            Err(error) => {
                let message = format!("{} redirects to an invalid URL", self.connection.place());
                AttemptOutcome::Failed(Error::new(ErrorKind::Data, message).because(error))
            }
        }
    }

    async fn authorized(&self, builder: RequestBuilder) -> Result<RequestBuilder, NoAnswer> {
        let (Some(auth), Some(secret)) = (&self.http.auth, &self.credentials.secret) else { return Ok(builder) };
        Ok(match auth {
            // set in the URL
            Auth::Query { .. } => builder,
            Auth::Header { name, .. } => {
                let mut value = HeaderValue::try_from(secret.expose()).map_err(|_| {
                    let message = format!("secret {} has characters that are not allowed in a header", auth.secret());
                    Error::new(ErrorKind::Definition, message).hint("check for a line break at its end")
                })?;
                value.set_sensitive(true);
                builder.header(name, value)
            }
            Auth::Bearer(_) => builder.bearer_auth(secret.expose()),
            Auth::Basic { user, .. } => builder.basic_auth(user, Some(secret.expose())),
            Auth::Oauth2 { .. } => {
                builder.bearer_auth(token(&self.connection, &self.credentials, secret).await?.expose())
            }
        })
    }
}
