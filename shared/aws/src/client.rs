//! Clients, built once: on Lambda from the environment alone, for a user from whatever the user has set up.

use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::Credentials;
use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;
use aws_types::region::Region;
use tidemark_flow::{Failure, Kind};

/// One HTTP client, so one pool of connections, for every service.
pub(crate) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// What a client of any service is made of.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub config: Arc<SdkConfig>,
}
