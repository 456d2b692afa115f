//! The deployed roles are compared with the calls that functions made: every call is allowed, and every permission is used or explained.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::aws_emulator::bundle::Bundle;
use crate::support::aws_emulator::call::Call;
use crate::support::aws_emulator::{ACCOUNT, REGION};

const FUNCTIONS: [&str; 4] = ["ingest", "transform", "load", "watch"];

/// A permission that is not used: id of the statement, action, part of the resource if the statement has several, and the reason.
type Unseen = (&'static str, &'static str, &'static str, &'static str);

/// These may be used on a slow machine.
const LONG: &str = "only of a run that lasts longer than 20 seconds";
const LOST: &str = "only if an announcement was lost";

const UNSEEN: [Unseen; 21] = [
    ("Logs", "logs:CreateLogStream", "", "done by the platform, as the function"),
    ("Logs", "logs:PutLogEvents", "", "done by the platform, as the function"),
    ("Traces", "xray:PutTraceSegments", "", "done by the platform, as the function"),
    ("Traces", "xray:PutTelemetryRecords", "", "done by the platform, as the function"),
    ("GivesUp", "lambda:InvokeFunction", "", "done by the platform, as the function: where what failed goes"),
    ("Loses", "sqs:SendMessage", "", "done by the platform, as the function: where what failed goes"),
    ("TakesDeadLetters", "sqs:ReceiveMessage", "", "done by the platform, as the function"),
    ("TakesDeadLetters", "sqs:DeleteMessage", "", "done by the platform, as the function"),
    ("TakesDeadLetters", "sqs:GetQueueAttributes", "", "done by the platform, as the function"),
    ("Reads", "s3:GetObjectVersion", "", "only of an object over 8 MB, and no file of the lake is one"),
    ("WritesReports", "s3:GetObjectVersion", "", "only of an object over 8 MB, and no report is one"),
    ("UnfinishedUploads", "s3:AbortMultipartUpload", "", "only after an upload in parts that failed"),
    ("WritesDatasets", "s3:AbortMultipartUpload", "", "only after an upload in parts that failed"),
    ("WritesReports", "s3:AbortMultipartUpload", "", "only after an upload in parts that failed"),
    ("WritesRaw", "s3:DeleteObject", "/datasets/", "what a fetch in parts has left behind"),
    ("WritesDatasets", "s3:DeleteObject", "", "what a step in parts has left behind"),
    ("Records", "s3:PutObject", "/watch/running/", LONG),
    ("ClearsMark", "s3:DeleteObject", "", LONG),
    ("AnnouncesAgain", "events:PutEvents", "", LOST),
    (
        "ListsReports",
        "s3:ListBucket",
        "",
        "so that S3 says of what is not there that it is not, instead of forbidding it",
    ),
    ("KeepsIncidents", "s3:DeleteObject", "", "the mark of a run that has died, a silence that is over"),
];

/// An action on a resource, from a statement of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    sid: String,
    /// `false`: the statement denies.
    allows: bool,
    action: String,
    resource: String,
}

impl Grant {
    fn covers(&self, action: &str, resource: &str) -> bool {
        matches(&self.action, action) && matches(&self.resource, resource)
    }

    fn is_of(&self, (sid, action, part, _): &Unseen) -> bool {
        self.sid == *sid && self.action == *action && self.resource.contains(part)
    }
}

/// The grants of each function, by its name.
type Roles = BTreeMap<String, Vec<Grant>>;

/// Result of comparing roles and calls.
#[derive(Debug, Default)]
struct Fit {
    /// Grants that allowed a call.
    used: BTreeSet<Grant>,
    /// Calls that no grant allows, or that one denies.
    denied: BTreeSet<String>,
    /// Grants that are neither used nor explained.
    idle: BTreeSet<Grant>,
    /// Explanations for a grant that is used, missing or ambiguous.
    stale: BTreeSet<Unseen>,
}

pub fn assert_roles_fit(bundle: &Bundle<'_>) {
    let roles = FUNCTIONS.map(|name| grants(bundle, name)).into_iter().collect();
    let fit = fit(&roles, &bundle.emulator.calls(), &UNSEEN);
    assert!(fit.denied.is_empty(), "not in the roles: {:#?}", fit.denied);
    assert!(fit.used.len() > 15, "{:#?}", fit.used);
    assert!(fit.idle.is_empty(), "in a role, and never done: {:#?}", fit.idle);
    assert!(fit.stale.is_empty(), "seen after all, or not there: {:#?}", fit.stale);
}

fn fit(roles: &Roles, calls: &[Call], unseen: &[Unseen]) -> Fit {
    let mut fit = Fit::default();
    for call in calls {
        let Some(grants) = roles.get(&call.caller) else { continue };
        let (action, resource) = (call.action(), arn(call));
        let (allowing, denying): (Vec<_>, Vec<_>) =
            grants.iter().filter(|grant| grant.covers(&action, &resource)).partition(|grant| grant.allows);
        if allowing.is_empty() || !denying.is_empty() {
            fit.denied.insert(format!("{} does {action} on {resource}", call.caller));
        }
        fit.used.extend(allowing.into_iter().cloned());
    }
    let allowed = || roles.values().flatten().filter(|grant| grant.allows);
    let is_explained = |grant: &Grant| unseen.iter().any(|unseen| grant.is_of(unseen));
    fit.idle = allowed().filter(|grant| !fit.used.contains(grant) && !is_explained(grant)).cloned().collect();
    let is_stale = |unseen: &&Unseen| {
        let in_role = |grants: &Vec<Grant>| grants.iter().filter(|grant| grant.allows && grant.is_of(unseen)).count();
        let is_seen = ![LONG, LOST].contains(&unseen.3) && fit.used.iter().any(|grant| grant.is_of(unseen));
        is_seen || roles.values().map(in_role).max() != Some(1)
    };
    fit.stale = unseen.iter().filter(is_stale).copied().collect();
    fit
}

/// Name of a deployed function, and the grants of its role.
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
        let allows = statement["Effect"] == "Allow";
        let sid = statement["Sid"].as_str().unwrap_or("Secrets").to_owned();
        // A conditional denial counts as a denial.
        assert!(!allows || statement.get("Condition").is_none(), "{sid}: a condition, which nobody looks at here");
        for action in texts(&statement["Action"], "") {
            assert!(!allows || !action.contains('*'), "{sid}: {action}");
            for resource in texts(&statement["Resource"], "") {
                grants.push(Grant { sid: sid.clone(), allows, action: action.clone(), resource });
            }
        }
    }
    (function, grants)
}

/// A text or a list of texts; for objects, their field `member`.
fn texts(value: &Value, member: &str) -> Vec<String> {
    let one = |value: &Value| value.as_str().or_else(|| value[member].as_str()).unwrap().to_owned();
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        Value::Null => Vec::new(),
        value => vec![one(value)],
    }
}

/// ARN of the resource of a call.
fn arn(call: &Call) -> String {
    let of = |service: &str, rest: String| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}");
    match call.service.as_str() {
        "s3" if call.action() == "s3:ListBucket" => {
            format!("arn:aws:s3:::{}", call.resource.split('/').next().unwrap_or_default())
        }
        "s3" => format!("arn:aws:s3:::{}", call.resource),
        "events" => of("events", format!("event-bus/{}", call.resource)),
        // Secrets Manager appends six random characters.
        "secretsmanager" => of("secretsmanager", format!("secret:{}-abcdef", call.resource)),
        _ => call.resource.clone(),
    }
}

/// `*` matches any text, `?` one character.
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
fn wildcards_of_policies() {
    assert!(matches(
        "arn:aws:s3:::b/lake/datasets/*.raw/*",
        "arn:aws:s3:::b/lake/datasets/sales.raw/_delta_log/0.json"
    ));
    assert!(!matches("arn:aws:s3:::b/lake/datasets/*.raw/*", "arn:aws:s3:::b/lake/datasets/sales/_delta_log/0.json"));
    assert!(matches("a-??????", "a-abcdef") && !matches("a-??????", "a-abcde"));
    assert!(matches("*", "") && !matches("", "a"));
}

/// A role of `transform` with three permissions, one of which is denied for raw datasets.
fn role() -> Roles {
    let of = |sid: &str, allows: bool, action: &str, resource: &str| Grant {
        sid: sid.into(),
        allows,
        action: action.into(),
        resource: format!("arn:aws:s3:::lake/{resource}"),
    };
    let grants = vec![
        of("Reads", true, "s3:GetObject", "*"),
        of("Writes", true, "s3:PutObject", "datasets/*"),
        of("Writes", true, "s3:PutObject", "runs/*"),
        of("LeavesRaw", false, "s3:*", "datasets/*.raw/*"),
    ];
    Roles::from([("transform".into(), grants)])
}

fn call(caller: &str, operation: &str, key: &str) -> Call {
    let resource = format!("lake/{key}");
    let (caller, operation, service) = (caller.into(), operation.into(), "s3".into());
    Call { caller, service, operation, resource, version: None, status: 200, time: 0.0 }
}

fn every_allowed_call() -> Vec<Call> {
    [("HeadObject", "datasets/a/0"), ("PutObject", "datasets/a/0"), ("UploadPart", "runs/1.json")]
        .map(|(operation, key)| call("transform", operation, key))
        .into()
}

#[test]
fn allowed_calls_fit() {
    // Callers without a role here are ignored.
    let calls = [every_allowed_call(), vec![call("deployer", "DeleteObject", "datasets/a/0")]].concat();
    let fit = fit(&role(), &calls, &[]);
    assert!(fit.denied.is_empty() && fit.idle.is_empty() && fit.stale.is_empty(), "{fit:#?}");
    assert_eq!(fit.used.len(), 3);
}

#[test]
fn calls_that_are_not_allowed_or_denied_are_found() {
    let more = |operation: &str, key: &str| {
        let calls = [every_allowed_call(), vec![call("transform", operation, key)]].concat();
        fit(&role(), &calls, &[]).denied.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        more("DeleteObject", "datasets/a/0"),
        ["transform does s3:DeleteObject on arn:aws:s3:::lake/datasets/a/0"]
    );
    assert_eq!(more("PutObject", "watch/a"), ["transform does s3:PutObject on arn:aws:s3:::lake/watch/a"]);
    assert_eq!(
        more("PutObject", "datasets/a.raw/0"),
        ["transform does s3:PutObject on arn:aws:s3:::lake/datasets/a.raw/0"]
    );
    assert_eq!(more("GetObject", "datasets/a.raw/0").len(), 1, "`s3:*` is all of them");
    let of_version = Call { version: Some("v1".into()), ..call("transform", "GetObject", "datasets/a/0") };
    assert_eq!(fit(&role(), &[of_version], &[]).denied.len(), 1, "reading an object is not reading its versions");
}

#[test]
fn an_unused_permission_must_be_explained() {
    let calls = &every_allowed_call()[..2];
    let idle = |unseen: &[Unseen]| fit(&role(), calls, unseen).idle.into_iter().map(|grant| grant.resource);
    assert_eq!(idle(&[]).collect::<Vec<_>>(), ["arn:aws:s3:::lake/runs/*"]);
    assert_eq!(idle(&[("Writes", "s3:PutObject", "/runs/", "")]).count(), 0);
    assert_eq!(idle(&[("Writes", "s3:PutObject", "/datasets/", "")]).count(), 1, "of another resource");
    assert_eq!(idle(&[("Reads", "s3:PutObject", "/runs/", "")]).count(), 1, "of another statement");
}

#[test]
fn a_stale_explanation_is_found() {
    let stale = |calls: &[Call], unseen: Unseen| fit(&role(), calls, &[unseen]).stale.contains(&unseen);
    let of_runs = ("Writes", "s3:PutObject", "/runs/", "");
    assert!(stale(&every_allowed_call(), of_runs) && !stale(&every_allowed_call()[..2], of_runs));
    assert!(stale(&[], ("Writes", "s3:PutObject", "", "")), "two resources, and no part of one is named");
    assert!(stale(&[], ("Gone", "s3:PutObject", "", "")) && stale(&[], ("LeavesRaw", "s3:*", "", "")));
}
