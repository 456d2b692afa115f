//! Tests of the server, proxy and TLS front end on which other tests rely.

mod proxy;
mod server;
mod tls;

/// A value of one row.
fn value(rows: &super::Rows) -> &str {
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{rows:?}");
    rows[0][0].as_deref().unwrap()
}
