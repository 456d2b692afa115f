//! A fake of Slack's incoming webhooks: it enforces the limits of Block Kit (<https://docs.slack.dev/reference/block-kit/blocks>), answers
//! like Slack, records messages, and can simulate failures.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::http_server::{Asked, Reply, cut, listen, reply, runtime};
use crate::support::postgres::Authority;

/// The secret part of the URL.
pub const HIDDEN: &str = "/services/T024BE7LD/B024BE7LE/hidden-in-the-path";

/// A webhook on its own port, until it is dropped.
pub struct Sink {
    address: SocketAddr,
    listening: AbortHandle,
    state: Arc<Mutex<State>>,
}

/// The simulated failure of a request.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// An error response: a status and an error code. The message is not accepted.
    Says(u16, &'static str),
    /// 429, with these seconds in `Retry-After`.
    Limited(u64),
    /// The message is accepted, and the response comes late.
    Slow(Duration),
    /// The connection breaks, and the message is not accepted.
    CutBefore,
    /// The message is accepted, and the connection breaks.
    CutAfter,
    /// Blocks are rejected; plain text is accepted.
    NoBlocks,
}

#[derive(Default)]
struct State {
    taken: Vec<Value>,
    requests: usize,
    troubles: VecDeque<Trouble>,
    always: Option<Trouble>,
}

impl Sink {
    pub fn start() -> Sink {
        let state = Arc::new(Mutex::new(State::default()));
        let of_server = state.clone();
        let (address, listening) = listen(move |asked| {
            let state = of_server.clone();
            async move { take(&state, &asked).await }
        });
        Sink { address, listening, state }
    }

    /// The URL, which is the secret.
    pub fn url(&self) -> String {
        format!("http://{}{HIDDEN}", self.address)
    }

    /// The URL of a TLS endpoint with a certificate for `localhost`.
    pub fn encrypted(&self, authority: &Authority) -> String {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server("localhost")));
        let (listener, sink) = (runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap(), self.address);
        let port = listener.local_addr().unwrap().port();
        runtime().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // a client that rejects the certificate closes the connection
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    copy_bidirectional(&mut client, &mut TcpStream::connect(sink).await?).await
                });
            }
        });
        format!("https://localhost:{port}{HIDDEN}")
    }

    /// All accepted messages, in order.
    pub fn taken(&self) -> Vec<Value> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Number of accepted messages.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap().taken.len()
    }

    /// Number of requests.
    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// Sets the failures of the next requests, one each.
    pub fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state.lock().unwrap().troubles.extend(troubles);
    }

    /// Sets or clears the failure of all further requests.
    pub fn always(&self, trouble: Option<Trouble>) {
        self.state.lock().unwrap().always = trouble;
    }

    /// Stops listening.
    pub fn stop(&self) {
        self.listening.abort();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn take(state: &Mutex<State>, asked: &Asked) -> Reply {
    let trouble = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        state.troubles.pop_front().or(state.always)
    };
    match trouble {
        Some(Trouble::Says(status, word)) => return reply(status, word),
        Some(Trouble::Limited(seconds)) => {
            let mut reply = reply(429, "rate_limited");
            reply.headers_mut().insert("retry-after", seconds.into());
            return reply;
        }
        Some(Trouble::CutBefore) => return cut(),
        _ => {}
    }
    if asked.target != format!("POST {HIDDEN}") {
        return reply(404, "no_service");
    }
    let message = match checked(asked) {
        Ok(message) => message,
        Err((status, word)) => return reply(status, word),
    };
    if matches!(trouble, Some(Trouble::NoBlocks)) && message.get("blocks").is_some() {
        return reply(400, "invalid_blocks");
    }
    state.lock().unwrap().taken.push(message);
    match trouble {
        Some(Trouble::CutAfter) => return cut(),
        Some(Trouble::Slow(wait)) => tokio::time::sleep(wait).await,
        _ => {}
    }
    reply(200, "ok")
}

type Refused = (u16, &'static str);

fn checked(asked: &Asked) -> Result<Value, Refused> {
    let kind = asked.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let message: Value = serde_json::from_slice(&asked.body).map_err(|_| (400, "invalid_payload"))?;
    if !kind.starts_with("application/json") || !message.is_object() {
        return Err((400, "invalid_payload"));
    }
    let list = |member: &str| message[member].as_array().map(Vec::as_slice).unwrap_or_default();
    let (blocks, attachments) = (list("blocks"), list("attachments"));
    let text = message["text"].as_str().unwrap_or_default();
    if text.is_empty() && blocks.is_empty() && attachments.is_empty() {
        return Err((400, "no_text"));
    }
    if units(text) > 40_000 {
        return Err((400, "msg_too_long"));
    }
    if attachments.len() > 100 {
        return Err((400, "too_many_attachments"));
    }
    if blocks.len() > 50 || !blocks.iter().all(is_block) {
        return Err((400, "invalid_blocks"));
    }
    if !attachments.iter().all(is_attachment) {
        return Err((400, "invalid_attachments"));
    }
    // an undocumented limit that others have found
    if units(&message["blocks"].to_string()) + units(&message["attachments"].to_string()) > 13_000 {
        return Err((400, "msg_blocks_too_long"));
    }
    Ok(message)
}

fn is_attachment(attachment: &Value) -> bool {
    let colour = attachment["color"].as_str().unwrap_or("#000000");
    let is_colour = colour.len() == 7 && colour[1..].bytes().all(|b| b.is_ascii_hexdigit());
    let blocks = attachment["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    // blocks exclude other content
    has_only(attachment, &["color", "blocks"])
        && is_colour
        && (1..=50).contains(&blocks.len())
        && blocks.iter().all(is_block)
}

fn is_block(block: &Value) -> bool {
    let all = |member: &str, most: usize, is: &dyn Fn(&Value) -> bool| {
        block[member].as_array().is_none_or(|values| (1..=most).contains(&values.len()) && values.iter().all(is))
    };
    match block["type"].as_str() {
        Some("header") => {
            has_only(block, &["type", "text"]) && block["text"]["type"] == "plain_text" && is_text(&block["text"], 150)
        }
        Some("section") => {
            has_only(block, &["type", "text", "fields"])
                && (block.get("text").is_some() || block.get("fields").is_some())
                && block.get("text").is_none_or(|text| is_text(text, 3_000))
                && all("fields", 10, &|text| is_text(text, 2_000))
        }
        Some("context") => {
            has_only(block, &["type", "elements"])
                && block.get("elements").is_some()
                && all("elements", 10, &|text| is_text(text, 2_000))
        }
        _ => false,
    }
}

fn is_text(object: &Value, most: usize) -> bool {
    let text = object["text"].as_str().unwrap_or_default();
    let own = match object["type"].as_str() {
        Some("plain_text") => "emoji",
        Some("mrkdwn") => "verbatim",
        _ => return false,
    };
    has_only(object, &["type", "text", own])
        && object.get(own).is_none_or(Value::is_boolean)
        && (1..=most).contains(&units(text))
}

fn has_only(object: &Value, members: &[&str]) -> bool {
    object.as_object().is_some_and(|object| object.keys().all(|member| members.contains(&member.as_str())))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
