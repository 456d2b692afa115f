//! Real PostgreSQL servers of several versions for the tests, with a proxy that breaks connections at a message, and a TLS front end.

pub mod client;
pub mod frame;
mod proxy;
pub mod release;
mod self_test;
mod server;
mod tls;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use client::{Rows, Session, ask};
pub use proxy::{Direction, Fault, Proxy};
pub use release::releases;
pub use server::Server;
pub use tls::{Authority, Front};

/// A database of its own in a server shared by all tests of this process; dropped with the value.
pub struct Database {
    server: &'static Server,
    name: String,
}

/// `None`, with a message, without PostgreSQL.
pub fn database() -> Option<Database> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let server = SHARED.get_or_init(|| Server::start(&[])).as_ref()?;
    Some(Database::create(server, ""))
}

impl Database {
    /// Copies the database. No session may be connected to it meanwhile.
    pub fn fork(&self) -> Database {
        Database::create(self.server, &format!(" TEMPLATE {}", self.name))
    }

    pub fn create(server: &'static Server, how: &str) -> Database {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("database_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.query(&format!("CREATE DATABASE {name}{how}"));
        Database { server, name }
    }

    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Port of the server.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    #[track_caller]
    pub fn query(&self, sql: &str) -> Rows {
        ask(&self.url(), sql).unwrap_or_else(|error| panic!("{error:?}: {sql}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = ask(&self.server.url("postgres"), &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        assert!(dropped.is_ok() || std::thread::panicking(), "{dropped:?}");
    }
}
