//! A real S3 API over HTTP, in this process, and what our stores make of it: when all is well, and when it is not.

mod faults;
mod objects;
mod steps;

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_lake::{Meter, Store};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::support::s3_server::Server;

/// What the stores of these tests block on.
fn runtime() -> Handle {
    static RUNTIME: std::sync::OnceLock<Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()).handle().clone()
}

/// A server with one bucket, and the bucket as a store.
fn one_bucket() -> (Server, Store) {
    let server = Server::atomic();
    let place = server.bucket("lake");
    let store = server.store(&place, runtime());
    (server, store)
}

/// The bucket by the whole interface.
fn objects(server: &Server) -> Arc<dyn ObjectStore> {
    server.buckets(runtime(), &Meter::default()).objects("s3://lake").unwrap()
}
