//! The bundle as a team deploys it: a copy of `infra/` that it may change, built and deployed by the commands of infra/README.md.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ACCOUNT, Emulator, REGION};
use crate::support::lambda::bootstrap;
use crate::support::project::{Answer, root, tidemark, walk};
use crate::support::provision::Cache;
use crate::support::wait::HANG;

/// Logical id and crate of each function.
const FUNCTIONS: [(&str, &str); 4] =
    [("Ingest", "ingest"), ("Transform", "transform"), ("Load", "load"), ("Watch", "watch")];
/// Set to anything, `sam build` compiles the functions for arm64 as a user's does. Without it, it packs those built beside this test.
const BUILD_ARM64: &str = "TIDEMARK_TEST_ARM64";

pub fn builds_for_arm64() -> bool {
    std::env::var_os(BUILD_ARM64).is_some()
}

pub struct Bundle<'e> {
    pub emulator: &'e Emulator,
    folder: TempDir,
}

impl<'e> Bundle<'e> {
    /// A copy of the templates of the repository. They build the functions from their crates, or pack what is built already.
    pub fn new(emulator: &'e Emulator) -> Bundle<'e> {
        let folder = TempDir::new().unwrap();
        let from = root().join("infra");
        let functions = match builds_for_arm64() {
            true => root().join("functions"),
            false => packed_functions(&folder.path().join("functions")),
        };
        for path in walk(&from) {
            let name = path.strip_prefix(&from).unwrap();
            if name.components().any(|part| part.as_os_str() == ".aws-sam") {
                continue;
            }
            let copy = folder.path().join("infra").join(name);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            let mut content = std::fs::read(&path).unwrap();
            if name == "template.yaml" {
                let text = String::from_utf8(content).unwrap();
                let mut moved = text.replace("CodeUri: ../functions", &format!("CodeUri: {}", functions.display()));
                assert_eq!(moved.matches(functions.to_str().unwrap()).count(), 4, "every function has its CodeUri");
                if !builds_for_arm64() {
                    assert_eq!(moved.matches("BuildMethod: rust-cargolambda").count(), 4);
                    moved = moved.replace("BuildMethod: rust-cargolambda", "BuildMethod: makefile");
                }
                content = moved.into_bytes();
            }
            std::fs::write(copy, content).unwrap();
        }
        Bundle { emulator, folder }
    }

    pub fn infra(&self) -> PathBuf {
        self.folder.path().join("infra")
    }

    /// Puts a pipeline file beside the others, or in place of one.
    pub fn define(&self, name: &str, text: &str) {
        std::fs::write(self.infra().join("pipelines").join(name), text).unwrap();
    }

    /// Changes a pipeline file; what is to be replaced must be there.
    pub fn change(&self, name: &str, from: &str, to: &str) {
        let path = self.infra().join("pipelines").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// `tidemark schedules`.
    pub fn schedule(&self) {
        let mut command = Command::new(tidemark());
        let output = command.args(["schedules", "--pipelines"]).arg(self.infra().join("pipelines")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The layer of definitions alone, as `sam build` has it built; what it says if that fails.
    pub fn build_layer(&self) -> Result<(), String> {
        let artifacts = self.folder.path().join("layer");
        std::fs::create_dir_all(&artifacts).unwrap();
        let mut make = Command::new("make");
        make.args(["build-Pipelines", &format!("TIDEMARK={}", tidemark().display())]);
        make.arg(format!("ARTIFACTS_DIR={}", artifacts.display())).current_dir(self.infra().join("pipelines"));
        let answer = Answer::from_command(&mut make);
        if answer.code == 0 { Ok(()) } else { Err(format!("{}{}", answer.out, answer.err)) }
    }

    /// `sam build`, of functions and layer, and how long it took. The emulator runs processes of this machine, so functions that were
    /// compiled for arm64 then become those built beside this test, or those that `TIDEMARK_BOOTSTRAPS` names.
    pub fn build(&self) -> Duration {
        // it puts the functions, and the linker it calls, where every other build of this user puts them
        let _lock = builds_for_arm64().then(|| Cache::of_user().lock("sam-build"));
        let began = Instant::now();
        let tidemark = tidemark().display().to_string();
        let variables =
            [("SAM_BUILD_MODE", "debug".to_owned()), ("TIDEMARK", tidemark), ("CARGO_TARGET_DIR", target())];
        self.emulator.sam_told(&variables, &["build"], &self.infra()).unwrap().expect(0);
        let took = began.elapsed();
        eprintln!("built: after {took:.1?}");
        for (id, name) in FUNCTIONS.into_iter().filter(|_| builds_for_arm64()) {
            let built = self.infra().join(".aws-sam/build").join(id).join("bootstrap");
            assert_eq!(machine_of(&built), AARCH64, "{id}");
            std::fs::write(built, bootstrap_script(name)).unwrap();
        }
        took
    }

    /// `sam deploy` with an environment of samconfig.toml, and more parameters than are there.
    pub fn deploy(&self, environment: &str, more: &[&str]) -> Duration {
        let began = Instant::now();
        let mut arguments = vec!["deploy", "--config-env", environment];
        if !more.is_empty() {
            arguments.push("--parameter-overrides");
            arguments.extend(more);
        }
        self.sam(&arguments).expect(0);
        let took = began.elapsed();
        // sam is content with a stack that has failed
        self.emulator.stack(&format!("tidemark-{environment}"));
        took
    }

    pub fn sam(&self, arguments: &[&str]) -> Answer {
        self.emulator.sam(arguments, &self.infra()).unwrap()
    }

    /// The text of an object, `s3://bucket/key`; `None` if there is none.
    pub fn object(&self, place: &str) -> Option<String> {
        self.emulator.get(place.strip_prefix("s3:/").unwrap())
    }

    pub fn output(&self, stack: &str, name: &str) -> String {
        let stack = self.emulator.stack(stack);
        let mut outputs = stack["Outputs"].as_array().unwrap().iter();
        outputs.find(|output| output["OutputKey"] == name).unwrap()["OutputValue"].as_str().unwrap().to_owned()
    }

    pub fn secret(&self, name: &str, value: &str) {
        // what looks like a URL the command would fetch
        let file = self.folder.path().join("secret");
        std::fs::write(&file, value).unwrap();
        let (name, value) = (format!("tidemark/{name}"), format!("file://{}", file.display()));
        self.emulator.aws(&["secretsmanager", "create-secret", "--name", &name, "--secret-string", &value]);
    }

    /// Puts an object where a bucket is, `s3://bucket/key`.
    pub fn put(&self, place: &str, content: &str) {
        let file = self.folder.path().join("object");
        std::fs::write(&file, content).unwrap();
        let (bucket, key) = place.strip_prefix("s3://").unwrap().split_once('/').unwrap();
        let body = file.to_str().unwrap();
        self.emulator.aws(&["s3api", "put-object", "--bucket", bucket, "--key", key, "--body", body]);
    }

    /// The keys of a bucket, `s3://bucket/prefix`.
    pub fn keys(&self, place: &str) -> Vec<String> {
        let place = place.strip_prefix("s3://").unwrap();
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let listed = self.emulator.aws(&["s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix]);
        let objects = listed["Contents"].as_array().map(Vec::as_slice).unwrap_or_default();
        objects.iter().map(|object| object["Key"].as_str().unwrap().to_owned()).collect()
    }

    /// An event as EventBridge puts it into the queue for what it could not deliver.
    pub fn dead_letter(&self, event: &Value, of: &str, arn: &str, code: &str) {
        let queue = self.emulator.aws(&["sqs", "get-queue-url", "--queue-name", "tidemark-dev-dead-letters"]);
        let attribute = |text: &str| json!({"DataType": "String", "StringValue": text});
        let attributes = json!({of: attribute(arn), "ERROR_CODE": attribute(code), "ERROR_MESSAGE": attribute("not delivered"),
            "RETRY_ATTEMPTS": attribute("24")});
        let (url, body, attributes) = (queue["QueueUrl"].as_str().unwrap(), event.to_string(), attributes.to_string());
        let message = ["sqs", "send-message", "--queue-url", url, "--message-body", &body, "--message-attributes"];
        self.emulator.aws(&[&message[..], &[&attributes]].concat());
    }

    /// Waits for a condition, and prints how long that took.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl FnMut() -> bool) -> Duration {
        self.until_firing(&[], what, is_so)
    }

    /// The same, while rules fire every few seconds, which by the emulator's clock they do once a minute: each by its function and name.
    #[track_caller]
    pub fn until_firing(&self, rules: &[(&str, &str)], what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let (began, mut fired) = (Instant::now(), None::<Instant>);
        while !is_so() {
            let log = || self.emulator.log();
            assert!(began.elapsed() < HANG, "{}\nnot in {HANG:?}: {what}", log());
            if fired.is_none_or(|fired| fired.elapsed() > FIRE_EVERY) {
                rules.iter().for_each(|(function, rule)| self.emulator.send(function, &rule_event(rule)));
                fired = Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("{what}: after {:.1?}", began.elapsed());
        began.elapsed()
    }
}

const FIRE_EVERY: Duration = Duration::from_secs(3);

/// The event of a rule that fires now.
#[expect(clippy::disallowed_methods, reason = "as the clock of EventBridge")]
pub fn rule_event(rule: &str) -> Value {
    let arn = format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}");
    json!({"source": "aws.events", "detail-type": "Scheduled Event", "time": jiff::Timestamp::now().to_string(), "resources": [arn],
        "detail": {}})
}

/// A folder for each function with a bootstrap that calls the one built beside this test, and what `sam build` packs it with.
fn packed_functions(folder: &Path) -> PathBuf {
    for (id, name) in FUNCTIONS {
        let function = folder.join(name);
        std::fs::create_dir_all(&function).unwrap();
        std::fs::write(
            function.join("Makefile"),
            format!("build-{id}:\n\tinstall -m 755 bootstrap \"$(ARTIFACTS_DIR)\"\n"),
        )
        .unwrap();
        std::fs::write(function.join("bootstrap"), bootstrap_script(name)).unwrap();
    }
    folder.to_owned()
}

/// Stands for a function that is too large to be zipped in a test.
fn bootstrap_script(name: &str) -> String {
    format!("#!/bin/sh\nexec {}\n", bootstrap(name).display())
}

/// Of the header of an ELF file: the machine it is for.
const AARCH64: u16 = 183;

fn machine_of(file: &Path) -> u16 {
    let mut head = [0; 20];
    std::io::Read::read_exact(&mut std::fs::File::open(file).unwrap(), &mut head).unwrap();
    assert_eq!(&head[..4], b"\x7fELF", "{}", file.display());
    u16::from_le_bytes([head[18], head[19]])
}

/// Where cargo builds this test.
fn target() -> String {
    // <target>/<profile>/deps/it-<hash>
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().display().to_string()
}
