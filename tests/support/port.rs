//! Ports of this machine at which nobody listens.

use std::collections::hash_map::RandomState;
use std::fmt::{Display, Formatter};
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

/// One at which nobody listens while this is kept.
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub fn new() -> ClosedPort {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        ClosedPort(socket)
    }
}

/// `127.0.0.1:port`
impl Display for ClosedPort {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.local_addr().map_err(|_| std::fmt::Error)?)
    }
}

/// One at which a program may listen that is started now, if no other is quicker. It is below those that a system gives to connections, so
/// that the port of a server that is stopped for a moment stays its own.
pub fn free_port() -> u16 {
    loop {
        let port = 16_000 + u16::try_from(RandomState::new().build_hasher().finish() % 16_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
