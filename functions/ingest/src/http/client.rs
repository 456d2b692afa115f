//! Sending requests with patience: credentials, redirects, limits, and again what may succeed later; all within the deadline.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use tidemark_flow::{Context, Failure, Kind, Secret};
use tidemark_lake::Requests;
use tidemark_pipeline::http::{Auth, Http, Method};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::body::{self, BodyError};
use super::page::start;
use super::paging::Headers;
use super::request::{Request, home, set};
use super::token::encoded;
use super::{origin, retry, wire};

const REDIRECTS: usize = 5;

/// An answer that came whole, with status 200 to 299.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub body: String,
    pub content_type: Option<String>,
    pub headers: Headers,
    /// Bytes as they were sent.
    pub bytes: u64,
}

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// Waiting for it would go beyond the deadline.
    Late(Duration),
    /// The API does not take the request (4xx); `status` says which.
    Refused(u16, Failure),
    Failed(Failure),
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> NoAnswer {
        NoAnswer::Failed(failure)
    }
}

/// Why an attempt is worth another.
pub(super) struct Cause {
    /// The same for all attempts that failed in the same way.
    kind: String,
    /// What was said of this one; empty where nothing was.
    detail: String,
}

impl Cause {
    pub(super) fn new(kind: impl Into<String>) -> Cause {
        Cause { kind: kind.into(), detail: String::new() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// What an attempt came to.
pub(super) enum Tried {
    Answered(Answer),
    /// Worth another attempt: what was wrong, and how long the API asks to wait.
    Again(Cause, Option<Duration>),
    Unauthorized(Failure),
    Refused(u16, Failure),
    Redirected(Url, bool),
    Failed(Failure),
}

pub(crate) struct Client<'a> {
    pub(super) http: &'a Http,
    pub(super) context: &'a Context<'a>,
    run_id: &'a str,
    pub(super) inner: reqwest::Client,
    runtime: Runtime,
    home: Url,
    secret: Option<Secret>,
    /// Of OAuth2, once it has been given.
    pub(super) token: RefCell<Option<Secret>>,
    /// Not before then is anything sent.
    free_at: Cell<Option<Timestamp>>,
    sent: Cell<u64>,
    /// Attempts that were worth another, by what was wrong.
    repeated: RefCell<BTreeMap<String, u64>>,
    waited: Cell<Duration>,
}

impl<'a> Client<'a> {
    /// Asks nobody yet, but for the secret.
    pub(crate) fn new(http: &'a Http, context: &'a Context<'a>, run_id: &'a str) -> Result<Client<'a>, Failure> {
        let home = home(http)?;
        let secret = http.auth.as_ref().map(|auth| (context.secret)(auth.secret())).transpose()?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Kind::Bug, "no HTTP client").because(error))?;
        Ok(Client {
            http,
            context,
            run_id,
            inner: wire::client(http, &home)?,
            runtime,
            home,
            secret,
            token: RefCell::new(None),
            free_at: Cell::new(None),
            sent: Cell::new(0),
            repeated: RefCell::default(),
            waited: Cell::default(),
        })
    }

    /// Sends requests at once, and gives their answers in order.
    pub(crate) fn send(&self, requests: &[Request]) -> Vec<Result<Answer, NoAnswer>> {
        self.runtime.block_on(join_all(requests.iter().map(|request| self.patiently(request))))
    }

    /// What was sent again and waited for, for people: `3 requests were sent again (2 × 429, 1 × 503), after 2.1 s of waiting`.
    pub(crate) fn note(&self) -> Option<String> {
        let repeated = self.repeated.borrow();
        let all: u64 = repeated.values().sum();
        let causes: Vec<String> = repeated.iter().map(|(what, times)| format!("{times} × {what}")).collect();
        let waited = self.waited.get().as_secs_f64();
        let requests = if all == 1 { "1 request was" } else { &format!("{all} requests were") };
        (all > 0).then(|| format!("{requests} sent again ({}), after {waited:.1} s of waiting", causes.join(", ")))
    }

    async fn patiently(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let mut request = request.clone();
        let (mut attempt, mut redirects, mut is_renewed) = (0, 0, false);
        loop {
            attempt += 1;
            self.pace().await?;
            match self.once(&request).await? {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Failed(failure) => return Err(failure.into()),
                Tried::Refused(status, failure) => return Err(NoAnswer::Refused(status, failure)),
                Tried::Redirected(to, keeps_method) => {
                    redirects += 1;
                    if redirects > REDIRECTS {
                        let message = format!("{} leads from one place to the next {REDIRECTS} times", self.place());
                        return Err(Failure::new(Kind::Refused, message).hint("check `url`").into());
                    }
                    request.url = to;
                    if !keeps_method {
                        (request.method, request.body) = (Method::Get, None);
                    }
                    attempt -= 1;
                }
                // a token may be over before its time
                Tried::Unauthorized(_) if matches!(self.http.auth, Some(Auth::Oauth2 { .. })) && !is_renewed => {
                    is_renewed = true;
                    self.token.borrow_mut().take();
                    attempt -= 1;
                }
                Tried::Unauthorized(failure) => return Err(NoAnswer::Refused(401, failure)),
                Tried::Again(cause, asked) => self.again(attempt, cause, asked).await?,
            }
        }
    }

    /// Waits until the next attempt may be made.
    pub(super) async fn again(&self, attempt: u32, cause: Cause, asked: Option<Duration>) -> Result<(), NoAnswer> {
        if attempt >= self.http.limits.attempts {
            let message = format!("{} cannot be read: {attempt} attempts, the last: {cause}", self.place());
            return Err(Failure::new(Kind::Retry, message).hint("run again; what has come so far is kept").into());
        }
        let wait = asked.unwrap_or_else(|| retry::pause(attempt, retry::chance(self.run_id, self.sent.get())));
        if wait > retry::LONGEST_WAIT {
            let message = format!("{} asks to wait for {} s", self.place(), wait.as_secs());
            return Err(Failure::new(Kind::Retry, message)
                .hint("run again after that; what has come so far is kept")
                .into());
        }
        tracing::info!(attempt, what = %cause, wait_ms = wait.as_millis() as u64, "the request is sent again");
        *self.repeated.borrow_mut().entry(cause.kind).or_default() += 1;
        self.wait(wait).await
    }

    async fn wait(&self, wait: Duration) -> Result<(), NoAnswer> {
        let then = (self.context.clock)() + wait;
        if self.context.deadline.is_some_and(|deadline| then >= deadline) {
            return Err(NoAnswer::Late(wait));
        }
        self.waited.set(self.waited.get() + wait);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Keeps to the rate: each request takes its slot.
    async fn pace(&self) -> Result<(), NoAnswer> {
        let now = (self.context.clock)();
        let slot = self.free_at.get().map_or(now, |free| free.max(now));
        if let Some(rate) = self.http.limits.requests_per_second {
            self.free_at.set(Some(slot + Duration::from_secs_f64(1.0 / rate)));
        }
        match Duration::try_from(slot.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => self.wait(wait).await,
            _ => Ok(()),
        }
    }

    async fn once(&self, request: &Request) -> Result<Tried, NoAnswer> {
        let mut url = request.url.clone();
        if let (Some(Auth::Query { name, .. }), Some(secret)) = (&self.http.auth, &self.secret) {
            set(&mut url, name, secret.expose());
        }
        let mut builder = match request.method {
            Method::Get => self.inner.get(url),
            Method::Post => self.inner.post(url).header(CONTENT_TYPE, "application/json"),
        };
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        for (name, value) in &self.http.headers {
            builder = builder.header(name, value);
        }
        let (answer, bytes) = match self.exchange(self.authorized(builder).await?).await {
            Ok(answer) => answer,
            Err(tried) => return Ok(tried),
        };
        Ok(self.judged(request, answer, bytes))
    }

    /// One request on the wire, and all of its answer.
    pub(super) async fn exchange(&self, builder: RequestBuilder) -> Result<(Head, Vec<u8>), Tried> {
        self.sent.set(self.sent.get() + 1);
        self.context.meter.count(Requests { api: 1, ..Requests::default() });
        let limit = self.http.limits.body_bytes;
        let exchange = async {
            let mut answer = builder.send().await?;
            let head = Head { status: answer.status().as_u16(), headers: answer.headers().clone() };
            let mut bytes = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > limit {
                    break;
                }
            }
            Ok((head, bytes))
        };
        match tokio::time::timeout(Duration::from_secs(self.http.limits.timeout_s), exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(Tried::Again(Cause::new(format!("no answer within {} s", self.http.limits.timeout_s)), None)),
        }
    }

    fn judged(&self, request: &Request, head: Head, sent: Vec<u8>) -> Tried {
        let Head { status, headers } = head;
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let bytes = sent.len() as u64;
        let now = (self.context.clock)();
        let text = body::text(sent, header(CONTENT_ENCODING), self.http.limits.body_bytes);
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (status, header(LOCATION)) {
            return self.redirected(request, to, matches!(status, 307 | 308));
        }
        if !(200..300).contains(&status) {
            let says = start(&self.redacted(&text.unwrap_or_default()));
            let what = Cause { kind: status.to_string(), detail: says };
            if retry::is_transient(status) {
                return Tried::Again(what, retry::asked(&headers, now));
            }
            let message = format!("{} answers {what}", self.place());
            return match status {
                401 => Tried::Unauthorized(self.unauthorized(message)),
                403 => Tried::Refused(status, self.unauthorized(message)),
                _ => {
                    let hint = "check `url`, `query` and `pagination` in [source]";
                    Tried::Refused(status, Failure::new(Kind::Definition, message).hint(hint))
                }
            };
        }
        if let Some(wait) = retry::used_up(&headers, now) {
            let free = now + wait.min(retry::LONGEST_WAIT);
            self.free_at.set(Some(self.free_at.get().map_or(free, |at| at.max(free))));
        }
        match text {
            Ok(text) => Tried::Answered(Answer {
                body: self.redacted(&text),
                content_type: header(CONTENT_TYPE).map(str::to_owned),
                headers: Headers::of(&headers),
                bytes,
            }),
            Err(error @ BodyError::Damaged(_)) => Tried::Again(Cause::new(error.to_string()), None),
            Err(error) => {
                let kind = if matches!(error, BodyError::NotUtf8 { .. }) { Kind::Data } else { Kind::Refused };
                let hint = match error {
                    BodyError::Large { .. } => "ask for smaller pages, or allow more: limits = { body = \"256MB\" }",
                    _ => "look at what the API sends",
                };
                Tried::Failed(Failure::new(kind, format!("{} cannot be read", self.place())).hint(hint).because(error))
            }
        }
    }

    fn redirected(&self, request: &Request, to: &str, keeps_method: bool) -> Tried {
        match request.url.join(to) {
            Ok(url) if origin::is_same(&self.home, &url) => {
                Tried::Redirected(url, keeps_method || request.method == Method::Get)
            }
            Ok(url) => {
                let message = format!("{} leads to {}", self.place(), origin::of(&url));
                let hint = "credentials go to the origin of `url` only; write that origin into `url` if it is meant";
                Tried::Failed(Failure::new(Kind::Refused, message).hint(hint))
            }
            Err(error) => {
                let message = format!("{} leads to something that is no URL", self.place());
                Tried::Failed(Failure::new(Kind::Data, message).because(error))
            }
        }
    }

    pub(super) fn unauthorized(&self, message: String) -> Failure {
        let hint = match &self.http.auth {
            None => "give [source] an `auth`".to_owned(),
            Some(auth) => format!("check secret {}, and what it may read", auth.secret()),
        };
        Failure::new(Kind::Refused, message).hint(hint)
    }

    /// What broke before an answer was whole.
    fn broken(&self, error: reqwest::Error) -> Tried {
        let error = error.without_url();
        let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
        if let Some(forbidden) = causes.find_map(|cause| cause.downcast_ref::<origin::Forbidden>()) {
            let message = format!("{} is not asked: {forbidden}", self.place());
            return Tried::Failed(Failure::new(Kind::Refused, message));
        }
        if error.is_builder() || error.is_request() && error.is_status() {
            let message = format!("{} cannot be asked", self.place());
            return Tried::Failed(
                Failure::new(Kind::Definition, message).hint("check `url` and `headers` in [source]").because(error),
            );
        }
        let deepest = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source()).last();
        let deepest = deepest.map(ToString::to_string).unwrap_or_default();
        if deepest.starts_with("invalid peer certificate") {
            let message = format!("{} is not who it says, or not known: {deepest}", self.place());
            let hint = "if it is meant, name a file with the certificate of its authority in SSL_CERT_FILE";
            return Tried::Failed(Failure::new(Kind::Refused, message).hint(hint));
        }
        let kind = match (error.is_connect(), error.is_timeout()) {
            (_, true) => "no answer in time",
            (true, _) => "no connection",
            _ => "the connection broke",
        };
        Tried::Again(Cause { kind: kind.to_owned(), detail: deepest }, None)
    }

    async fn authorized(&self, builder: RequestBuilder) -> Result<RequestBuilder, NoAnswer> {
        let (Some(auth), Some(secret)) = (&self.http.auth, &self.secret) else { return Ok(builder) };
        Ok(match auth {
            // in the URL
            Auth::Query { .. } => builder,
            Auth::Header { name, .. } => {
                let mut value = HeaderValue::try_from(secret.expose()).map_err(|_| {
                    let message = format!("secret {} has characters that no header can hold", auth.secret());
                    Failure::new(Kind::Definition, message).hint("look for a line end at its end")
                })?;
                value.set_sensitive(true);
                builder.header(name, value)
            }
            Auth::Bearer(_) => builder.bearer_auth(secret.expose()),
            Auth::Basic { user, .. } => builder.basic_auth(user, Some(secret.expose())),
            Auth::Oauth2 { .. } => builder.bearer_auth(self.token(secret).await?.expose()),
        })
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

    fn place(&self) -> String {
        format!("{}{}", origin::of(&self.home), self.home.path())
    }
}

pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
}
