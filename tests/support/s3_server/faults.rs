//! What a server can be told to do wrong, and to which requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Method, Response};
use tokio::sync::Notify;

pub type Wrong = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, Wrong>;

#[derive(Debug, Clone)]
pub enum Trouble {
    /// Nothing is done, and this is the answer: status, code, and more headers.
    Answer(u16, &'static str, &'static [(&'static str, &'static str)]),
    /// Nothing is done, and the connection is reset.
    Reset,
    /// It is done, and the connection is reset before the answer.
    DoneThenReset,
    /// The connection is reset in the middle of the body.
    CutBody,
    /// Nothing is said for a while; then it is done.
    Stall(Duration),
    /// Nothing is said or done until this is notified.
    StallUntil(Arc<Notify>),
    /// Nothing more comes for a while from the middle of the body on.
    StallBody(Duration),
}

/// Which requests of those that match have which trouble.
#[derive(Debug, Clone)]
pub struct Rule {
    pub method: Method,
    /// Part of path and query.
    pub part: &'static str,
    /// How many that match are spared first.
    pub spared: usize,
    /// How many after these have it.
    pub times: usize,
    pub trouble: Trouble,
}

impl Rule {
    /// The first request that matches.
    pub fn once(method: Method, part: &'static str, trouble: Trouble) -> Rule {
        Rule { method, part, spared: 0, times: 1, trouble }
    }

    pub fn always(method: Method, part: &'static str, trouble: Trouble) -> Rule {
        Rule { times: usize::MAX, ..Rule::once(method, part, trouble) }
    }

    /// After some that go well.
    pub fn after(self, spared: usize) -> Rule {
        Rule { spared, ..self }
    }
}

#[derive(Debug, Default)]
pub struct Rules(Mutex<Vec<Rule>>);

impl Rules {
    pub fn add(&self, rule: Rule) {
        self.0.lock().unwrap().push(rule);
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub fn clear_of(&self, part: &str) {
        self.0.lock().unwrap().retain(|rule| rule.part != part);
    }

    /// The trouble of this request, which is counted.
    pub fn befalls(&self, method: &Method, target: &str) -> Option<Trouble> {
        let mut rules = self.0.lock().unwrap();
        for rule in rules.iter_mut().filter(|rule| rule.method == method && target.contains(rule.part)) {
            if rule.spared > 0 {
                rule.spared -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.trouble.clone());
            }
        }
        None
    }
}

/// An error as S3 writes it; after HEAD without a body.
pub fn answer(method: &Method, status: u16, code: &str, headers: &[(&'static str, &'static str)]) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told to</Message></Error>");
    let text = if method == Method::HEAD { String::new() } else { text };
    let mut answer = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status.try_into().unwrap();
    answer.headers_mut().insert("content-type", "application/xml".parse().unwrap());
    for &(name, value) in headers {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

/// The first half of a body, then a pause, then the rest or the end of the connection.
pub fn halved(headers: &mut HeaderMap, whole: Bytes, pause: Duration, is_cut: bool) -> Body {
    headers.insert("content-length", whole.len().into());
    let (first, second) = (whole.slice(..whole.len() / 2), whole.slice(whole.len() / 2..));
    let rest = futures::stream::once(async move {
        tokio::time::sleep(pause).await;
        if is_cut { Err(Wrong::from("cut")) } else { Ok(Frame::data(second)) }
    });
    let first = futures::stream::once(async move { Ok(Frame::data(first)) });
    StreamBody::new(first.chain(rest)).boxed_unsync()
}
