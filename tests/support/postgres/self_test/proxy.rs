use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use tokio_postgres::NoTls;

use crate::support::postgres::Direction::{ToClient, ToServer};
use crate::support::postgres::client::wait;
use crate::support::postgres::{Database, Fault, Proxy, Server, ask, database};
use crate::support::wait::{HANG, until};

use super::value;

const INSERT: &str = "INSERT INTO counted VALUES (1)";

/// A client that reads the protocol byte by byte.
struct Session(TcpStream);

impl Session {
    /// Connects, until the server is ready for a query.
    fn begin(port: u16, database: &str) -> io::Result<Session> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(HANG))?;
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        body.extend(format!("user\0postgres\0database\0{database}\0\0").bytes());
        stream.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes())?;
        stream.write_all(&body)?;
        let mut session = Session(stream);
        while session.receive()? != b'Z' {}
        Ok(session)
    }

    fn send(&mut self, sql: &str) {
        let length = u32::try_from(sql.len() + 5).unwrap().to_be_bytes();
        self.0.write_all(&[b"Q", &length[..], sql.as_bytes(), b"\0"].concat()).unwrap();
    }

    /// Type of the next message, which is read to its end.
    fn receive(&mut self) -> io::Result<u8> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        self.0.read_exact(&mut vec![0; usize::try_from(length).unwrap() - 4])?;
        Ok(head[0])
    }

    /// All bytes until the end of the connection.
    fn end(mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).map(|_| all)
    }
}

/// A database with a table, and a proxy in front of it.
fn counting() -> Option<(Database, Proxy)> {
    let database = database()?;
    database.query("CREATE TABLE counted (n int)");
    let proxy = Proxy::before(database.port());
    Some((database, proxy))
}

fn count(database: &Database) -> usize {
    value(&database.query("SELECT count(*) FROM counted")).parse().unwrap()
}

/// Number of the query message in a new connection.
fn number_of_query(proxy: &Proxy, database: &Database) -> usize {
    proxy.recount();
    ask(&proxy.url(database.name()), "SELECT 1").unwrap();
    proxy.wait_closed();
    let number = proxy.messages().iter().position(|(_, kind)| *kind == b'Q').unwrap();
    proxy.recount();
    number
}

/// A query with a fault at its message, or `behind` messages later: what the client receives. The next query succeeds.
fn query_with_fault(database: &Database, proxy: &Proxy, behind: usize, fault: Fault) -> io::Result<Vec<u8>> {
    let number = number_of_query(proxy, database);
    proxy.arm(number + behind, fault);
    let mut session = Session::begin(proxy.port(), database.name()).unwrap();
    assert!(proxy.is_armed());
    session.send(INSERT);
    let end = session.end();
    assert!(!proxy.is_armed());
    let mut next = Session::begin(proxy.port(), database.name()).unwrap();
    next.send("SELECT 1");
    while next.receive().unwrap() != b'Z' {}
    drop(next);
    proxy.wait_closed();
    end
}

#[test]
fn messages_are_counted_in_their_order() {
    let Some((database, proxy)) = counting() else { return };
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.write_all(&[8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat()).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"N");
    assert_eq!(proxy.messages(), [(ToServer, 0), (ToClient, b'N')]);
    drop(stream);
    proxy.wait_closed();
    proxy.recount();
    ask(&proxy.url(database.name()), "SELECT n FROM counted; INSERT INTO counted VALUES (1)").unwrap();
    proxy.wait_closed();
    let messages = proxy.messages();
    assert_eq!(messages[..2], [(ToServer, 0), (ToClient, b'R')]);
    let query = messages.iter().position(|message| *message == (ToServer, b'Q')).unwrap();
    assert_eq!(messages[query - 2..query], [(ToClient, b'K'), (ToClient, b'Z')]);
    let behind = [(ToClient, b'T'), (ToClient, b'C'), (ToClient, b'C'), (ToClient, b'Z'), (ToServer, b'X')];
    assert_eq!(messages[query + 1..], behind);
}

#[test]
fn cut_does_not_forward_the_message() {
    let Some((database, proxy)) = counting() else { return };
    assert_eq!(query_with_fault(&database, &proxy, 0, Fault::Cut).unwrap(), b"");
    assert_eq!(count(&database), 0);
    // The reply is lost, but the query was executed.
    assert_eq!(query_with_fault(&database, &proxy, 1, Fault::Cut).unwrap(), b"");
    assert_eq!(count(&database), 1);
}

#[test]
fn cut_after_forwards_the_message() {
    let Some((database, proxy)) = counting() else { return };
    assert_eq!(query_with_fault(&database, &proxy, 0, Fault::CutAfter).unwrap(), b"");
    until("the row", || count(&database) == 1);
    assert_eq!(query_with_fault(&database, &proxy, 1, Fault::CutAfter).unwrap(), b"C\0\0\0\x0fINSERT 0 1\0");
}

#[test]
fn reset_is_a_connection_reset() {
    let Some((database, proxy)) = counting() else { return };
    for (behind, rows) in [(0, 0), (1, 1)] {
        let error = query_with_fault(&database, &proxy, behind, Fault::Reset).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(count(&database), rows);
    }
}

#[test]
fn half_forwards_half_of_the_message() {
    let Some((database, proxy)) = counting() else { return };
    assert_eq!(query_with_fault(&database, &proxy, 0, Fault::Half).unwrap(), b"");
    assert_eq!(count(&database), 0);
    assert_eq!(query_with_fault(&database, &proxy, 1, Fault::Half).unwrap(), b"C\0\0\0\x0fINS");
}

#[test]
fn stall_pauses_and_closes_the_connection() {
    let Some((database, proxy)) = counting() else { return };
    let pause = Duration::from_millis(400);
    for (behind, rows) in [(0, 0), (1, 1)] {
        let began = Instant::now();
        assert_eq!(query_with_fault(&database, &proxy, behind, Fault::Stall(pause)).unwrap(), b"");
        assert!(began.elapsed() >= pause, "{:?}", began.elapsed());
        assert_eq!(count(&database), rows);
    }
}

#[test]
fn other_connections_are_not_affected() {
    let Some((database, proxy)) = counting() else { return };
    let begin = || Session::begin(proxy.port(), database.name()).unwrap();
    let (mut one, mut other) = (begin(), begin());
    proxy.recount();
    proxy.arm(0, Fault::Stall(HANG));
    one.send(INSERT);
    until("the stall", || !proxy.is_armed());
    other.send(INSERT);
    while other.receive().unwrap() != b'Z' {}
    assert_eq!(count(&database), 1);
    // Dropping the proxy ends all connections, stalled or not.
    drop(proxy);
    assert_eq!(one.end().unwrap(), b"");
    assert_eq!(other.end().unwrap(), b"");
}

/// With each fault at each message in turn, a client that repeats its query succeeds.
#[test]
fn every_message_can_have_a_fault() {
    let Some((database, proxy)) = counting() else { return };
    let url = proxy.url(database.name());
    let mut done = 0;
    for fault in [Fault::Cut, Fault::CutAfter, Fault::Reset, Fault::Half, Fault::Stall(Duration::from_millis(20))] {
        let query = number_of_query(&proxy, &database);
        for number in 0.. {
            proxy.recount();
            proxy.arm(number, fault);
            let answer = ask(&url, INSERT);
            proxy.wait_closed();
            if proxy.is_armed() {
                assert_eq!(number, query + 4, "query, its end, ready, and goodbye");
                break;
            }
            // Only the message that ends the session follows a complete answer.
            let is_answered = number > query + 2 || (number == query + 2 && fault == Fault::CutAfter);
            assert_eq!(answer.is_ok(), is_answered, "{fault:?} at {number}: {answer:?}");
            let is_done = number > query || (number == query && fault == Fault::CutAfter);
            done += usize::from(is_done);
            until("the row", || count(&database) == done);
            ask(&url, "SELECT 1").unwrap();
            proxy.wait_closed();
        }
        done += 1;
    }
}

#[test]
fn a_server_can_be_killed_at_a_message() {
    let Some(server) = Server::start(&[]) else { return };
    let server = Arc::new(server);
    server.query("CREATE TABLE counted (n int)");
    let proxy = Proxy::before(server.port());
    let url = proxy.url("postgres");
    ask(&url, INSERT).unwrap();
    proxy.wait_closed();
    let query = proxy.messages().iter().position(|(_, kind)| *kind == b'Q').unwrap();
    for (behind, rows) in [(0, "1"), (1, "2")] {
        proxy.wait_closed();
        proxy.recount();
        let killed = server.clone();
        proxy.on_message(query + behind, move || killed.stop_immediate());
        // A reply that was forwarded reaches the client.
        assert_eq!(ask(&url, INSERT).is_ok(), behind == 1);
        assert!(!proxy.is_armed());
        // The proxy accepts connections while the server is down.
        ask(&url, "SELECT 1").unwrap_err();
        server.start_again();
        assert_eq!(value(&ask(&url, "SELECT count(*) FROM counted").unwrap()), rows);
    }
}

#[test]
fn large_copies_are_forwarded_completely() {
    let Some(database) = database() else { return };
    let proxy = Proxy::before(database.port());
    let url = proxy.url(database.name());
    // Many small messages and a large one, all different.
    let line = |number: usize| format!("{number}\t{:0>250}\n", number * number);
    let small: Vec<Bytes> = (0..20_000).map(|number| line(number).into()).collect();
    let large = Bytes::from(format!("-1\t{}\n", "long".repeat(5_000_000)));
    let sent: Vec<Bytes> = small.into_iter().chain([large]).collect();
    let all = sent.concat();
    let received = wait(async move {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE lines (number int, text text)").await.unwrap();
        let mut sink = Box::pin(client.copy_in::<_, Bytes>("COPY lines FROM STDIN").await.unwrap());
        for part in sent {
            sink.feed(part).await.unwrap();
        }
        assert_eq!(sink.as_mut().finish().await.unwrap(), 20_001);
        let rows = client.copy_out("COPY lines TO STDOUT").await.unwrap();
        rows.try_collect::<Vec<Bytes>>().await.unwrap().concat()
    });
    assert!(all == received, "{} bytes sent, {} received", all.len(), received.len());
    let to_client = proxy.messages().iter().filter(|message| **message == (ToClient, b'd')).count();
    assert_eq!(to_client, 20_001);
}
