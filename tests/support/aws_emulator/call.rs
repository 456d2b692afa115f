//! A call to an AWS API, as logged by the emulator.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the calling function; the access key of other callers.
    pub caller: String,
    pub service: String,
    pub operation: String,
    /// `bucket/key` of S3; otherwise the resource that the request names, or an empty text.
    pub resource: String,
    /// Requested version of an object.
    pub version: Option<String>,
    /// HTTP status of the response.
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
            version: value["version"].as_str().map(str::to_owned),
            status: value["status"].as_u64().unwrap(),
            time: value["time"].as_f64().unwrap(),
        }
    }

    /// The IAM action that the call requires. For S3 these differ from the operations:
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
        // Access to a version of an object has a permission of its own.
        let of_version = match (self.service.as_str(), operation) {
            ("s3", "GetObject" | "DeleteObject") if self.version.is_some() => "Version",
            _ => "",
        };
        format!("{}:{operation}{of_version}", self.service)
    }
}

#[test]
fn calls_map_to_iam_actions() {
    let of = |service: &str, operation: &str, version: Option<&str>| {
        let line = serde_json::json!({"caller": "load", "service": service, "operation": operation, "resource": "lake/a", "version": version,
            "status": 200, "time": 1.5});
        Call::read(&line.to_string()).action()
    };
    for (operation, plain, versioned) in [
        ("GetObject", "s3:GetObject", "s3:GetObjectVersion"),
        ("HeadObject", "s3:GetObject", "s3:GetObjectVersion"),
        ("DeleteObjects", "s3:DeleteObject", "s3:DeleteObjectVersion"),
        ("UploadPart", "s3:PutObject", "s3:PutObject"),
    ] {
        let actions = [None, Some("v1")].map(|version| of("s3", operation, version));
        assert_eq!(actions, [plain, versioned], "{operation}");
    }
    assert_eq!(of("events", "PutEvents", None), "events:PutEvents");
}
