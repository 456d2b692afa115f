//! Counts requests when they are sent. Every attempt has its price, so retries of the SDK count too.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use tidemark_lake::{Meter, Requests};

#[derive(Debug)]
pub(crate) struct Metered {
    meter: Meter,
}

impl Metered {
    pub(crate) fn new(meter: &Meter) -> Metered {
        Metered { meter: meter.clone() }
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Metered {
    fn name(&self) -> &'static str {
        "Metered"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        self.meter.count(requests(operation));
        Ok(())
    }
}

/// The price class of one attempt of an operation.
fn requests(operation: &str) -> Requests {
    let none = Requests::default();
    match operation {
        "GetObject" | "HeadObject" => Requests { get: 1, ..none },
        "ListObjectsV2" => Requests { list: 1, ..none },
        "DeleteObject" | "DeleteObjects" | "AbortMultipartUpload" => Requests { delete: 1, ..none },
        // PutObject, CopyObject, and the three requests of a multipart upload
        _ => Requests { put: 1, ..none },
    }
}
