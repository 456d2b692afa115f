//! An AWS of its own: LocalStack in host mode, with Lambda functions as processes (`plugin`), on one port of this machine.
//!
//! It keeps what the tests hang on: conditional writes, event patterns and transformers, retries, destinations, layers, stacks. It does not keep memory, processors or IAM:
//! what a function may do is compared with what it did, `calls`. Types that it does not have (Glue, dashboards) count as deployed.

pub mod bundle;
pub mod call;
mod self_test;
pub mod tools;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::port::free_port;
use crate::support::process_group::Group;
use crate::support::project::{Answer, forget_cargo, root};
use crate::support::wait::{HANG, until};
use call::Call;
use tools::Tools;

pub const REGION: &str = "eu-west-1";
pub const ACCOUNT: &str = "000000000000";
/// Where `sam deploy` puts what it deploys.
pub const ARTIFACTS: &str = "artifacts";

pub struct Emulator {
    port: u16,
    folder: TempDir,
    group: Group,
    tools: &'static Tools,
}

impl Emulator {
    /// `None`, with a word, where there is no Python for it.
    pub fn start(name: &str) -> Option<Emulator> {
        let tools = tools::emulator()?;
        // who has seen a free port may not be the one who gets it
        (0..5).find_map(|_| Emulator::begin(name, tools)).map_or_else(|| panic!("no port is free"), Some)
    }

    /// `None` if somebody else has the port.
    fn begin(name: &str, tools: &'static Tools) -> Option<Emulator> {
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir().unwrap();
        let port = free_port();
        let mut command = command(tools, port, folder.path());
        let log = File::create(folder.path().join("log")).unwrap();
        // it lives as long as this pipe
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let emulator = Emulator { port, group: Group::spawn(&mut command), folder, tools };
        emulator.is_ready().then_some(emulator).inspect(Emulator::prepare)
    }

    fn is_ready(&self) -> bool {
        let mut who = None;
        until("the emulator comes up", || {
            who = self.get("/_tidemark");
            assert!(who.is_some() || self.is_running(), "the emulator has ended: {}", self.log());
            who.is_some()
        });
        who.as_deref() == self.folder.path().to_str() && self.get("/_localstack/health").is_some()
    }

    fn is_running(&self) -> bool {
        Group::is_left(self.group())
    }

    /// The body of the answer to a GET; `None` unless its status is 200.
    pub fn get(&self, path: &str) -> Option<String> {
        self.request("GET", path, "", "")
    }

    /// Hands an event to a function and does not wait for it, as a rule does.
    #[track_caller]
    pub fn send(&self, function: &str, event: &Value) {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        // of a signature the emulator reads the region
        let scope = format!("deployer/20260101/{REGION}/lambda/aws4_request");
        let headers = format!(
            "X-Amz-Invocation-Type: Event\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n"
        );
        let handed = self.request("POST", &path, &headers, &event.to_string());
        assert!(handed.is_some(), "{function} takes no event: {}", self.log());
    }

    /// The body of an answer, unreadable bytes replaced; `None` unless its status is 200 or 202.
    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(HANG)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        ["HTTP/1.1 200", "HTTP/1.1 202"].iter().any(|status| head.starts_with(status)).then(|| body.to_owned())
    }

    fn prepare(&self) {
        let place = format!("LocationConstraint={REGION}");
        self.aws(&["s3api", "create-bucket", "--bucket", ARTIFACTS, "--create-bucket-configuration", &place]);
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The AWS command line (version 1): its JSON, or nothing.
    #[track_caller]
    pub fn aws(&self, arguments: &[&str]) -> Value {
        let mut command = self.client(self.tools.module("awscli"));
        // of SQS the command does not look at the variable
        command.args(["--endpoint-url", &self.endpoint(), "--output", "json"]);
        let answer = Answer::from_command(command.args(arguments)).expect(0);
        if answer.out.trim().is_empty() { Value::Null } else { answer.json() }
    }

    /// `sam`, which finds cargo and cargo-lambda; `None`, with a word, where there is no Python for it.
    pub fn sam(&self, arguments: &[&str], folder: &Path) -> Option<Answer> {
        self.sam_told(&[], arguments, folder)
    }

    /// The same, with more environment variables.
    pub fn sam_told(&self, told: &[(&str, String)], arguments: &[&str], folder: &Path) -> Option<Answer> {
        let tools = tools::sam()?;
        let mut command = self.client(tools.module("samcli"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [tools.folder.join("bin")].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap());
        command.envs(told.iter().map(|(name, value)| (name, value)));
        Some(Answer::from_command(command.args(arguments).current_dir(folder)))
    }

    /// A stack that is deployed; `sam deploy` says so of one that has failed, too.
    #[track_caller]
    pub fn stack(&self, name: &str) -> Value {
        let stack = self.aws(&["cloudformation", "describe-stacks", "--stack-name", name])["Stacks"][0].take();
        let status = stack["StackStatus"].as_str().unwrap();
        assert!(["CREATE_COMPLETE", "UPDATE_COMPLETE"].contains(&status), "{stack:#}\n{}", self.log());
        stack
    }

    /// As a client of this AWS has it, and of no other.
    fn client(&self, mut command: Command) -> Command {
        forget_cargo(&mut command);
        for (name, _) in std::env::vars_os() {
            if ["AWS_", "SAM_", "TIDEMARK_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command.envs(self.variables());
        // of sam: how often it looks whether a stack is there, and where it notes what it knows
        let nowhere = self.folder.path().join("home");
        command.env("SAM_CLI_POLL_DELAY", "1").env("SAM_CLI_TELEMETRY", "0").env("__SAM_CLI_APP_DIR", &nowhere);
        command
            .env("AWS_CONFIG_FILE", nowhere.join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", nowhere.join("credentials"));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// By which a client finds this AWS.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.into()),
            ("AWS_DEFAULT_REGION", REGION.into()),
            ("AWS_ACCESS_KEY_ID", "deployer".into()),
            ("AWS_SECRET_ACCESS_KEY", "for-tests-only".into()),
        ]
    }

    /// Every call to an API that came from outside, in the order of its answers.
    pub fn calls(&self) -> Vec<Call> {
        let text = std::fs::read_to_string(self.path("calls.jsonl")).unwrap_or_default();
        text.lines().map(Call::read).collect()
    }

    /// What the emulator says about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The lines that a function has logged, once one of them has this part: they come a moment after the answer.
    #[track_caller]
    pub fn log_of(&self, function: &str, part: &str) -> Vec<String> {
        let group = format!("/aws/lambda/{function}");
        let mut lines = Vec::new();
        until(&format!("{part:?} is in the log of {function}"), || {
            let found = self.aws(&["logs", "filter-log-events", "--log-group-name", &group]);
            let events = found["events"].as_array().cloned().unwrap_or_default();
            lines = events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect();
            lines.iter().any(|line| line.contains(part))
        });
        lines
    }

    /// What a function answers to an event; an error of it is its answer too.
    #[track_caller]
    pub fn invoke(&self, function: &str, event: &Value) -> Value {
        let out = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        let (event, to) = (event.to_string(), out.path().to_str().unwrap());
        let arguments = ["lambda", "invoke", "--function-name", function, "--payload", &event, to];
        self.aws(&arguments);
        serde_json::from_reader(out.reopen().unwrap()).unwrap()
    }

    /// Its own, gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The group of all its processes.
    pub fn group(&self) -> i32 {
        self.group.0.id().cast_signed()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn command(tools: &Tools, port: u16, folder: &Path) -> Command {
    let (temporary, files, listen) = (folder.join("tmp"), folder.join("files"), format!("127.0.0.1:{port}"));
    std::fs::create_dir_all(&temporary).unwrap();
    let packages =
        std::env::join_paths([tools.folder.as_path(), &root().join("tests/support/aws_emulator/plugin")]).unwrap();
    let mut command = tools.module("localstack.runtime.main");
    command.env_clear().env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("TMPDIR", temporary).env("TIDEMARK_EMULATOR", folder).current_dir(folder);
    command.env("FILESYSTEM_ROOT", &files).env("LOCALSTACK_VOLUME_DIR", &files);
    command.env("GATEWAY_LISTEN", &listen).env("LOCALSTACK_HOST", &listen).env("SQS_ENDPOINT_STRATEGY", "path");
    // nothing is asked for elsewhere, and no port but its own is opened
    command.env("DISABLE_EVENTS", "1").env("SKIP_SSL_CERT_DOWNLOAD", "1").env("DNS_ADDRESS", "0");
    command.env("LAMBDA_RUNTIME_EXECUTOR", "process").env("LAMBDA_RETRY_BASE_DELAY", "1");
    command.env("CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES", "1");
    command
}
