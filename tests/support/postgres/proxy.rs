//! A proxy that counts the messages it forwards and breaks the connection at the one it is told to.
//! Protocol: <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use super::frame::{Frame, Framing};
use crate::support::wait::until;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// A fault that happens once, to one message and its connection; other connections continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends are closed before it is forwarded.
    Cut,
    /// Forwarded, then both ends are closed. What came of it at the server nobody sees, and it may not have happened yet when the client
    /// comes again.
    CutAfter,
    /// Both ends are reset before it is forwarded.
    Reset,
    /// Half of its bytes are forwarded, then both ends are closed.
    Half,
    /// Neither it nor anything behind it is forwarded for so long, then both ends are closed.
    Stall(Duration),
}

/// On its own port, for as long as it is kept.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    state: Mutex<State>,
    closed: Condvar,
    /// While this is locked, new clients wait.
    entrance: Mutex<()>,
}

#[derive(Default)]
struct State {
    messages: Vec<(Direction, u8)>,
    armed: BTreeMap<usize, Armed>,
    links: Vec<Weak<Link>>,
    /// The server has been stopped, and is to start again.
    is_stopped: bool,
    /// Clients that came while the server was away.
    turned_away: usize,
    /// No more clients are expected.
    clients_done: bool,
    is_closed: bool,
}

enum Armed {
    Fault(Fault),
    Call(Box<dyn FnOnce() + Send>),
}

/// A client and its connection to the server.
struct Link {
    client: TcpStream,
    server: TcpStream,
    framing: Framing,
    traffic: Mutex<Traffic>,
    idle: Condvar,
}

#[derive(Default)]
struct Traffic {
    /// A fault has begun: nothing more is forwarded, either way.
    is_over: bool,
    /// A message is being forwarded to the server, to the client.
    busy: [bool; 2],
}

enum Verdict {
    Forward,
    Call(Box<dyn FnOnce() + Send>),
    Befall(Fault),
    Over,
}

impl Proxy {
    /// Before the server on a port of this machine.
    pub fn before(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { server, state: Mutex::default(), closed: Condvar::new(), entrance: Mutex::default() });
        let of_listener = shared.clone();
        std::thread::spawn(move || of_listener.listen(&listener));
        Proxy { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As [`super::Server::url`], through this.
    pub fn url(&self, database: &str) -> String {
        super::server::url(self.port, database)
    }

    /// Direction and type of each message since the count began, of all connections and both ways, in the order of their numbers; those
    /// that had a fault are among them. What has no type (a startup, a request for TLS) has 0.
    pub fn messages(&self) -> Vec<(Direction, u8)> {
        self.shared.state.lock().unwrap().messages.clone()
    }

    /// The next message is number 0 again; nothing is armed. A connection that is still ending is counted: see [`Proxy::wait_closed`].
    pub fn recount(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.messages.clear();
        state.armed.clear();
    }

    /// Waits until every connection has ended, so that none has a say in the next count.
    pub fn wait_closed(&self) {
        let is_open = || self.shared.state.lock().unwrap().links.iter().any(|link| link.strong_count() > 0);
        until("every connection has ended", || !is_open());
    }

    /// At message `number` of the count, the first being 0. A later fault of the same number takes its place.
    pub fn arm(&self, number: usize, fault: Fault) {
        self.shared.state.lock().unwrap().armed.insert(number, Armed::Fault(fault));
    }

    /// Runs when message `number` has come and before it is forwarded.
    pub fn on_message(&self, number: usize, call: impl FnOnce() + Send + 'static) {
        self.shared.state.lock().unwrap().armed.insert(number, Armed::Call(Box::new(call)));
    }

    /// At message `number` the server stops. It starts when a client has found it away, or none comes any more; meanwhile those who come
    /// wait.
    pub fn restart_on_message(
        &self,
        number: usize,
        stop: impl FnOnce() + Send + 'static,
        start: impl FnOnce() + Send + 'static,
    ) {
        let shared = self.shared.clone();
        self.on_message(number, move || {
            shared.state.lock().unwrap().is_stopped = true;
            stop();
            std::thread::spawn(move || {
                until("a client finds the server away, or none comes", || {
                    let state = shared.state.lock().unwrap();
                    state.turned_away > 0 || state.clients_done
                });
                let _entrance = shared.entrance.lock().unwrap();
                start();
                shared.state.lock().unwrap().is_stopped = false;
            });
        });
    }

    /// No client comes any more: waits until all that were there have ended, and the server, if it was stopped, is there again.
    pub fn leave(&self) {
        self.wait_closed();
        self.shared.state.lock().unwrap().clients_done = true;
        until("the server is there again", || !self.shared.state.lock().unwrap().is_stopped);
    }

    /// Something that was armed has not happened yet.
    pub fn is_armed(&self) -> bool {
        !self.shared.state.lock().unwrap().armed.is_empty()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap();
        state.is_closed = true;
        state.links.iter().filter_map(Weak::upgrade).for_each(|link| link.close());
        drop(state);
        self.shared.closed.notify_all();
        // so that the listener sees it
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn listen(self: Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming() {
            // where the server is away, the client finds its connection closed
            let Ok(client) = client else { continue };
            let _entrance = self.entrance.lock().unwrap();
            let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else {
                self.state.lock().unwrap().turned_away += 1;
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let framing = Framing::default();
            let link = Arc::new(Link { client, server, framing, traffic: Mutex::default(), idle: Condvar::new() });
            let mut state = self.state.lock().unwrap();
            if state.is_closed {
                return;
            }
            state.links.retain(|link| link.strong_count() > 0);
            state.links.push(Arc::downgrade(&link));
            drop(state);
            for direction in [Direction::ToServer, Direction::ToClient] {
                let (shared, link) = (self.clone(), link.clone());
                std::thread::spawn(move || shared.pump(&link, direction));
            }
        }
    }

    /// All that comes from one side, until it ends or is ended.
    fn pump(&self, link: &Link, direction: Direction) {
        let (from, mut to) = link.ends(direction);
        let mut from = io::BufReader::with_capacity(1 << 16, from);
        loop {
            let frame = match link.framing.next(&mut from, direction) {
                Ok(Some(frame)) => frame,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    eprintln!("the proxy ends a connection: {error}");
                    return link.close();
                }
                _ => break,
            };
            match self.decide(link, direction, frame.kind) {
                Verdict::Over => return,
                Verdict::Befall(fault) => return self.inject(link, direction, fault, &frame, &mut from),
                Verdict::Call(call) => call(),
                Verdict::Forward => {}
            }
            let sent = frame.send(&mut from, &mut to);
            link.rest(direction);
            if sent.is_err() {
                // it has gone; what it said last is still on its way to this side, which then goes as well
                let _ = io::copy(&mut from, &mut io::sink());
                return;
            }
        }
        // a fault that has begun ends it in its own way
        if !link.traffic.lock().unwrap().is_over {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Gives the message its number, and what is armed for that.
    fn decide(&self, link: &Link, direction: Direction, kind: u8) -> Verdict {
        let mut state = self.state.lock().unwrap();
        let mut traffic = link.traffic.lock().unwrap();
        if traffic.is_over {
            return Verdict::Over;
        }
        let number = state.messages.len();
        state.messages.push((direction, kind));
        let armed = state.armed.remove(&number);
        if let Some(Armed::Fault(fault)) = armed {
            traffic.is_over = true;
            return Verdict::Befall(fault);
        }
        traffic.busy[direction as usize] = true;
        match armed {
            Some(Armed::Call(call)) => Verdict::Call(call),
            _ => Verdict::Forward,
        }
    }

    fn inject(&self, link: &Link, direction: Direction, fault: Fault, frame: &Frame, from: &mut impl Read) {
        link.await_other(direction);
        let (_, mut to) = link.ends(direction);
        // what is not forwarded is read all the same: a socket closed with something unread is reset
        let _ = match fault {
            Fault::Cut => frame.send(from, &mut io::sink()),
            Fault::CutAfter => frame.send(from, &mut to),
            Fault::Half => frame.send_half(from, &mut to),
            Fault::Reset => return link.reset(),
            Fault::Stall(time) => {
                let state = self.state.lock().unwrap();
                drop(self.closed.wait_timeout_while(state, time, |state| !state.is_closed).unwrap());
                frame.send(from, &mut io::sink())
            }
        };
        link.close();
    }
}

impl Link {
    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToServer => (&self.client, &self.server),
            Direction::ToClient => (&self.server, &self.client),
        }
    }

    /// A message is through.
    fn rest(&self, direction: Direction) {
        self.traffic.lock().unwrap().busy[direction as usize] = false;
        self.idle.notify_all();
    }

    /// A message with a lower number that goes the other way is through, unless nobody takes it.
    fn await_other(&self, direction: Direction) {
        let traffic = self.traffic.lock().unwrap();
        let is_busy = |traffic: &mut Traffic| traffic.busy[1 - direction as usize];
        drop(self.idle.wait_timeout_while(traffic, Duration::from_secs(20), is_busy).unwrap());
    }

    fn close(&self) {
        for stream in [&self.client, &self.server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// With no time to linger, closing is resetting; it is closed when the other way has let go of it.
    #[expect(unsafe_code, reason = "the standard library has no linger")]
    fn reset(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = u32::try_from(size_of::<libc::linger>()).unwrap();
        for stream in [&self.client, &self.server] {
            let at = (&raw const linger).cast();
            // SAFETY: a system call that reads memory of this function's own
            let set = unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, at, size) };
            assert_eq!(set, 0);
            // wakes who waits for something to read, and says nothing to the other end
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}
