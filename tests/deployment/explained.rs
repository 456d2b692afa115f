//! Findings of checkov that are accepted, with reasons. A reason for a single resource is in the metadata of that resource.

/// Id of the check, type of the resource, and the reason. An entry without a finding fails the test.
pub const EXPLAINED: [(&str, &str, &str); 7] = [
    (
        "CKV_AWS_158",
        "AWS::Logs::LogGroup",
        "CloudWatch encrypts logs with a key of its own; there is no secret and no record in them, and a key of the account's would cost more than they do",
    ),
    ("CKV_AWS_27", "AWS::SQS::Queue", "encrypted by SqsManagedSseEnabled, which the check does not know"),
    (
        "CKV_AWS_26",
        "AWS::SNS::Topic",
        "what is published leaves as mail; and CloudWatch and the functions would have to be let use a key of the account's",
    ),
    (
        "CKV_AWS_116",
        "AWS::Lambda::Function",
        "what fails goes to the destination in EventInvokeConfig, which says more than a dead-letter queue does",
    ),
    (
        "CKV_AWS_117",
        "AWS::Lambda::Function",
        "they talk to AWS and to public APIs only; load is in a VPC where there is one with a database",
    ),
    (
        "CKV_AWS_115",
        "AWS::Lambda::Function",
        "a bound is for what must be protected: the database, from load, which has one",
    ),
    ("CKV_AWS_173", "AWS::Lambda::Function", "no variable is a secret, and Lambda encrypts them with a key of its own"),
];
