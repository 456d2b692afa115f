//! Tests of the emulator: a small stack is deployed with the real tools, invoked, changed and deleted.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ARTIFACTS;
use super::{ACCOUNT, Emulator, REGION};
use crate::support::lambda::bootstrap;
use crate::support::process_group::Group;
use crate::support::project::root;
use crate::support::wait::until;

const STACK: &str = "sample";

/// Folder with the templates of `sample`, a definition, and two functions. Bootstraps built for tests exceed the size limit of Lambda, so a
/// script that calls the bootstrap is deployed.
fn sources() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["template.yaml", "nested.yaml"] {
        std::fs::copy(root().join("tests/support/aws_emulator/sample").join(name), folder.path().join(name)).unwrap();
    }
    function(folder.path(), "ingest", &format!("exec {}", bootstrap("ingest").display()));
    function(folder.path(), "broken", "echo about to end\nexit 7");
    definition(folder.path(), "orders");
    folder
}

fn function(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name).join("bootstrap");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// The only definition in the layer, with this dataset.
fn definition(folder: &Path, dataset: &str) {
    let parts = [
        "[parameters]\nORDERS = { about = \"where the orders are\" }\n",
        "[source]\nkind = \"files\"\npath = \"${ORDERS}\"\n",
        &format!("[contract]\ndataset = \"{dataset}\"\n[contract.columns]\nid = {{ type = \"int64\" }}\n"),
    ];
    let text = parts.concat();
    std::fs::create_dir_all(folder.join("layer/pipelines")).unwrap();
    std::fs::write(folder.join("layer/pipelines/orders.toml"), text).unwrap();
}

fn deploy(emulator: &Emulator, folder: &Path, every: &str) -> Option<()> {
    let every = format!("Every=\"{every}\"");
    let what = ["deploy", "--template-file", "template.yaml", "--stack-name", STACK, "--s3-bucket", ARTIFACTS];
    let how = ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset"];
    let arguments = [&what[..], &how[..], &["--parameter-overrides", &every]].concat();
    emulator.sam(&arguments, folder)?.expect(0);
    emulator.stack(STACK);
    Some(())
}

fn ingested(emulator: &Emulator) -> Value {
    emulator.invoke("sample-ingest", &json!({"pipeline": "orders", "scheduled_time": "2026-03-03T08:00:00Z"}))
}

#[test]
fn a_stack_is_deployed_invoked_changed_and_leaves_no_process() {
    let Some(emulator) = Emulator::start("sample") else { return };
    let folder = sources();
    if deploy(&emulator, folder.path(), "rate(1 day)").is_none() {
        return;
    }
    let function = emulator.aws(&["lambda", "get-function-configuration", "--function-name", "sample-ingest"]);
    assert_eq!(function["FunctionArn"], format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:sample-ingest"));
    check_invocation(&emulator, folder.path());
    check_recorded_calls(&emulator);
    check_failure(&emulator);
    check_update(&emulator, folder.path());
    let group = emulator.group();
    drop(emulator);
    until("no process of the emulator is left", || !Group::is_left(group));
}

/// The function reads its definition, writes and announces; its log and calls are recorded.
fn check_invocation(emulator: &Emulator, folder: &Path) {
    let file = folder.join("orders.csv");
    std::fs::write(&file, "id\n1\n2\n").unwrap();
    emulator.aws(&[
        "s3api",
        "put-object",
        "--bucket",
        "sample-lake",
        "--key",
        "in/orders.csv",
        "--body",
        file.to_str().unwrap(),
    ]);
    let record = ingested(emulator);
    assert_eq!((&record["step"], &record["status"]), (&json!("ingest"), &json!("done")), "{record}");
    let log = emulator.log_of("sample-ingest", "REPORT RequestId");
    assert!(log[0].starts_with("START RequestId"), "{log:?}");
    assert!(log.iter().any(|line| line.contains("\"runs_done\"")), "{log:?}");
    let calls = emulator.calls();
    let of = |caller: &str, action: &str| -> Vec<&str> {
        let its = calls.iter().filter(|call| call.caller == caller && call.action() == action && call.status == 200);
        its.map(|call| call.resource.as_str()).collect()
    };
    assert_eq!(of("deployer", "s3:CreateBucket"), [ARTIFACTS]);
    assert_eq!(of("sample-ingest", "s3:GetObject").iter().filter(|key| key.ends_with("in/orders.csv")).count(), 1);
    assert_eq!(of("sample-ingest", "events:PutEvents"), ["sample"]);
    assert!(of("sample-ingest", "s3:PutObject").iter().all(|key| key.starts_with("sample-lake/lake/")));
    assert!(calls.is_sorted_by(|one, other| one.time <= other.time));
}

/// A request about several resources is recorded as one call for each, and access to a version is distinguished.
fn check_recorded_calls(emulator: &Emulator) {
    let before = emulator.calls().len();
    let (object, out) = (["--bucket", "sample-lake", "--key", "in/orders.csv"], emulator.folder().join("object"));
    let out = out.to_str().unwrap();
    emulator.aws(&[&["s3api", "get-object"], &object[..], &[out]].concat());
    emulator.aws(&[&["s3api", "get-object"], &object[..], &["--version-id", "null", out]].concat());
    let gone = json!({"Objects": [{"Key": "in/a.csv"}, {"Key": "in/b.csv"}]}).to_string();
    emulator.aws(&["s3api", "delete-objects", "--bucket", "sample-lake", "--delete", &gone]);
    let entry = json!({"Source": "tests", "DetailType": "a test", "Detail": "{}"});
    let of_bus = json!({"Source": "tests", "DetailType": "a test", "Detail": "{}", "EventBusName": "sample"});
    emulator.aws(&["events", "put-events", "--entries", &json!([entry, of_bus]).to_string()]);
    let calls = emulator.calls().into_iter().skip(before).filter(|call| call.caller == "deployer");
    let calls: Vec<_> = calls.map(|call| (call.action(), call.resource)).collect();
    let expected = [
        ("s3:GetObject", "sample-lake/in/orders.csv"),
        ("s3:GetObjectVersion", "sample-lake/in/orders.csv"),
        ("s3:DeleteObject", "sample-lake/in/a.csv"),
        ("s3:DeleteObject", "sample-lake/in/b.csv"),
        ("events:PutEvents", "default"),
        ("events:PutEvents", "sample"),
    ];
    assert_eq!(calls, expected.map(|(action, resource)| (action.to_owned(), resource.to_owned())));
}

/// A function that exits without an answer is an error; it is repeated, then sent to the failure destination.
fn check_failure(emulator: &Emulator) {
    let answer = emulator.invoke("sample-broken", &json!({"wanted": 1}));
    assert_eq!(answer["errorType"], "Runtime.ExitError", "{answer}");
    assert!(answer["errorMessage"].as_str().unwrap().ends_with("exit status 7"), "{answer}");
    emulator.log_of("sample-broken", "about to end");
    emulator.log_of("sample-broken", "Runtime exited with error: exit status 7");
    let out = emulator.folder().join("queued");
    let out = out.to_str().unwrap();
    emulator.aws(&[
        "lambda",
        "invoke",
        "--function-name",
        "sample-broken",
        "--invocation-type",
        "Event",
        "--payload",
        "{\"wanted\": 2}",
        out,
    ]);
    let queue = emulator.aws(&["sqs", "get-queue-url", "--queue-name", "sample-failed"]);
    let queue = queue["QueueUrl"].as_str().unwrap();
    let mut message = Value::Null;
    until("the event is in the queue", || {
        message = emulator.aws(&["sqs", "receive-message", "--queue-url", queue, "--wait-time-seconds", "20"]);
        !message.is_null()
    });
    let body: Value = serde_json::from_str(message["Messages"][0]["Body"].as_str().unwrap()).unwrap();
    assert_eq!(body["requestPayload"], json!({"wanted": 2}));
    assert_eq!(body["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(body["requestContext"]["approximateInvokeCount"], 2);
}

/// A changed definition reaches new processes, and the nested stack is updated.
fn check_update(emulator: &Emulator, folder: &Path) {
    let rule = || emulator.aws(&["events", "describe-rule", "--name", "sample-morning"])["ScheduleExpression"].clone();
    assert_eq!(rule(), "rate(1 day)");
    definition(folder, "purchases");
    deploy(emulator, folder, "cron(0 7 * * ? *)").unwrap();
    assert_eq!(rule(), "cron(0 7 * * ? *)");
    let targets = emulator.aws(&["events", "list-targets-by-rule", "--rule", "sample-morning"]);
    assert!(
        targets["Targets"][0]["InputTransformer"]["InputTemplate"].as_str().unwrap().contains("<time>"),
        "{targets}"
    );
    let record = ingested(emulator);
    assert_eq!(record["outputs"][0]["dataset"], "purchases.raw", "{record}");
}
