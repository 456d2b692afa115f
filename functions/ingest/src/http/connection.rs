//! Sends single requests, and decides when the next may be sent: rate limits, pauses between retries, and the deadline.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::RequestBuilder;
use tidemark_flow::{Context, Error, ErrorKind};
use tidemark_lake::Requests;
use tidemark_pipeline::http::Http;
use url::Url;

use super::attempt::{AttemptOutcome, Cause, Head, NoAnswer};
use super::{origin, retry, wire};

/// The connection to one API, with its rate limit and counts of retries.
pub(super) struct Connection<'a> {
    pub(super) http: &'a Http,
    pub(super) context: Context<'a>,
    run_id: String,
    pub(super) inner: reqwest::Client,
    pub(super) home: Url,
    /// No request is sent before this time.
    free_at: Cell<Option<Timestamp>>,
    sent: Cell<u64>,
    /// How many attempts were retried, by cause.
    repeated: RefCell<BTreeMap<String, u64>>,
    waited: Cell<Duration>,
}

impl<'a> Connection<'a> {
    /// Sends nothing yet.
    pub(super) fn new(http: &'a Http, context: Context<'a>, run_id: &str, home: Url) -> Result<Connection<'a>, Error> {
        Ok(Connection {
            http,
            context,
            run_id: run_id.to_owned(),
            inner: wire::client(http, &home)?,
            home,
            free_at: Cell::new(None),
            sent: Cell::new(0),
            repeated: RefCell::default(),
            waited: Cell::default(),
        })
    }

    /// A note on the retries, if there were any: `3 requests were sent again (2 × 429, 1 × 503), after 2.1 s of waiting`.
    pub(super) fn note(&self) -> Option<String> {
        let repeated = self.repeated.borrow();
        let all: u64 = repeated.values().sum();
        let causes: Vec<String> = repeated.iter().map(|(what, times)| format!("{times} × {what}")).collect();
        let waited = self.waited.get().as_secs_f64();
        let requests = if all == 1 { "1 request was" } else { &format!("{all} requests were") };
        (all > 0).then(|| format!("{requests} sent again ({}), after {waited:.1} s of waiting", causes.join(", ")))
    }

    /// Waits before the next attempt, or fails if there have been too many.
    pub(super) async fn wait_to_retry(
        &self,
        attempt: u32,
        cause: Cause,
        asked: Option<Duration>,
    ) -> Result<(), NoAnswer> {
        if attempt >= self.http.limits.attempts {
            let message = format!("{} cannot be read: {attempt} attempts, the last: {cause}", self.place());
            return Err(Error::new(ErrorKind::Retry, message)
                .hint("run again; the pages received so far are kept")
                .into());
        }
        let wait = asked.unwrap_or_else(|| retry::pause(attempt, retry::chance(&self.run_id, self.sent.get())));
        if wait > retry::LONGEST_WAIT {
            let message = format!("{} asks to wait for {} s", self.place(), wait.as_secs());
            return Err(Error::new(ErrorKind::Retry, message)
                .hint("run again after that; the pages received so far are kept")
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

    /// Waits until the rate limit allows a request, and reserves its slot.
    pub(super) async fn pace(&self) -> Result<(), NoAnswer> {
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

    /// Sends nothing until `wait` after `now`, because the rate limit of the API is used up.
    pub(super) fn hold(&self, now: Timestamp, wait: Duration) {
        let free = now + wait.min(retry::LONGEST_WAIT);
        self.free_at.set(Some(self.free_at.get().map_or(free, |at| at.max(free))));
    }

    /// Sends one request and reads its whole answer.
    pub(super) async fn exchange(&self, builder: RequestBuilder) -> Result<(Head, Vec<u8>), AttemptOutcome> {
        self.sent.set(self.sent.get() + 1);
        self.context.process.meter.count(Requests { api: 1, ..Requests::default() });
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
            Ok(Err(error)) => Err(self.connection_error(error)),
            Err(_) => Err(AttemptOutcome::Retry(
                Cause::new(format!("no answer within {} s", self.http.limits.timeout_s)),
                None,
            )),
        }
    }

    /// Classifies an error that occurred before the answer was complete.
    fn connection_error(&self, error: reqwest::Error) -> AttemptOutcome {
        let error = error.without_url();
        let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
        if let Some(forbidden) = causes.find_map(|cause| cause.downcast_ref::<origin::Forbidden>()) {
            let message = format!("no request is sent to {}: {forbidden}", self.place());
            return AttemptOutcome::Failed(Error::new(ErrorKind::Refused, message));
        }
        if error.is_builder() || error.is_request() && error.is_status() {
            let message = format!("the request to {} cannot be sent", self.place());
            return AttemptOutcome::Failed(
                Error::new(ErrorKind::Definition, message).hint("check `url` and `headers` in [source]").because(error),
            );
        }
        let deepest = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source()).last();
        let deepest = deepest.map(ToString::to_string).unwrap_or_default();
        if deepest.starts_with("invalid peer certificate") {
            let message = format!("the certificate of {} cannot be verified: {deepest}", self.place());
            let hint = "if the host is trusted, set SSL_CERT_FILE to a file with the certificate of its authority";
            return AttemptOutcome::Failed(Error::new(ErrorKind::Refused, message).hint(hint));
        }
        let kind = match (error.is_connect(), error.is_timeout()) {
            (_, true) => "no answer in time",
            (true, _) => "no connection",
            _ => "the connection was lost",
        };
        AttemptOutcome::Retry(Cause { kind: kind.to_owned(), detail: deepest }, None)
    }

    /// The URL of the API for messages: without the query, which may contain secrets.
    pub(super) fn place(&self) -> String {
        format!("{}{}", origin::origin(&self.home), self.home.path())
    }
}
