//! Which hosts are this machine, so that what is said to them needs no encryption.

use std::net::IpAddr;

/// Whether a host is this machine, so that nobody listens in between.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
