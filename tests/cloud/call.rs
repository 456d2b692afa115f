//! A call to an AWS API, as the emulator has written it down.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// A function's name; the access key of whoever is none.
    pub caller: String,
    pub service: String,
    pub operation: String,
    /// `bucket/key` of S3; otherwise what the request names, or nothing.
    pub resource: String,
    /// Of the answer, by HTTP.
    pub status: u64,
    /// Seconds since 1970.
    pub time: f64,
}

impl Call {
    pub fn read(line: &str) -> Call {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        Call {
            caller: text("caller"),
            service: text("service"),
            operation: text("operation"),
            resource: text("resource"),
            status: value["status"].as_u64().unwrap(),
            time: value["time"].as_f64().unwrap(),
        }
    }

    /// The action of IAM that it needs. Of S3 they have other names than the operations:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
    pub fn action(&self) -> String {
        let operation = match (self.service.as_str(), self.operation.as_str()) {
            ("s3", "HeadObject") => "GetObject",
            ("s3", "ListObjects" | "ListObjectsV2" | "HeadBucket") => "ListBucket",
            ("s3", "CopyObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload") => "PutObject",
            ("s3", "DeleteObjects") => "DeleteObject",
            ("s3", "ListBuckets") => "ListAllMyBuckets",
            (_, operation) => operation,
        };
        format!("{}:{operation}", self.service)
    }
}
