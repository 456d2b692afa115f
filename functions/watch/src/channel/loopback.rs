//! Recognizes the hosts that are this machine, for which connections need no encryption.

use std::net::IpAddr;

/// Whether a host is this machine, so that the connection cannot be intercepted on the network.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
