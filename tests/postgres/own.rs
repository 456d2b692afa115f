//! That server, proxy and front do what tests rely on.

mod proxy;
mod server;
mod tls;

use std::time::{Duration, Instant};

/// A value of one row.
fn value(rows: &super::Rows) -> &str {
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{rows:?}");
    rows[0][0].as_deref().unwrap()
}

/// Waits for what comes by itself.
#[track_caller]
pub fn soon(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not after 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
