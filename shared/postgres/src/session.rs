//! A connection to a server: where it is, how far it is trusted, and waiting for it no longer than agreed.

use std::cell::OnceCell;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tidemark_flow::{Kind, Secret};
use tidemark_pipeline::postgres::{Address, Authorities, SslMode};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::fault::{Fault, Unknown};

/// One connection. The runtime has a thread of its own, so that what is written goes out while more is made ready.
pub struct Session {
    client: Client,
    runtime: Runtime,
    connection: JoinHandle<()>,
    tls: MakeRustlsConnect,
    timeout: Duration,
    schema: OnceCell<String>,
    /// Of the server: 16 for 16.2.
    pub version: u32,
}

/// How long a server may take to hear that we are gone.
const GOODBYE: Duration = Duration::from_millis(500);

impl Drop for Session {
    /// Says goodbye, which else is lost with the runtime, and stands in the server's log as a client that broke off.
    fn drop(&mut self) {
        self.client.__private_api_close();
        let ended = &mut self.connection;
        let _ = self.runtime.block_on(async { tokio::time::timeout(GOODBYE, ended).await });
    }
}

impl Session {
    /// Connects; says nothing to the server yet.
    ///
    /// # Errors
    /// [`Fault::Unreachable`], [`Fault::Tls`], [`Fault::Certificates`], or what the server says.
    pub fn open(address: &Address, password: Option<&Secret>, timeout: Duration) -> Result<Session, Fault> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Fault::Unreachable(error.into()))?;
        let (mode, trust) = tls_of(address)?;
        let tls = MakeRustlsConnect::new(trust);
        let mut config = config(address);
        config.ssl_mode(mode);
        if let Some(password) = password {
            config.password(password.expose());
        }
        let connected = runtime.block_on(async { tokio::time::timeout(timeout, config.connect(tls.clone())).await });
        let (client, connection) = connected.map_err(|_| Fault::Silent(timeout))?.map_err(unreachable)?;
        let version =
            connection.parameter("server_version").and_then(|text| text.split(['.', ' ']).next()?.parse().ok());
        let connection = runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = error.to_string(), "the connection to a database ended");
            }
        });
        Ok(Session {
            client,
            runtime,
            connection,
            tls,
            timeout,
            schema: OnceCell::new(),
            version: version.unwrap_or(0),
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer. One that does not come in time is cancelled, so that the server lets go of what it holds.
    pub fn wait<T, E: Into<Fault>>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, Fault> {
        let answered = self.runtime.block_on(async { tokio::time::timeout(self.timeout, answer).await });
        match answered {
            Ok(answer) => answer.map_err(E::into),
            Err(_) => {
                let token = self.client.cancel_token();
                let cancel = token.cancel_query(self.tls.clone());
                let _ = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), cancel).await });
                Err(Fault::Silent(self.timeout))
            }
        }
    }

    /// The schema in which a table is made that is named without one. Asked for once; such a table is looked for nowhere else.
    pub fn schema(&self) -> Result<&str, Fault> {
        if let Some(schema) = self.schema.get() {
            return Ok(schema);
        }
        let rows = self.rows("SELECT coalesce(current_schema(), 'public')::text", &[])?;
        let schema = rows.first().map_or(Ok("public".to_owned()), |row| row.try_get(0))?;
        Ok(self.schema.get_or_init(|| schema))
    }

    /// One round trip.
    pub fn rows(&self, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Fault> {
        self.wait(self.client.query_typed(sql, values))
    }

    /// Statements without values, in one round trip.
    pub fn run(&self, sql: &str) -> Result<(), Fault> {
        self.wait(self.client.batch_execute(sql))
    }

    /// One statement, and how many rows it has changed.
    pub fn change(&self, sql: &str) -> Result<u64, Fault> {
        self.wait(self.client.execute_typed(sql, &[]))
    }
}

fn unreachable(error: tokio_postgres::Error) -> Fault {
    match error.as_db_error() {
        Some(_) => error.into(),
        // its kinds are not public, and there is no other way to tell
        None if error.to_string().starts_with("error performing TLS handshake") => match cause(error) {
            broken if is_broken(broken.as_ref()) => Fault::Lost(broken),
            cause => Fault::Tls(cause),
        },
        None if error.source().is_some_and(|cause| cause.to_string() == "password missing") => {
            Fault::NoPassword(Unknown { why: "none is given".to_owned(), kind: Kind::Definition })
        }
        None if error.to_string().starts_with("error connecting") => {
            let cause = cause(error);
            match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                // said where `target_session_attrs` asks for more than there is
                Some(std::io::ErrorKind::PermissionDenied) => Fault::OnlyReads(cause),
                _ => Fault::Unreachable(cause),
            }
        }
        None => error.into(),
    }
}

/// Whether the other end went away, rather than was not trusted.
fn is_broken(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind.is_some_and(|kind| [BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof].contains(&kind))
}

fn cause(error: tokio_postgres::Error) -> Box<dyn Error + Send + Sync> {
    error.into_source().unwrap_or_else(|| "no reason given".into())
}

fn config(address: &Address) -> Config {
    let mut config = Config::new();
    for host in &address.hosts {
        config.host(&host.name).port(host.port);
    }
    config.dbname(&address.database).application_name(address.application_name.as_deref().unwrap_or("tidemark"));
    if let Some(user) = &address.user {
        config.user(user);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    if address.read_write {
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    }
    config
        .connect_timeout(Duration::from_secs(address.connect_timeout_s.unwrap_or(10).into()))
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3);
    config
}

/// Who is trusted, as libpq's `sslmode` has it.
fn tls_of(address: &Address) -> Result<(tokio_postgres::config::SslMode, ClientConfig), Fault> {
    use tokio_postgres::config::SslMode::{Disable, Prefer, Require};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::Tls(error.into()))?;
    let (mode, is_name_checked) = match address.sslmode() {
        SslMode::Disable => (Disable, None),
        SslMode::Prefer => (Prefer, None),
        SslMode::Require => (Require, None),
        SslMode::VerifyCa => (Require, Some(false)),
        SslMode::VerifyFull => (Require, Some(true)),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match is_name_checked {
        None => Arc::new(Anybody(provider)),
        Some(is_name_checked) => {
            let roots = Arc::new(roots(address.authorities.as_ref())?);
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| Fault::Tls(error.into()))?;
            if is_name_checked { inner } else { Arc::new(AnyName(inner)) }
        }
    };
    Ok((mode, builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// The authorities in a file, or (`system`, or none named) those of this machine.
fn roots(authorities: Option<&Authorities>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(Authorities::File(file)) => {
            let unread = |source: Box<dyn Error + Send + Sync>| Fault::Certificates { file: file.clone(), source };
            let found = CertificateDer::pem_file_iter(file).map_err(|error| unread(error.into()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| unread(error.into()))?;
                roots.add(certificate).map_err(|error| unread(error.into()))?;
            }
            if roots.is_empty() {
                return Err(unread("it has no certificate".into()));
            }
        }
        Some(Authorities::System) | None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Fault::Tls("this machine has no certificates of authorities".into()));
            }
        }
    }
    Ok(roots)
}

/// Encrypts, and trusts whoever answers: `prefer` and `require`.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

/// Trusts whom an authority has signed, whatever the name: `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // the chain is checked before the name is
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
