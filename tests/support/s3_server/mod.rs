//! The server: one port, one folder, one set of rules by which it fails.

mod conditions;
mod faults;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tidemark_aws::{Account, Buckets, RetryPolicy};
use tidemark_lake::{Meter, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};

use crate::support::wait::HANG;
use conditions::Conditions;
use faults::{Body, Rules, Wrong, answer, halved};
pub use faults::{Rule, Trouble};

const KEY: &str = "TIDEMARKTEST";
const SECRET: &str = "for-tests-only";

/// An S3 of its own, for as long as it is kept. It listens on this machine and gives up its port with the process.
pub struct Server {
    root: TempDir,
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    service: S3Service,
    rules: Rules,
    /// Method, path and query of everything that was asked.
    asked: Mutex<Vec<String>>,
}

/// Apart from the runtimes of those who ask, so that nobody waits for himself.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap())
}

impl Server {
    /// Keeps conditions as AWS does: of two that create one object, one does.
    pub fn atomic() -> Server {
        Server::new(true)
    }

    /// Takes no notice of `If-None-Match` and `If-Match` of a write.
    pub fn ignoring() -> Server {
        Server::new(false)
    }

    fn new(keeps_conditions: bool) -> Server {
        let root = tempfile::tempdir().unwrap();
        let mut builder = S3ServiceBuilder::new(Conditions::new(root.path(), keeps_conditions));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let (service, rules, asked) = (builder.build(), Rules::default(), Mutex::default());
        let state = Arc::new(State { service, rules, asked });
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime().spawn(listen(listener, state.clone()));
        Server { root, address, state }
    }

    /// Makes a bucket, and gives the place by which it is named.
    pub fn bucket(&self, name: &str) -> String {
        std::fs::create_dir(self.folder(name)).unwrap();
        format!("s3://{name}")
    }

    /// Where the objects of a bucket lie as files, to put some there or to take a copy of all.
    pub fn folder(&self, bucket: &str) -> PathBuf {
        self.root.path().join(bucket)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// By which a process finds this server.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
        ]
    }

    pub fn account(&self, patience: RetryPolicy) -> Account {
        let variables = self.variables();
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        Account::from_variables(variable, patience).unwrap()
    }

    /// With the patience of a test: what is tried again is tried again at once.
    pub fn buckets(&self, handle: Handle, meter: &Meter) -> Buckets {
        Buckets::new(&self.account(brief()), handle, meter)
    }

    /// A place as a store, counted by itself.
    pub fn store(&self, place: &str, handle: Handle) -> Store {
        self.buckets(handle, &Meter::default()).folder(place).unwrap()
    }

    /// From now on, requests that match have their trouble.
    pub fn fail(&self, rule: Rule) {
        self.state.rules.add(rule);
    }

    /// No rule is left.
    pub fn recover(&self) {
        self.state.rules.clear();
    }

    /// As before, for the requests of one rule.
    pub fn recover_from(&self, part: &str) {
        self.state.rules.clear_of(part);
    }

    /// `GET /bucket/key?query` of each request since this was last asked.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.asked.lock().unwrap())
    }
}

/// Enough for any machine; a test of silence has less.
pub fn brief() -> RetryPolicy {
    RetryPolicy { connect: HANG, read: HANG, attempt: HANG, attempts: 4, pause: Duration::from_millis(20) }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, state.clone()));
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    // to close is to reset
    stream.set_zero_linger().unwrap();
    stream.set_nodelay(true).unwrap();
    let service = service_fn(move |request| respond(request, state.clone()));
    // whoever asked may have gone, or is meant to be left alone
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error closes the connection.
async fn respond(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Wrong> {
    let method = request.method().clone();
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    state.asked.lock().unwrap().push(format!("{method} {target}"));
    let trouble = state.rules.befalls(&method, &target);
    match &trouble {
        Some(Trouble::Answer(status, code, headers)) => {
            // as S3 does, it hears the body out
            let _ = request.into_body().collect().await;
            return Ok(answer(&method, *status, code, headers));
        }
        Some(Trouble::Reset) => return Err("reset".into()),
        Some(Trouble::Stall(pause)) => tokio::time::sleep(*pause).await,
        Some(Trouble::StallUntil(notified)) => notified.notified().await,
        _ => {}
    }
    let done = state.service.call(request.map(s3s::Body::from)).await?;
    let (mut head, body) = done.into_parts();
    let body = match trouble {
        Some(Trouble::DoneThenReset) => return Err("reset".into()),
        Some(Trouble::CutBody) => {
            halved(&mut head.headers, body.collect().await?.to_bytes(), Duration::from_millis(30), true)
        }
        Some(Trouble::StallBody(pause)) => halved(&mut head.headers, body.collect().await?.to_bytes(), pause, false),
        _ => body.map_err(Wrong::from).boxed_unsync(),
    };
    Ok(Response::from_parts(head, body))
}
