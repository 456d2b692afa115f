//! A minimal HTTP server on hyper: one port, and one closure that answers.

use std::io::Error;
use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

/// A request with its whole body.
pub struct Asked {
    /// `GET /path`
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub type Reply = Response<Full<Bytes>>;

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// Closes the connection instead of answering, like a server that crashes.
pub fn cut() -> Reply {
    let mut reply = reply(500, "");
    reply.extensions_mut().insert(Cut);
    reply
}

#[derive(Clone)]
struct Cut;

/// Listens on a local port until the test process ends.
pub fn serve<A, F>(answer: A) -> SocketAddr
where
    A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    listen(answer).0
}

/// The same, until the returned task is aborted.
pub fn listen<A, F>(answer: A) -> (SocketAddr, AbortHandle)
where
    A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let listening = runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let target = format!("{} {}", head.method, head.uri.path());
                    let body = body.collect().await.map_err(Error::other)?.to_bytes();
                    let reply = answer(Asked { target, headers: head.headers, body }).await;
                    if reply.extensions().get::<Cut>().is_some() { Err(Error::other("cut")) } else { Ok(reply) }
                }
            });
            // the client may be killed at any time
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, listening.abort_handle())
}

pub fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}
