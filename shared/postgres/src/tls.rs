//! TLS to a server: which certificates are trusted, with the meanings of libpq's `sslmode`.

use std::error::Error;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tidemark_pipeline::postgres::{Address, Authorities, SslMode};

use crate::fault::Fault;

/// Whether a connection is encrypted, and which certificates it trusts if so.
pub(crate) fn client_config(address: &Address) -> Result<(tokio_postgres::config::SslMode, ClientConfig), Fault> {
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
        None => Arc::new(NoVerification(provider)),
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

/// The certificate authorities in a file; those of this host for `system` or if none are named.
fn roots(authorities: Option<&Authorities>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(Authorities::File(file)) => {
            let invalid = |source: Box<dyn Error + Send + Sync>| Fault::Certificates { file: file.clone(), source };
            let found = CertificateDer::pem_file_iter(file).map_err(|error| invalid(error.into()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| invalid(error.into()))?;
                roots.add(certificate).map_err(|error| invalid(error.into()))?;
            }
            if roots.is_empty() {
                return Err(invalid("it has no certificate".into()));
            }
        }
        Some(Authorities::System) | None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Fault::Tls("this machine has no certificates of trusted authorities".into()));
            }
        }
    }
    Ok(roots)
}

/// Encrypts without checking the server's certificate: `prefer` and `require`.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

/// Trusts every certificate that a trusted authority has signed, whatever its host name: `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NoVerification {
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
