//! The API of the demo: a local server that returns orders in pages to clients with its token, and fails some requests, as APIs do. It
//! implements only as much of HTTP as the demo needs.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::data::Order;

/// The value of the secret `orders-api-token` in the demo.
pub(super) const TOKEN: &str = "of-the-demo-only";

/// Orders per page, whatever the request asks for.
const PAGE: usize = 30;
/// Numbers, from 1, of the requests that fail.
const TOO_MANY: usize = 2;
const DOWN: usize = 4;

/// A running API, which stops when it is dropped.
pub(super) struct Api {
    address: SocketAddr,
    shop: Arc<Shop>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shop {
    orders: Mutex<Vec<Order>>,
    requests: AtomicUsize,
    is_closed: AtomicBool,
}

struct Answer {
    status: &'static str,
    header: &'static str,
    body: String,
}

impl Api {
    pub(super) fn start() -> io::Result<Api> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shop = Arc::new(Shop::default());
        let server_shop = shop.clone();
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server_shop.is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let shop = server_shop.clone();
                // an error means that the client has disconnected, and is ignored
                std::thread::spawn(move || shop.converse(stream));
            }
        });
        Ok(Api { address, shop, listening: Some(listening) })
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the orders, which must be sorted by the time of their last change.
    pub(super) fn set_orders(&self, orders: Vec<Order>) {
        *self.shop.orders.lock().unwrap_or_else(PoisonError::into_inner) = orders;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shop.is_closed.store(true, Ordering::SeqCst);
        // wakes the listening thread, which then sees `is_closed`
        if TcpStream::connect(self.address).is_ok()
            && let Some(listening) = self.listening.take()
        {
            let _ = listening.join();
        }
    }
}

impl Shop {
    /// Reads one request and writes one answer.
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let mut is_known = false;
        for line in lines {
            let line = line?;
            is_known |= line.to_ascii_lowercase() == format!("authorization: bearer {TOKEN}");
            if line.is_empty() {
                break;
            }
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let Answer { status, header, body } = self.answer(target, is_known);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{header}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    fn answer(&self, target: &str, is_known: bool) -> Answer {
        let says = |status, header, what: &str| Answer { status, header, body: format!("{{\"message\":\"{what}\"}}") };
        if !is_known {
            return says("401 Unauthorized", "", "who are you?");
        }
        match self.requests.fetch_add(1, Ordering::SeqCst) + 1 {
            TOO_MANY => return says("429 Too Many Requests", "retry-after: 1\r\n", "slow down"),
            DOWN => return says("503 Service Unavailable", "", "back in a moment"),
            _ => {}
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path != "/v1/orders" {
            return says("404 Not Found", "", "only /v1/orders");
        }
        let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let since = of("updated_since").unwrap_or_default().replace("%3A", ":");
        let from: usize = of("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        Answer { status: "200 OK", header: "", body: self.page(&since, from) }
    }

    fn page(&self, since: &str, from: usize) -> String {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // times of the same format sort as texts
        let changed = || orders.iter().filter(|order| order.updated_at.as_str() >= since);
        let page: Vec<String> = changed().skip(from).take(PAGE).map(Order::json).collect();
        let next = if from + PAGE < changed().count() { format!("\"{}\"", from + PAGE) } else { "null".into() };
        format!("{{\"data\":[{}],\"meta\":{{\"next\":{next}}}}}", page.join(","))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::data::orders_by;
    use super::*;

    fn ask(api: &Api, target: &str, token: &str) -> String {
        let mut stream = TcpStream::connect(api.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn changed_orders_are_paged_and_some_requests_fail() {
        let api = Api::start().unwrap();
        api.set_orders(orders_by("2026-03-03"));
        assert!(ask(&api, "/v1/orders", "no").starts_with("HTTP/1.1 401"));
        let last = "/v1/orders?limit=100&updated_since=2026-03-03T18%3A00%3A00Z";
        let answer = ask(&api, last, TOKEN);
        assert!(answer.ends_with("\"meta\":{\"next\":null}}") && answer.contains("\"id\":700169,"), "{answer}");
        assert!(ask(&api, last, TOKEN).contains("retry-after: 1\r\n"));
        let page = ask(&api, "/v1/orders?updated_since=2026-03-02&cursor=60", TOKEN);
        assert!(page.contains("\"next\":\"90\"") && page.matches("\"id\":7").count() == PAGE, "{page}");
        assert!(ask(&api, last, TOKEN).starts_with("HTTP/1.1 503"));
        assert!(ask(&api, "/", TOKEN).starts_with("HTTP/1.1 404"));
    }
}
