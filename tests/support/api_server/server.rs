//! The server: one port, some records, one set of rules by which it fails.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinSet};
use url::form_urlencoded;

use super::faults::{self, Befell, Body, Fault, Rule, Rules, Wrong};
use super::page::Style;
use super::records::{Fields, Record};

/// How bodies are packed, where the request does not say that it cannot bear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    Zstd,
    Brotli,
}

/// Who may ask; all others are answered 401.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Bearer, basic, or a key: a header and what it must be.
    Header(&'static str, &'static str),
    Query(&'static str, &'static str),
    /// `POST /token` with client credentials, in the body or as basic authentication; a token is good for so many requests.
    Token {
        client_id: &'static str,
        client_secret: &'static str,
        uses: usize,
    },
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub at: Instant,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn pairs(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// Of the query, else of the JSON body, wherever it is in it.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let in_query = self.pairs().into_iter().find(|(known, _)| known == name).map(|(_, value)| value);
        in_query.or_else(|| sought(&serde_json::from_str(&self.body).ok()?, name))
    }

    pub fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

fn sought(value: &Value, name: &str) -> Option<String> {
    let table = value.as_object()?;
    match table.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => table.values().find_map(|inner| sought(inner, name)),
    }
}

/// An API of its own, for as long as it is kept.
pub struct Api {
    address: SocketAddr,
    state: Arc<State>,
    listening: AbortHandle,
}

struct State {
    fields: Fields,
    records: Mutex<Vec<Record>>,
    style: Mutex<Style>,
    encoding: Mutex<Option<Encoding>>,
    auth: Mutex<Option<Auth>>,
    rules: Rules,
    log: Mutex<Vec<Asked>>,
    /// Method, target and body of all that was ever asked.
    known: Mutex<BTreeSet<String>>,
    previous: Mutex<Bytes>,
    /// What is left of each token.
    tokens: Mutex<HashMap<String, usize>>,
}

/// Apart from the runtimes of those who ask, so that nobody waits for himself.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

impl Api {
    pub fn new(style: Style, fields: Fields, records: &[String]) -> Api {
        Api::over(runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap(), style, fields, records)
    }

    /// At an address that is known beforehand. One that is taken, by a test at the same time, is waited for.
    pub fn at(address: &str, style: Style, fields: Fields, records: &[String]) -> Api {
        /// Longer than any test takes: it only catches what never ends.
        const PATIENCE: Duration = Duration::from_secs(600);
        let began = Instant::now();
        let listener = loop {
            match runtime().block_on(TcpListener::bind(address)) {
                Ok(listener) => break listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => panic!("{address}: {error}"),
            }
        };
        Api::over(listener, style, fields, records)
    }

    fn over(listener: TcpListener, style: Style, fields: Fields, records: &[String]) -> Api {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            fields,
            records: Mutex::default(),
            style: Mutex::new(style),
            encoding: Mutex::default(),
            auth: Mutex::default(),
            rules: Rules::default(),
            log: Mutex::default(),
            known: Mutex::default(),
            previous: Mutex::default(),
            tokens: Mutex::default(),
        });
        let listening = runtime().spawn(listen(listener, state.clone())).abort_handle();
        let api = Api { address, state, listening };
        api.append(records);
        api
    }

    /// `http://127.0.0.1:port`
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// More records; one whose id is known takes its place.
    pub fn append(&self, records: &[String]) {
        let mut all = self.state.records.lock().unwrap();
        let more: Vec<Record> = records.iter().map(|text| Record::new(text, self.state.fields)).collect();
        let known: BTreeSet<_> = more.iter().map(|record| record.id.clone()).collect();
        all.retain(|record| !known.contains(&record.id));
        all.extend(more);
    }

    /// Other records instead.
    pub fn replace(&self, records: &[String]) {
        self.state.records.lock().unwrap().clear();
        self.append(records);
    }

    pub fn restyle(&self, style: Style) {
        *self.state.style.lock().unwrap() = style;
    }

    pub fn encode(&self, encoding: Encoding) {
        *self.state.encoding.lock().unwrap() = Some(encoding);
    }

    pub fn guard(&self, auth: Auth) {
        *self.state.auth.lock().unwrap() = Some(auth);
    }

    /// From now on, requests that match have their fault.
    pub fn fail(&self, rule: Rule) -> Befell {
        self.state.rules.add(rule)
    }

    /// No rule is left.
    pub fn recover(&self) {
        self.state.rules.clear();
    }

    /// Each request since this was last asked.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.state.log.lock().unwrap())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The conversations end with it.
async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut conversations = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        conversations.spawn(async move {
            let service = service_fn(move |request| respond(request, state.clone()));
            // whoever asked may have gone, or is meant to be left alone
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while conversations.try_join_next().is_some() {}
    }
}

/// An error closes the connection.
async fn respond(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Wrong> {
    let (head, body) = request.into_parts();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: text(&body.collect().await?.to_bytes()),
        at: Instant::now(),
    };
    let what = format!("{} {} {}", asked.method, asked.target(), asked.body);
    let is_again = !state.known.lock().unwrap().insert(what);
    state.log.lock().unwrap().push(asked.clone());
    let fault = state.rules.befalls(&asked.target(), is_again);
    match &fault {
        Some(Fault::Answer(status, headers, text)) => {
            let mut answer = answer(*status, "application/json", text.as_bytes().to_vec());
            for (name, value) in headers {
                answer.headers_mut().insert(*name, value.parse()?);
            }
            return Ok(answer);
        }
        Some(Fault::Drop) => return Err("dropped".into()),
        Some(Fault::Stall(pause)) => tokio::time::sleep(*pause).await,
        Some(Fault::Login) => {
            let page = "<!doctype html><html><body><form>Sign in</form></body></html>";
            return Ok(answer(200, "text/html; charset=utf-8", page));
        }
        Some(Fault::NotJson) => return Ok(answer(200, "application/json", "so sorry, {no records} today")),
        Some(Fault::PreviousPage) => {
            return Ok(answer(200, "application/json", state.previous.lock().unwrap().clone()));
        }
        Some(Fault::Bomb(mib)) => {
            let mut answer = answer(200, "application/json", faults::bomb(*mib));
            answer.headers_mut().insert("content-encoding", "gzip".parse()?);
            return Ok(answer);
        }
        Some(Fault::Endless) => {
            let mut answer = Response::new(faults::endless());
            answer.headers_mut().insert("content-type", "application/json".parse()?);
            return Ok(answer);
        }
        _ => {}
    }
    if asked.path == "/token" && matches!(*state.auth.lock().unwrap(), Some(Auth::Token { .. })) {
        return Ok(state.token(&asked));
    }
    if !state.may(&asked) {
        return Ok(answer(401, "application/json", r#"{"error":"unauthorized","message":"who are you?"}"#));
    }
    Ok(state.page(&asked, fault))
}

fn answer(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(faults::whole(body));
    *answer.status_mut() = status.try_into().unwrap();
    answer.headers_mut().insert("content-type", kind.parse().unwrap());
    answer
}

impl State {
    fn may(&self, asked: &Asked) -> bool {
        match &*self.auth.lock().unwrap() {
            None => true,
            Some(Auth::Header(name, value)) => asked.header(name) == Some(value),
            Some(Auth::Query(name, value)) => asked.pairs().contains(&((*name).to_owned(), (*value).to_owned())),
            Some(Auth::Token { .. }) => {
                let token = asked.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
                let mut tokens = self.tokens.lock().unwrap();
                match token.and_then(|token| tokens.get_mut(token)) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        true
                    }
                    _ => false,
                }
            }
        }
    }

    fn token(&self, asked: &Asked) -> Response<Body> {
        let auth = self.auth.lock().unwrap().clone();
        let Some(Auth::Token { client_id, client_secret, uses }) = auth else { return answer(404, "text/plain", "") };
        let form: HashMap<String, String> = form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
        let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
        let basic = format!("Basic {}", base64(&format!("{client_id}:{client_secret}")));
        let is_known = asked.header("authorization") == Some(&basic)
            || (is("client_id", client_id) && is("client_secret", client_secret));
        if asked.method != "POST" || !is("grant_type", "client_credentials") || !is_known {
            return answer(401, "application/json", r#"{"error":"invalid_client"}"#);
        }
        let mut tokens = self.tokens.lock().unwrap();
        let token = format!("token-{}", tokens.len() + 1);
        tokens.insert(token.clone(), uses);
        let text = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string();
        answer(200, "application/json", text)
    }

    fn page(&self, asked: &Asked, fault: Option<Fault>) -> Response<Body> {
        let style = self.style.lock().unwrap().clone();
        let mut page = match style.page(&self.records.lock().unwrap(), asked) {
            Ok(page) => page,
            Err(wrong) => return answer(400, "application/json", json!({ "message": wrong }).to_string()),
        };
        if let Some(fault) = &fault {
            faults::befall_page(fault, &mut page, &asked.target());
        }
        let name = if matches!(fault, Some(Fault::RecordsGone)) { "items" } else { "data" };
        let plain = Bytes::from(style.write(&page, name));
        *self.previous.lock().unwrap() = plain.clone();
        let (bytes, encoding) = self.packed(plain, asked);
        let bytes = if matches!(fault, Some(Fault::Halve)) { bytes.slice(..bytes.len() / 2) } else { bytes };
        let length = bytes.len();
        let body = match fault {
            Some(Fault::Cut) => faults::halved(bytes, Duration::from_millis(30), true),
            Some(Fault::StallBody(pause)) => faults::halved(bytes, pause, false),
            _ => faults::whole(bytes),
        };
        let mut answer = Response::new(body);
        let kind = if style.form == super::Form::Ndjson { "application/x-ndjson" } else { "application/json" };
        let headers = answer.headers_mut();
        headers.insert("content-type", kind.parse().unwrap());
        headers.insert("content-length", length.into());
        if let Some(encoding) = encoding {
            headers.insert("content-encoding", encoding.parse().unwrap());
        }
        if let (super::Paging::LinkHeader { .. }, Some(next)) = (style.paging, page.next) {
            headers.insert("link", format!("<{next}>; rel=\"next\"").parse().unwrap());
        }
        answer
    }

    fn packed(&self, plain: Bytes, asked: &Asked) -> (Bytes, Option<&'static str>) {
        let borne = asked.header("accept-encoding").unwrap_or_default();
        let Some(encoding) = *self.encoding.lock().unwrap() else { return (plain, None) };
        let (name, packed) = match encoding {
            Encoding::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packer.write_all(&plain).unwrap();
                ("gzip", packer.finish().unwrap())
            }
            Encoding::Zstd => ("zstd", zstd::encode_all(&plain[..], 1).unwrap()),
            Encoding::Brotli => {
                let mut packed = Vec::new();
                let mut packer = brotli::CompressorWriter::new(&mut packed, 4096, 3, 20);
                packer.write_all(&plain).unwrap();
                drop(packer);
                ("br", packed)
            }
        };
        if borne.contains(name) { (packed.into(), Some(name)) } else { (plain, None) }
    }
}

/// RFC 4648, of a text.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[bits as usize & 63]);
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            out.push(if at <= three.len() { digit(bits >> (18 - 6 * at)) } else { '=' });
        }
    }
    out
}
