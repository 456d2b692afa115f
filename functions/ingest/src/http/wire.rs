//! The underlying HTTP client: default headers, trusted certificates, and the resolver without forbidden addresses.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue, USER_AGENT};
use tidemark_flow::{Error, ErrorKind};
use tidemark_pipeline::http::{Auth, Http};
use url::Url;

use super::body::ACCEPTED;
use super::origin;

/// Redirects and decompression are not left to the client: redirects are checked first, and bodies are decompressed within limits.
pub(super) fn client(http: &Http, home: &Url) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(origin::Resolver))
        .connect_timeout(Duration::from_secs(http.limits.timeout_s.min(10)))
        .default_headers(
            [
                (ACCEPT, "application/json, application/x-ndjson;q=0.9, */*;q=0.1"),
                (ACCEPT_ENCODING, ACCEPTED),
                (USER_AGENT, concat!("tidemark/", env!("CARGO_PKG_VERSION"))),
            ]
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .into_iter()
            .collect(),
        );
    let token = match &http.auth {
        Some(Auth::Oauth2 { token_url, .. }) => token_url.starts_with("https:"),
        _ => false,
    };
    // the certificates of the machine are read only if they are needed
    builder = builder.tls_backend_preconfigured(tls(home.scheme() == "https" || token)?);
    builder.build().map_err(|error| Error::new(ErrorKind::Bug, "no HTTP client").because(error))
}

fn tls(is_needed: bool) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    if is_needed {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(Error::new(ErrorKind::Definition, "this machine has no certificates of trusted authorities")
                .hint("install ca-certificates, or set SSL_CERT_FILE to a file of certificates"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Bug, "no TLS").because(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
