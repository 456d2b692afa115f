//! A TLS front end for a server (the builds of PostgreSQL in the tests have no TLS), and certificates for it.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::client::{runtime, wait};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// Certificate and key for `host`, as PEM.
    pub fn signed(&self, host: &str) -> (String, String) {
        let (certificate, key) = self.certified(host);
        (certificate.pem(), key.serialize_pem())
    }

    fn certified(&self, host: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A TLS configuration with a certificate for `host` only.
    pub fn server(&self, host: &str) -> ServerConfig {
        let (certificate, key) = self.certified(host);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

/// A TLS front end on its own port, until dropped. Connections without TLS are refused, as by a server with `hostssl` rules only.
pub struct Front {
    port: u16,
    listening: AbortHandle,
}

impl Front {
    /// Forwards to the server or proxy at `port`, with a certificate for `host`.
    pub fn before(port: u16, authority: &Authority, host: &str) -> Front {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(host)));
        let listener = wait(TcpListener::bind("127.0.0.1:0")).unwrap();
        let own = listener.local_addr().unwrap().port();
        let listening = runtime().spawn(listen(listener, acceptor, ([127, 0, 0, 1], port).into())).abort_handle();
        Front { port: own, listening }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        // A client that rejects the certificate closes the connection.
        tokio::spawn(converse(client, acceptor.clone(), server));
    }
}

async fn converse(mut client: TcpStream, acceptor: TlsAcceptor, server: SocketAddr) -> std::io::Result<()> {
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    // Code of an SSLRequest.
    if request[4..] != 80_877_103_u32.to_be_bytes() {
        client.write_all(&refusal()).await?;
        return client.shutdown().await;
    }
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(server).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// An ErrorResponse message.
fn refusal() -> Vec<u8> {
    let fields = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for host \"127.0.0.1\", no encryption\0\0";
    let length = u32::try_from(fields.len() + 4).unwrap();
    [&b"E"[..], &length.to_be_bytes(), fields].concat()
}
