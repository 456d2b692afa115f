//! AWS clients, built once: on Lambda from the environment only, for a user from the whole AWS configuration.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_s3::config::{BehaviorVersion, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::shared::IntoShared as _;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::Meter;

use crate::meter::Metered;

/// One HTTP client, and so one connection pool, for all services.
fn http_client() -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    LazyHttpClient(client).into_shared()
}

/// An HTTP client that loads the certificates of this machine with the first request. The default client loads them when it is built, which
/// would slow down every start of a function, even if it sends no request.
#[derive(Debug)]
struct LazyHttpClient(SharedHttpClient);

impl HttpClient for LazyHttpClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }
}

/// The token bucket that limits retries over all requests: enough to pass a bad minute, without flooding a store that is down. It refills
/// with time, since a throttled function may not have many successful requests.
fn allowance() -> TokenBucket {
    TokenBucket::builder().capacity(500).refill_rate(10.0).build()
}

/// Timeouts and number of attempts of requests.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    pub connect: Duration,
    /// Longest time without any data of a response.
    pub read: Duration,
    /// For one attempt. Its body may be an upload of 64 MB.
    pub attempt: Duration,
    /// Total number of attempts of one request.
    pub attempts: u32,
    /// Longest pause before the second attempt; it doubles with each further attempt.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(20),
            attempt: Duration::from_secs(180),
            attempts: 5,
            pause: Duration::from_millis(200),
        }
    }
}

impl RetryPolicy {
    fn retries(&self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.attempts)
            .with_initial_backoff(self.pause)
            .with_max_backoff(self.pause * 32)
    }

    fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(self.read)
            .operation_attempt_timeout(self.attempt)
            .build()
    }
}

/// The configuration shared by the clients of all services: credentials, region, endpoints, timeouts and retries.
#[derive(Debug, Clone)]
pub struct Account {
    config: SdkConfig,
    retry_policy: RetryPolicy,
}

impl Account {
    /// Reads only the standard variables `AWS_*`, which is all a function on Lambda has: no file and no network is read. `variable` looks
    /// up a variable.
    ///
    /// # Errors
    /// [`ErrorKind::Definition`] if region or credentials are not set.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        retry_policy: RetryPolicy,
    ) -> Result<Account, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let missing = |what: &str, hint: &str| Error::new(ErrorKind::Definition, format!("{what} not set")).hint(hint);
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        let region = region.ok_or_else(|| missing("the AWS region is", "set AWS_REGION"))?;
        let (Some(key), Some(secret)) = (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) else {
            let hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a function has them from its role";
            return Err(missing("the AWS credentials are", hint));
        };
        let credentials = Credentials::new(key, secret, set("AWS_SESSION_TOKEN"), None, "environment");
        let endpoint = set("AWS_ENDPOINT_URL");
        let endpoints = Endpoints {
            s3: set("AWS_ENDPOINT_URL_S3"),
            eventbridge: set("AWS_ENDPOINT_URL_EVENTBRIDGE"),
            secrets_manager: set("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            sns: set("AWS_ENDPOINT_URL_SNS"),
        };
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retry_policy.retries())
            .timeout_config(retry_policy.timeouts())
            .service_config(endpoints);
        config.set_endpoint_url(endpoint);
        Ok(Account { config: config.build(), retry_policy })
    }

    /// Reads the user's AWS configuration: variables, profiles, single sign-on, in the same order as the AWS CLI.
    ///
    /// # Errors
    /// [`ErrorKind::Definition`] if no region is set. Credentials are only looked up at the first request.
    pub async fn for_current_user() -> Result<Account, Error> {
        let retry_policy = RetryPolicy::default();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .retry_config(retry_policy.retries())
            .timeout_config(retry_policy.timeouts());
        let config = loader.load().await;
        if config.region().is_none() {
            let error = Error::new(ErrorKind::Definition, "the AWS region is not set");
            return Err(error.hint("set AWS_REGION, or region in the profile of ~/.aws/config"));
        }
        Ok(Account { config, retry_policy })
    }

    /// The configuration for the client of another service.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.retry_policy
    }

    pub(crate) fn region(&self) -> &str {
        self.config.region().map_or("", |region| region.as_ref())
    }

    /// An S3 client; `meter` counts every attempt of a request.
    pub(crate) fn s3(&self, meter: &Meter) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::config::Builder::from(&self.config)
            .interceptor(Metered::new(meter))
            .retry_partition(RetryPartition::custom("tidemark").token_bucket(allowance()).build());
        if self.has_s3_endpoint() {
            // other stores have no host name per bucket, and not all support the checksums that AWS introduced in 2025
            config = config
                .force_path_style(true)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        aws_sdk_s3::Client::from_conf(config.build())
    }

    fn has_s3_endpoint(&self) -> bool {
        let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        let own = key.ok().and_then(|key| self.config.service_config()?.load_config(key));
        own.is_some() || self.config.endpoint_url().is_some()
    }
}

/// Endpoints of single services.
#[derive(Debug)]
struct Endpoints {
    s3: Option<String>,
    eventbridge: Option<String>,
    secrets_manager: Option<String>,
    sns: Option<String>,
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match (key.env(), key.service_id()) {
            ("AWS_ENDPOINT_URL", "S3") => self.s3.clone(),
            ("AWS_ENDPOINT_URL", "EventBridge") => self.eventbridge.clone(),
            ("AWS_ENDPOINT_URL", "Secrets Manager") => self.secrets_manager.clone(),
            ("AWS_ENDPOINT_URL", "SNS") => self.sns.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn account(set: &[(&str, &str)]) -> Result<Account, Error> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Account::from_variables(variable, RetryPolicy::default())
    }

    const WHOLE: [(&str, &str); 3] =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hidden")];

    #[test]
    fn missing_variables_are_named() {
        for (absent, hint) in [(0, "AWS_REGION"), (1, "AWS_ACCESS_KEY_ID"), (2, "AWS_SECRET_ACCESS_KEY")] {
            let mut set = WHOLE;
            set[absent].1 = "";
            let error = account(&set).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Definition);
            assert!(error.hint.unwrap().contains(hint));
        }
    }

    #[test]
    fn each_service_has_its_endpoint() {
        let one = |name| account(&[&WHOLE[..], &[(name, "http://localhost:1")]].concat()).unwrap();
        assert!(!account(&WHOLE).unwrap().has_s3_endpoint());
        assert!(one("AWS_ENDPOINT_URL").has_s3_endpoint());
        assert!(one("AWS_ENDPOINT_URL_S3").has_s3_endpoint());
        assert!(!one("AWS_ENDPOINT_URL_EVENTBRIDGE").has_s3_endpoint());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "measures")]
    fn building_a_client_is_fast() {
        let began = Instant::now();
        let account = account(&WHOLE).unwrap();
        let made = began.elapsed();
        account.s3(&Meter::default());
        let first = began.elapsed() - made;
        account.s3(&Meter::default());
        println!("account {made:?}, first client {first:?}, second {:?}", began.elapsed() - made - first);
        assert!(!format!("{account:?}").contains("hidden"));
    }
}
