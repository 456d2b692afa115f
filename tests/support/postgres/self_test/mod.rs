//! Tests of the server, proxy and TLS front end that other tests use.

mod proxy;
mod server;
mod tls;

/// The value of a result with one row and one column.
fn value(rows: &super::Rows) -> &str {
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{rows:?}");
    rows[0][0].as_deref().unwrap()
}
