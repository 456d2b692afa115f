//! Errors of requests to a bucket, by what can be done about them.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use object_store::Error as StoreError;
use object_store::path::Path;
use tidemark_lake::{StoreErrorAction, StoreErrorContext};

/// A failed request. `Display` is one line that says what is wrong; [`S3Fault::hint`] says what to do. Neither ever contains a secret or a
/// header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum S3Fault {
    #[error("there is no bucket {bucket}")]
    NoSuchBucket { bucket: String },

    #[error("bucket {bucket} is in region {region}, but {ours} is configured")]
    WrongRegion { bucket: String, region: String, ours: String },

    #[error("access to bucket {bucket} is denied ({code})")]
    Denied { bucket: String, code: String },

    /// The access key is unknown, or the secret does not match it.
    #[error("the credentials are not valid ({code})")]
    InvalidCredentials { code: String },

    #[error("the credentials have expired")]
    ExpiredCredentials,

    #[error("no AWS credentials were found ({why})")]
    NoCredentials { why: String },

    #[error("bucket {bucket} accepts no more requests at the moment (SlowDown)")]
    SlowDown { bucket: String },

    #[error("bucket {bucket} did not answer in time")]
    Timeout { bucket: String },

    /// Connection refused, reset, or closed in the middle of a response; name not resolved.
    #[error("the connection to bucket {bucket} failed ({why})")]
    Connection { bucket: String, why: String },

    #[error("downloads from bucket {bucket} ended early repeatedly")]
    Truncated { bucket: String },

    /// Other clients are writing the same object.
    #[error("other writes to the same object of bucket {bucket} conflicted for too long")]
    Conflict { bucket: String },

    #[error("bucket {bucket} failed with status {status} ({code})")]
    Server { bucket: String, status: u16, code: String },

    #[error("bucket {bucket} refuses the request with status {status} ({code})")]
    Other { bucket: String, status: u16, code: String },
}

impl S3Fault {
    pub fn action(&self) -> StoreErrorAction {
        use S3Fault::*;
        match self {
            NoSuchBucket { .. } | WrongRegion { .. } | NoCredentials { .. } | Other { .. } => StoreErrorAction::Correct,
            Denied { .. } | InvalidCredentials { .. } | ExpiredCredentials => StoreErrorAction::Permit,
            SlowDown { .. }
            | Timeout { .. }
            | Connection { .. }
            | Truncated { .. }
            | Conflict { .. }
            | Server { .. } => StoreErrorAction::RunAgain,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        use S3Fault::*;
        let hint = match self {
            NoSuchBucket { .. } => "check its name, or create it",
            WrongRegion { region, .. } => return format!("set AWS_REGION={region}"),
            Denied { .. } => "allow it in the policy of the role or of the bucket",
            InvalidCredentials { .. } => "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
            ExpiredCredentials => "sign in again (aws sso login), or get new ones",
            NoCredentials { .. } => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or sign in (aws sso login)"
            }
            SlowDown { .. } => "run again later",
            Timeout { .. } | Connection { .. } | Truncated { .. } | Conflict { .. } | Server { .. } => "run again",
            Other { .. } => "check the location and the endpoint",
        };
        hint.to_owned()
    }

    /// Converts to the error of a store, with the explanation as its source.
    pub(crate) fn at(self, key: &str) -> StoreError {
        let (path, is_denied) = (key.to_owned(), matches!(self, S3Fault::Denied { .. }));
        let is_unknown = matches!(self, S3Fault::InvalidCredentials { .. } | S3Fault::ExpiredCredentials);
        let source = Box::new(StoreErrorContext { action: self.action(), hint: self.hint(), fault: Box::new(self) });
        match (is_denied, is_unknown) {
            (true, _) => StoreError::PermissionDenied { path, source },
            (_, true) => StoreError::Unauthenticated { path, source },
            _ => StoreError::Generic { store: "S3", source },
        }
    }
}

/// The error response of the service.
pub(crate) struct Answer {
    pub status: u16,
    /// Empty if the response has no body, as after HEAD.
    pub code: String,
    message: String,
    /// The region of the bucket, if the response contains it.
    region: Option<String>,
}

impl Answer {
    pub fn from_error<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Answer> {
        let SdkError::ServiceError(service) = error else { return None };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(Answer {
            status: service.raw().status().as_u16(),
            code: text(service.err().code()),
            message: text(service.err().message()),
            region: service.raw().headers().get("x-amz-bucket-region").map(str::to_owned),
        })
    }

    /// Whether another write to the same object is in progress, so that the outcome is unknown.
    pub fn is_conflict(&self) -> bool {
        self.status == 409 && ["ConditionalRequestConflict", "OperationAborted"].contains(&self.code.as_str())
    }

    /// The region that the service expects, if that was the mistake: from a header, or from the message "The authorization header is
    /// malformed; the region 'a' is wrong; expecting 'b'".
    fn expected_region(&self) -> Option<String> {
        let is_region = matches!(self.status, 301 | 307)
            || ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"].contains(&self.code.as_str());
        let expected = || self.message.split("expecting '").nth(1)?.split('\'').next().map(str::to_owned);
        match is_region || (self.status == 400 && self.code.is_empty()) {
            true => self.region.clone().or_else(expected),
            false => None,
        }
    }
}

/// Bucket and region of a request, for its errors.
#[derive(Debug, Clone)]
pub(crate) struct RequestTarget {
    pub bucket: String,
    pub region: String,
}

impl RequestTarget {
    pub fn fault<E>(&self, error: &SdkError<E, HttpResponse>) -> S3Fault
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let bucket = self.bucket.clone();
        if let Some(answer) = Answer::from_error(error) {
            return self.answered(answer);
        }
        let mut why = String::from("no answer");
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            why = error.to_string();
            cause = error.source();
            if error.is::<CredentialsError>() {
                let why = root(error);
                // the providers have no error variant for expiry
                return if why.contains("expired") {
                    S3Fault::ExpiredCredentials
                } else {
                    S3Fault::NoCredentials { why }
                };
            }
        }
        match error {
            SdkError::TimeoutError(_) => S3Fault::Timeout { bucket },
            SdkError::DispatchFailure(cause) if cause.is_timeout() => S3Fault::Timeout { bucket },
            SdkError::ConstructionFailure(_) => S3Fault::Other { bucket, status: 0, code: why },
            _ => S3Fault::Connection { bucket, why },
        }
    }

    /// The fault of one object in a batch request, for which the service returns only a code.
    pub fn coded(&self, code: &str) -> S3Fault {
        let status = match code {
            "AccessDenied" => 403,
            "InternalError" | "ServiceUnavailable" => 503,
            _ => 200,
        };
        self.answered(Answer { status, code: code.to_owned(), message: String::new(), region: None })
    }

    fn answered(&self, answer: Answer) -> S3Fault {
        let bucket = self.bucket.clone();
        if let Some(region) = answer.expected_region() {
            return S3Fault::WrongRegion { bucket, region, ours: self.region.clone() };
        }
        let Answer { status, code, .. } = answer;
        match (code.as_str(), status) {
            ("NoSuchBucket", _) => S3Fault::NoSuchBucket { bucket },
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired", _) => {
                S3Fault::ExpiredCredentials
            }
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "InvalidClientTokenId"
                | "NotSignedUp",
                _,
            ) => S3Fault::InvalidCredentials { code },
            ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) | (_, 429) => {
                S3Fault::SlowDown { bucket }
            }
            ("RequestTimeout", _) => S3Fault::Timeout { bucket },
            ("ConditionalRequestConflict" | "OperationAborted", _) => S3Fault::Conflict { bucket },
            (_, 401 | 403) => S3Fault::Denied { bucket, code: named(code, status) },
            (_, 500..) => S3Fault::Server { bucket, status, code: named(code, status) },
            _ => S3Fault::Other { bucket, status, code: named(code, status) },
        }
    }

    /// The store error of a request for one object.
    pub fn explain<E>(&self, path: &Path, error: &SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = Answer::from_error(error);
        let (status, code) = answer.map_or((0, String::new()), |answer| (answer.status, answer.code));
        let location = path.to_string();
        let source = |text: &str| text.to_owned().into();
        match (status, code.as_str()) {
            (404, "NoSuchKey" | "NotFound" | "") => {
                StoreError::NotFound { path: location, source: source("the bucket holds no such object") }
            }
            (412, _) => StoreError::Precondition { path: location, source: source("the object has changed") },
            (304, _) => StoreError::NotModified { path: location, source: source("the object is the same") },
            _ => self.fault(error).at(path.as_ref()),
        }
    }
}

fn named(code: String, status: u16) -> String {
    match code.as_str() {
        "" if status == 403 => "AccessDenied".to_owned(),
        "" => "without a reason".to_owned(),
        _ => code,
    }
}

fn root(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map_or_else(String::new, ToString::to_string)
}
