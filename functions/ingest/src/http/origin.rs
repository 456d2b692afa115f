//! Where requests may go: only to the origin in the definition, and not to link-local or cloud metadata addresses unless the definition
//! names the address itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

/// Whether two URLs have the same scheme, host and port.
pub(crate) fn is_same(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// `https://api.example.com`, for messages: without path and query, which may contain secrets.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Link-local addresses, and addresses of the metadata services of clouds.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::new(100, 100, 100, 200),
        IpAddr::V6(v6) => {
            let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            v6.is_unicast_link_local()
                || v6 == metadata
                || v6.to_ipv4_mapped().is_some_and(|v4| is_forbidden(IpAddr::V4(v4)))
        }
    }
}

/// A host name resolves only to forbidden addresses. A definition that really means one contains the address itself, which is not resolved.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} resolves to {address}, a link-local or cloud metadata address; if this is intended, use the address in `url`"
)]
pub(crate) struct Forbidden {
    host: String,
    address: IpAddr,
}

/// The resolver of this machine, without forbidden addresses.
#[derive(Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            allowed(&host, found).map(|allowed| Box::new(allowed.into_iter()) as Addrs).map_err(Into::into)
        })
    }
}

fn allowed(host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let forbidden = found.iter().map(SocketAddr::ip).find(|&address| is_forbidden(address));
    let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| !is_forbidden(address.ip())).collect();
    match (allowed.is_empty(), forbidden) {
        (true, Some(address)) => Err(Forbidden { host: host.to_owned(), address }),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text: &str| Url::parse(text).unwrap();
        let home = url("https://api.example.com/v1/orders");
        for same in ["https://api.example.com:443/other?x=1", "https://API.example.com"] {
            assert!(is_same(&home, &url(same)), "{same}");
        }
        for other in [
            "http://api.example.com",
            "https://api.example.com:8443",
            "https://api.example.com.evil.org",
            "https://example.com",
        ] {
            assert!(!is_same(&home, &url(other)), "{other}");
        }
        assert_eq!(origin(&url("https://u:p@api.example.com/x?key=1")), "https://api.example.com");
    }

    #[test]
    fn names_that_resolve_to_cloud_metadata_are_refused() {
        let of = |addresses: &[&str]| {
            let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
            allowed("metadata.example", found).map(|allowed| allowed.len()).map_err(|error| error.address.to_string())
        };
        assert_eq!(of(&["169.254.169.254"]), Err("169.254.169.254".into()));
        assert_eq!(of(&["::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"]), Err("::ffff:169.254.169.254".into()));
        assert_eq!(of(&["169.254.1.1", "10.0.0.1", "127.0.0.1", "::1"]), Ok(3));
        assert_eq!(of(&[]), Ok(0));
    }
}
