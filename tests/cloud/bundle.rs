//! The bundle as a team deploys it: a copy of `infra/` that it may change, built and deployed by the commands of infra/README.md.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Emulator;
use crate::lambda::bootstrap;
use crate::site::{Answer, root, tidemark, walk};
use crate::support::provision::Cache;
use crate::support::wait::HANG;

pub struct Bundle<'e> {
    pub emulator: &'e Emulator,
    folder: TempDir,
}

impl<'e> Bundle<'e> {
    /// With the templates of the repository, whose functions lie where they are.
    pub fn new(emulator: &'e Emulator) -> Bundle<'e> {
        let folder = TempDir::new().unwrap();
        let (from, functions) = (root().join("infra"), root().join("functions"));
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
                let moved = text.replace("CodeUri: ../functions", &format!("CodeUri: {}", functions.display()));
                assert_eq!(moved.matches(functions.to_str().unwrap()).count(), 4, "every function has its CodeUri");
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

    /// `sam build`, of functions and layer, and how long it took; what it says if it fails. It builds for the architecture of the template,
    /// unoptimized. The emulator runs processes of this machine, so the functions then become those built beside this test, or those
    /// that `TIDEMARK_BOOTSTRAPS` says.
    pub fn build(&self) -> Result<Duration, String> {
        // it puts the functions, and the linker it calls, where every other build of this user puts them
        let _lock = Cache::of_user().lock("sam-build");
        let began = Instant::now();
        let tidemark = tidemark().display().to_string();
        let told = [("SAM_BUILD_MODE", "debug".to_owned()), ("TIDEMARK", tidemark), ("CARGO_TARGET_DIR", target())];
        let answer = self.emulator.sam_told(&told, &["build"], &self.infra()).unwrap();
        if answer.code != 0 {
            return Err(format!("{}{}", answer.out, answer.err));
        }
        let took = began.elapsed();
        eprintln!("built: after {took:.1?}");
        for (id, name) in [("Ingest", "ingest"), ("Transform", "transform"), ("Load", "load"), ("Watch", "watch")] {
            let built = self.infra().join(".aws-sam/build").join(id).join("bootstrap");
            assert_eq!(machine_of(&built), AARCH64, "{id}");
            // a function that is large takes long to be zipped, and is the same however it is reached
            let (own, here) = (format!("#!/bin/sh\nexec {}\n", bootstrap(name).display()), built);
            std::fs::write(here, own).unwrap();
        }
        Ok(took)
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

    /// The text of an object, if it is there.
    pub fn object(&self, place: &str) -> Option<String> {
        let (bucket, key) = place.strip_prefix("s3://").unwrap().split_once('/').unwrap();
        if !self.keys(place).iter().any(|found| found == key) {
            return None;
        }
        let file = self.folder.path().join("object");
        self.emulator.aws(&["s3api", "get-object", "--bucket", bucket, "--key", key, file.to_str().unwrap()]);
        Some(std::fs::read_to_string(file).unwrap())
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

    /// Hands an event to a function and does not wait for it, as a rule does.
    pub fn send(&self, function: &str, event: &Value) {
        let (event, answer) = (event.to_string(), self.folder.path().join("answer"));
        let arguments = ["lambda", "invoke", "--invocation-type", "Event", "--function-name", function, "--payload"];
        self.emulator.aws(&[&arguments[..], &[&event, answer.to_str().unwrap()]].concat());
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

    /// Waits until it is so, and says how long that took.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !is_so() {
            let log = || self.emulator.log();
            assert!(began.elapsed() < HANG, "not in {HANG:?}: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(250));
        }
        eprintln!("{what}: after {:.1?}", began.elapsed());
        began.elapsed()
    }
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
