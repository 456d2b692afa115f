//! The roles as they are deployed, beside what the functions were seen to do: nothing that they do is missing, and nothing stands in a role
//! that none does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bundle::Bundle;
use super::call::Call;
use super::{ACCOUNT, REGION};

const FUNCTIONS: [&str; 4] = ["ingest", "transform", "load", "watch"];

/// What is allowed and was not seen: a statement, its action, a part of its resource, and why it has to be there all the same. One that is
/// seen has to go from here.
const UNSEEN: [(&str, &str, &str, &str); 17] = [
    ("Logs", "logs:CreateLogStream", "", "done by the platform, as the function"),
    ("Logs", "logs:PutLogEvents", "", "done by the platform, as the function"),
    ("Traces", "xray:PutTraceSegments", "", "done by the platform, as the function"),
    ("Traces", "xray:PutTelemetryRecords", "", "done by the platform, as the function"),
    ("GivesUp", "lambda:InvokeFunction", "", "done by the platform, as the function: where what failed goes"),
    ("Loses", "sqs:SendMessage", "", "done by the platform, as the function: where what failed goes"),
    ("TakesDeadLetters", "sqs:ReceiveMessage", "", "done by the platform, as the function"),
    ("TakesDeadLetters", "sqs:DeleteMessage", "", "done by the platform, as the function"),
    ("TakesDeadLetters", "sqs:GetQueueAttributes", "", "done by the platform, as the function"),
    ("UnfinishedUploads", "s3:AbortMultipartUpload", "", "only after an upload in parts that failed"),
    ("WritesDatasets", "s3:AbortMultipartUpload", "", "only after an upload in parts that failed"),
    ("WritesReports", "s3:AbortMultipartUpload", "", "only after an upload in parts that failed"),
    ("WritesRaw", "s3:DeleteObject", "", "what a fetch in parts has left behind"),
    ("WritesDatasets", "s3:DeleteObject", "", "what a step in parts has left behind"),
    ("Records", "s3:PutObject", "watch/running/", "only of a run that lasts longer than 20 seconds"),
    ("ClearsMark", "s3:DeleteObject", "watch/running/", "only of a run that lasts longer than 20 seconds"),
    ("KeepsIncidents", "s3:DeleteObject", "", "the mark of a run that has died, a silence that is over"),
];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    sid: String,
    action: String,
    resource: String,
}

pub fn assert_roles_fit(bundle: &Bundle<'_>) {
    let grants: BTreeMap<String, Vec<Grant>> = FUNCTIONS.map(|name| grants(bundle, name)).into_iter().collect();
    let mut used = BTreeSet::new();
    let mut denied = BTreeSet::new();
    for call in bundle.emulator.calls() {
        let Some(grants) = grants.get(&call.caller) else { continue };
        let (action, resource) = (call.action(), arn(&call));
        let covers = |grant: &&Grant| grant.action == action && matches(&grant.resource, &resource);
        let covering: Vec<_> = grants.iter().filter(covers).collect();
        if covering.is_empty() {
            denied.insert(format!("{} does {action} on {resource}", call.caller));
        }
        used.extend(covering.into_iter().cloned());
    }
    assert!(denied.is_empty(), "not in the roles: {denied:#?}");
    assert!(used.len() > 15, "{used:#?}");

    let all: BTreeSet<&Grant> = grants.values().flatten().collect();
    let is_of = |grant: &Grant, (sid, action, part, _): &(&str, &str, &str, &str)| {
        grant.sid == *sid && grant.action == *action && grant.resource.contains(part)
    };
    let is_explained = |grant: &Grant| UNSEEN.iter().any(|unseen| is_of(grant, unseen));
    let idle: Vec<_> = all.iter().filter(|grant| !used.contains(**grant) && !is_explained(grant)).collect();
    assert!(idle.is_empty(), "in a role, and never done: {idle:#?}");
    let stale: Vec<_> = UNSEEN.iter().filter(|unseen| used.iter().any(|grant| is_of(grant, unseen))).collect();
    assert!(stale.is_empty(), "seen after all: {stale:?}");
}

/// What the role of a function allows, and the function's name.
fn grants(bundle: &Bundle<'_>, name: &str) -> (String, Vec<Grant>) {
    let aws = |arguments: &[&str]| bundle.emulator.aws(arguments);
    let function = format!("tidemark-dev-{name}");
    let configuration = aws(&["lambda", "get-function-configuration", "--function-name", &function]);
    let role = configuration["Role"].as_str().unwrap().rsplit('/').next().unwrap();
    let mut documents = Vec::new();
    for policy in texts(&aws(&["iam", "list-role-policies", "--role-name", role])["PolicyNames"], "") {
        let found = aws(&["iam", "get-role-policy", "--role-name", role, "--policy-name", &policy]);
        documents.push(found["PolicyDocument"].clone());
    }
    for policy in
        texts(&aws(&["iam", "list-attached-role-policies", "--role-name", role])["AttachedPolicies"], "PolicyArn")
    {
        let version = aws(&["iam", "get-policy", "--policy-arn", &policy])["Policy"]["DefaultVersionId"].clone();
        let version = version.as_str().unwrap();
        let found = aws(&["iam", "get-policy-version", "--policy-arn", &policy, "--version-id", version]);
        documents.push(found["PolicyVersion"]["Document"].clone());
    }
    let mut grants = Vec::new();
    for statement in documents.iter().flat_map(|document| document["Statement"].as_array().unwrap()) {
        assert_eq!(statement["Effect"], "Allow");
        let sid = statement["Sid"].as_str().unwrap_or("Secrets").to_owned();
        for action in texts(&statement["Action"], "") {
            assert!(!action.contains('*'), "{sid}: {action}");
            for resource in texts(&statement["Resource"], "") {
                grants.push(Grant { sid: sid.clone(), action: action.clone(), resource });
            }
        }
    }
    (function, grants)
}

/// One text, or several; of objects a member.
fn texts(value: &Value, member: &str) -> Vec<String> {
    let one = |value: &Value| value.as_str().or_else(|| value[member].as_str()).unwrap().to_owned();
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        Value::Null => Vec::new(),
        value => vec![one(value)],
    }
}

/// What a call is about, as a policy names it.
fn arn(call: &Call) -> String {
    let of = |service: &str, rest: String| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}");
    match call.service.as_str() {
        "s3" if call.action() == "s3:ListBucket" => {
            format!("arn:aws:s3:::{}", call.resource.split('/').next().unwrap_or_default())
        }
        "s3" => format!("arn:aws:s3:::{}", call.resource),
        "events" => of("events", format!("event-bus/{}", call.resource)),
        // the six characters are anybody's
        "secretsmanager" => of("secretsmanager", format!("secret:{}-abcdef", call.resource)),
        _ => call.resource.clone(),
    }
}

/// `*` is anything, `?` one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        let before = reached.clone();
        for at in 0..=text.len() {
            reached[at] = match wanted {
                '*' => before[at] || (at > 0 && reached[at - 1]),
                '?' => at > 0 && before[at - 1],
                wanted => at > 0 && before[at - 1] && text[at - 1] == wanted,
            };
        }
    }
    reached[text.len()]
}

#[test]
fn a_pattern_of_a_policy() {
    assert!(matches(
        "arn:aws:s3:::b/lake/datasets/*.raw/*",
        "arn:aws:s3:::b/lake/datasets/sales.raw/_delta_log/0.json"
    ));
    assert!(!matches("arn:aws:s3:::b/lake/datasets/*.raw/*", "arn:aws:s3:::b/lake/datasets/sales/_delta_log/0.json"));
    assert!(matches("a-??????", "a-abcdef") && !matches("a-??????", "a-abcde"));
    assert!(matches("*", "") && !matches("", "a"));
}
